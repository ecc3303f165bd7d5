"""Many conversions: which targets they get, which are done already, and what became of each."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from imgtool.conversion.api import Job, run_request
from imgtool.conversion.journal import Journal
from imgtool.conversion.request import Request
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


def disks_inside(path: str, limits: Limits = DEFAULT, *, device: bool = False) -> tuple[str, ...]:
    """The names of the disks of a container with several of them; () for anything else. Raises InputError."""
    from imgtool.disks.members import disk_names

    with open_file(path, device) as source:
        names = disk_names(recognise(source, limits).primary)
    return names if len(names) > 1 else ()


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
        earlier = journal.done(request) if journal is not None else None
        if earlier is not None:
            return Outcome(request, earlier=earlier)
        unwritten: list[ImgtoolError] = []

        def proved(conversion: Conversion, fd: int) -> None:
            try:
                if journal is not None:
                    journal.add(request, conversion, fd)
            except ImgtoolError as error:
                unwritten.append(error)
                raise

        shared = request if request.threads is not None else request._replace(threads=max(2, min(8, cores)))
        try:
            conversion = run_request(
                shared,
                limits,
                progress(request) if progress is not None else None,
                (lambda job: watch(request, job)) if watch is not None else None,
                proved,
            )
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
