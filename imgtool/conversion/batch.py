"""Many conversions: which targets they get, which are done already, and what became of each."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from imgtool.conversion.api import Job, run_request
from imgtool.conversion.journal import Journal, Read, read_of
from imgtool.conversion.request import Request
from imgtool.disks.links import permission
from imgtool.disks.recognise import recognise
from imgtool.errors import ImgtoolError, UsageError
from imgtool.ingest.pump import Progress
from imgtool.limits import DEFAULT, Limits
from imgtool.model.conversion import Conversion
from imgtool.sources.file import open_file

#: How files of a target are called, where only a folder is named.
EXTENSIONS = {"vhd": ".vhd", "raw": ".raw", "parallels": ".hdd"}

#: Endings that are taken off a source's name: of wrappers, then of images.
_WRAPPERS = (".gz", ".xz", ".zst", ".zstd", ".bz2", ".lz4", ".lzma", ".zip")
_IMAGES = (
    *(".img", ".raw", ".dd", ".bin", ".qcow2", ".qcow", ".qed", ".vmdk", ".vhd", ".vpc", ".vhdx", ".vdi", ".iso"),
    *(".hdd", ".hds", ".dmg", ".luks", ".ova", ".ovf", ".tar"),
)


class Outcome(NamedTuple):
    """What became of a request: a conversion, one of an earlier run (the JSON object it gave), or a failure."""

    request: Request
    conversion: Conversion | None = None
    earlier: dict[str, Any] | None = None
    error: ImgtoolError | None = None


#: What a batch tells of a request: when it begins (with its job), and the progress to tell it to.
Watch = Callable[[Request, Job], None]


class Inside(NamedTuple):
    """What a batch needs to know of an input. `disks`: the names of the disks of a container with several of them.
    `format`: its name. `extents`: paths of the files that hold its bytes, as it names them."""

    disks: tuple[str, ...]
    format: str
    extents: tuple[str, ...]


def look_inside(
    path: str,
    limits: Limits = DEFAULT,
    *,
    device: bool = False,
    follow: bool | str | os.PathLike[str] = False,
) -> Inside:
    """See `Inside`. Nothing that the input names is opened; with `follow` the files beside an OVF descriptor count as
    its disks. Raises InputError."""
    from imgtool.disks.members import disk_names

    with open_file(path, device) as source:
        reading = recognise(source, limits).primary
        names = disk_names(source, reading, limits, permission(follow, path))
    folder = os.path.dirname(path)
    named = (one.value for one in reading.facts.references if one.kind in ("extent", "data-file") and one.value)
    extents = tuple(os.path.join(folder, name) for name in named if "\0" not in name)
    return Inside(names if len(names) > 1 else (), reading.entry.name, extents)


def parts_of_others(inputs: Mapping[str, Inside]) -> dict[str, str]:
    """Which inputs are extents of another one, by which. An input that is an image by itself, of another format, is
    none, whatever names it."""
    real = {os.path.realpath(path): path for path in inputs}
    found: dict[str, str] = {}
    for path, inside in inputs.items():
        for extent in inside.extents:
            part = real.get(os.path.realpath(extent))
            if (
                part not in (None, path)
                and inputs[part].format in ("raw", inside.format)
                and not inputs[part].extents
            ):
                found.setdefault(part, path)
    return found


def target_name(source: str, member: str | None, to: str, folder: str) -> str:
    """The path of a target in `folder`: the source's name (or its member's), its endings replaced by the target's."""
    base = os.path.basename((member or source).rstrip("/")) or "disk"
    for endings in (_WRAPPERS, _IMAGES):
        for ending in endings:
            if base.lower().endswith(ending) and len(base) > len(ending):
                base = base[: -len(ending)]
                break
    return os.path.join(folder, base + EXTENSIONS.get(to, f".{to}"))


def one_target_each(requests: Iterable[Request]) -> None:
    """Raises UsageError where two of them have one target."""
    seen: dict[str, str] = {}
    for request in requests:
        real = os.path.realpath(request.target)
        if real in seen:
            raise UsageError(f"{request.target}: {seen[real]} and {request.source} would both be written there")
        seen[real] = request.source


def targets_of_others(requests: Iterable[Request], journal: Journal) -> dict[str, str]:
    """Which sources are targets that an earlier run made of others, by which: where a batch writes into the folder
    that it reads. The journal tells, so that no file that is a source of its own is taken for one."""
    asked = list(requests)
    made = {os.path.realpath(one.target): one.source for one in asked if journal.wrote(one)}
    found: dict[str, str] = {}
    for request in asked:
        source = made.get(os.path.realpath(request.source))
        if source not in (None, request.source):
            found[request.source] = source
    return found


def run_all(
    requests: Iterable[Request],
    *,
    jobs: int = 1,
    journal: Journal | None = None,
    limits: Limits = DEFAULT,
    progress: Callable[[Request], Progress] | None = None,
    watch: Watch | None = None,
) -> Iterator[Outcome]:
    """Each request with what became of it, in order; `jobs` at once, which share the cores. A failure stops nothing
    but a failure to write the journal, which is raised."""
    cores = max(1, len(os.sched_getaffinity(0)) // jobs)

    def one(request: Request) -> Outcome:
        unwritten: list[ImgtoolError] = []
        read: list[Read] = []

        def begins(job: Job) -> None:
            read.append(read_of(job))
            if watch is not None:
                watch(request, job)

        def proved(conversion: Conversion, fd: int) -> None:
            try:
                if journal is not None:
                    journal.add(request, conversion, fd, read[0])
            except ImgtoolError as error:
                unwritten.append(error)
                raise

        shared = request if request.threads is not None else request._replace(threads=max(2, min(8, cores)))
        try:
            earlier = journal.done(request) if journal is not None else None
            if earlier is not None:
                return Outcome(request, earlier=earlier)
            told = progress(request) if progress is not None else None
            conversion = run_request(shared, limits, told, begins, proved)
        except ImgtoolError as error:
            if unwritten:
                raise
            return Outcome(request, error=error)
        return Outcome(request, conversion)

    if jobs == 1:
        yield from map(one, requests)
        return
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="convert")
    waiting: deque[Future[Outcome]] = deque()
    try:
        for request in requests:
            waiting.append(pool.submit(one, request))
            if len(waiting) >= 2 * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # an interruption does not wait for what is under way
        pool.shutdown(wait=False, cancel_futures=True)
