"""The library calls: `imgtool.convert` and `imgtool.measure`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

from imgtool.conversion import native
from imgtool.conversion.clock import output_time
from imgtool.conversion.estimates import disk_size, estimate
from imgtool.conversion.gate import judged, judged_beside, refuse
from imgtool.conversion.judge import after, before
from imgtool.conversion.machine import root_range
from imgtool.conversion.plan import Plan, chosen, disk_report, make_plan
from imgtool.conversion.planned import Finished, Planned
from imgtool.conversion.request import (
    ENGINES,
    VERIFY,
    Request,
    allowed_codes,
    one_of,
    target_named,
    with_compression,
)
from imgtool.conversion.run import again, at_fault, kept, make, read_back
from imgtool.disks.links import Followed, permission
from imgtool.disks.open import disk_of
from imgtool.disks.recognise import entry_named
from imgtool.errors import InputError, OutputError, UsageError
from imgtool.findings.core import Finding
from imgtool.ingest.pump import Progress
from imgtool.inspection.conductor import examine
from imgtool.inspection.options import Options
from imgtool.limits import DEFAULT, Limits
from imgtool.model.conversion import Conversion, Measure
from imgtool.model.report import Report
from imgtool.sources.behind import Piece, overlap, pieces, thing
from imgtool.sources.disk import Disk
from imgtool.sources.file import FileSource, open_file
from imgtool.sources.flat import FlatDisk
from imgtool.targets.output import CountingOutput, DeviceOutput, FileOutput, counted_output, open_output
from imgtool.units import parse_size

#: Runs of a source that tell whether it is compressed.
_LOOKED_AT = 1024


class Job(NamedTuple):
    """A source that was let in, its disk, and what will be done with it; `losses` are findings of that plan,
    `followed` the files that the source refers to and that are read."""

    plan: Plan
    source: FileSource
    disk: Disk
    losses: tuple[Finding, ...]
    followed: frozenset[Followed] = frozenset()

    @property
    def work(self) -> int:
        """Bytes that go by in all: read, and read back."""
        passes = 1 if self.plan.engine == "native" or self.plan.direct is not None else 2
        if self.plan.request.verify == "content":
            passes += 2 if self.plan.direct is not None else 1
        return passes * self.disk.size


def convert(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    to: str,
    *,
    options: Mapping[str, str] | None = None,
    compress: str | None = None,
    level: int | None = None,
    engine: str = "auto",
    verify: str = "content",
    align: int | str = 0,
    force: bool = False,
    format: str | None = None,
    snapshot: str | None = None,
    member: str | None = None,
    follow: bool | str | os.PathLike[str] = False,
    device: bool = False,
    policy: str | os.PathLike[str] = "default",
    if_unsafe: str = "reject",
    secret_file: str | None = None,
    threads: int | None = None,
    limits: Limits = DEFAULT,
    progress: Progress | None = None,
) -> Conversion:
    """Write the guest's disk of `src` to `dst` in the format `to` ("ami" is the root file system, raw).

    `options`: the target's creation options as they are typed; `compress` ("zlib", "zstd") and `level` are the usual
    two of a qcow2. `engine`: "native", "qemu-img", or "auto", which is native where that writes the format. `verify`:
    "content" reads the target back and compares the guest's bytes, "none" does not. `align`: bytes, or a size; the
    disk grows to a multiple. `force`: an existing target is replaced when the new one is whole, which gets its
    permissions; a symbolic link is replaced itself. `format`, `snapshot`, `member`, `follow`, `device` are as for
    `open_disk`. `policy`: what the source must satisfy; `if_unsafe`: "reject", "allow", or codes of findings that do
    not stop it. `secret_file`: holds the passphrase of a luks target.

    The target has its name only when it is whole, flushed and verified. Raises RejectedError, InputError,
    UnsupportedError, ToolError, OutputError (ExistsError, ContentError), UsageError; then nothing is left of it.
    """
    request = request_of(
        os.fsdecode(src),
        os.fsdecode(dst),
        to,
        options=options or {},
        compress=compress,
        level=level,
        engine=engine,
        verify=verify,
        align=align,
        force=force,
        format=format,
        snapshot=snapshot,
        member=member,
        follow=follow,
        device=device,
        policy=policy,
        if_unsafe=if_unsafe,
        secret_file=secret_file,
        threads=threads,
    )
    return run_request(request, limits, progress)


def measure(
    src: str | os.PathLike[str],
    to: str,
    *,
    options: Mapping[str, str] | None = None,
    compress: str | None = None,
    level: int | None = None,
    engine: str = "auto",
    align: int | str = 0,
    format: str | None = None,
    snapshot: str | None = None,
    member: str | None = None,
    follow: bool | str | os.PathLike[str] = False,
    device: bool = False,
    policy: str | os.PathLike[str] = "default",
    if_unsafe: str = "reject",
    threads: int | None = None,
    limits: Limits = DEFAULT,
    progress: Progress | None = None,
) -> Measure:
    """How many bytes the file would have that `convert` writes. The arguments are those of `convert`.

    What the native engine writes is exact: everything is done but the writing (so compressed targets take as long as
    converting does). For the other targets it is an estimate, from the blocks that hold data.
    """
    request = request_of(
        os.fsdecode(src),
        "",
        to,
        options=options or {},
        compress=compress,
        level=level,
        engine=engine,
        verify="none",
        align=align,
        format=format,
        snapshot=snapshot,
        member=member,
        follow=follow,
        device=device,
        policy=policy,
        if_unsafe=if_unsafe,
        threads=threads,
    )
    with prepared(request, limits) as job:
        return measured(job, progress)


def request_of(
    src: str,
    dst: str,
    to: str,
    *,
    options: Mapping[str, str],
    compress: str | None = None,
    level: int | None = None,
    engine: str = "auto",
    verify: str = "content",
    align: int | str = 0,
    if_unsafe: str = "reject",
    **rest: Any,
) -> Request:
    """What was asked for, checked as far as that can be done without the source; `rest` are fields of Request.

    Raises UsageError, and UnsupportedError where the engine does not write the target.
    """
    entry, machine = target_named(to)
    request = Request(
        src,
        dst,
        entry,
        machine,
        with_compression(options, entry, compress, level),
        one_of("the engine", engine, ENGINES),
        one_of("verify", verify, VERIFY),
        _aligned(align),
        allow=allowed_codes(if_unsafe),
    )
    request = request._replace(**rest)
    if request.threads is not None and request.threads < 1:
        raise UsageError(f"threads: {request.threads} is less than 1")
    chosen(request)
    permission(request.follow, None)  # what is no folder is said before a source is opened
    if isinstance(request.secret_file, str):
        from imgtool.conversion.qemu_given import read_secret

        request = request._replace(secret_file=read_secret(request.secret_file, DEFAULT))
    return request


def _aligned(align: int | str) -> int:
    """Bytes. Raises UsageError."""
    size = parse_size(align) if isinstance(align, str) else align
    if not 0 <= size <= DEFAULT.virtual_size:
        raise UsageError(f"align: {size} is not between 0 and {DEFAULT.virtual_size}")
    return size


@contextmanager
def prepared(request: Request, limits: Limits) -> Iterator[Job]:
    """The source, judged and opened, and the plan. Raises what stands against it, before anything is written."""
    with open_file(request.source, request.device) as source:
        allowed = permission(request.follow, request.source)
        seen: set[Followed] = set()
        report = judged(source, request, limits)
        report = judged_beside(source, report, request, limits, allowed._replace(opened=seen))
        followed: set[Followed] = set()
        opened = disk_of(
            source,
            limits,
            format=request.format,
            snapshot=request.snapshot,
            member=request.member,
            allowed=allowed._replace(opened=followed),
        )
        with opened as whole:
            for one in seen - followed:
                raise InputError(f"{one.path}: changed while it was opened; try again")
            disk = _root(whole, request, report) if request.machine else whole
            plan = make_plan(request, report, disk.size)
            losses = before(planned_of(plan, disk), limits)
            refuse(
                (one for one in losses if one.severity == "error"),
                request.allow,
                f"{request.source}: cannot become {request.to.name}",
            )
            yield Job(plan, source, disk, losses, frozenset(followed))


def run_request(
    request: Request,
    limits: Limits = DEFAULT,
    progress: Progress | None = None,
    on_job: Callable[[Job], None] | None = None,
    on_proved: Callable[[Conversion, int], None] | None = None,
) -> Conversion:
    """Convert as asked. `on_job` is told the plan before work starts, `on_proved` the conversion and the descriptor
    of what was written before that gets its name. Raises as `convert` does, and what these raise."""
    began = time.monotonic()
    with prepared(request, limits) as job:
        if on_job is not None:
            on_job(job)
        not_itself(request.target, job)
        with open_output(request.target, force=request.force) as output:
            conversion = _run(job, output, limits, progress, began)
            if on_proved is not None:
                on_proved(conversion, output.fd)
            output.commit()
            return conversion._replace(seconds=round(time.monotonic() - began, 3))


def _run(
    job: Job, output: FileOutput | DeviceOutput, limits: Limits, progress: Progress | None, began: float
) -> Conversion:
    plan, request = job.plan, job.plan.request
    made = make(plan, job.source, job.disk, output, limits, progress)
    _unchanged(job, output)
    digest, size, verified = None, made.virtual_size, False
    if made.compared and made.tree is not None:
        digest, verified = made.tree.digest(size).hex(), True
    elif request.verify == "content":
        digest, size = read_back(plan, made, output, limits, progress)
        verified = True
    with again(output) as written:
        report = examine(written, request.target, Options(limits, limits.depth))
        file_size, allocated = written.size, written.allocated
    if not verified and report.format == request.to.name != "raw":  # raw has no size of its own on a larger device
        size = report.virtual_size or size
    findings = after(Finished(planned_of(plan, job.disk), report, size), limits)
    refuse((one for one in findings if one.severity == "error"), request.allow, at_fault(output))
    _unchanged(job, output)
    return Conversion(
        path=request.source,
        target=request.target,
        source_format=plan.source_format,
        container=plan.container,
        member=request.member,
        format="ami" if request.machine else request.to.name,
        engine=plan.engine,
        virtual_size=size,
        file_size=file_size,
        allocated=allocated,
        digest=digest,
        verified=verified,
        seconds=round(time.monotonic() - began, 3),
        options=plan.options,
        losses=job.losses,
        findings=findings,
    )


def _unchanged(job: Job, output: FileOutput | DeviceOutput) -> None:
    """Raise InputError where the source is not what it was when it was opened."""
    changed = job.source.changed()
    if changed is not None:
        raise InputError(f"{job.source.name}: changed while it was read ({changed}); {kept(output)}")
    for one in job.followed:
        try:
            now = os.stat(one.path)
        except OSError:
            continue  # that it is gone is no change of what was read
        if (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) != (one.device, one.inode, one.size, one.mtime_ns):
            raise InputError(f"{one.path}: changed while it was read; {kept(output)}")


def rehearsed(job: Job, limits: Limits, progress: Progress | None = None) -> Measure:
    """How large the target of a job would be. Raises what would stand against writing it, as far as that is known
    while nothing is opened for writing."""
    plan, request = job.plan, job.plan.request
    not_itself(request.target, job)
    output = counted_output(request.target, force=request.force)
    if plan.engine == "qemu-img":
        from imgtool.conversion import qemu_img, qemu_options

        if not output.known_zeros:
            qemu_options.check_device(request.to.name)
        qemu_img.find(limits)
        if request.to.name == "raw":
            output.truncate(plan.size)
    return measured(job, progress, output)


def measured(job: Job, progress: Progress | None = None, output: CountingOutput | None = None) -> Measure:
    """How large the target of a job would be, in bytes; `output` counts them."""
    plan = job.plan
    if plan.engine == "native":
        output = output or CountingOutput(plan.request.source)
        writer = native.open_writer(plan.request.to, output, plan.size, plan.options)
        written = native.write(
            job.disk, writer, output_time(), digest=False, threads=plan.request.threads, progress=progress
        )
        required, virtual_size = written.file_size, written.virtual_size
    else:
        required, virtual_size = estimate(plan, job.disk), disk_size(plan)
    return Measure(
        path=plan.request.source,
        target=plan.request.target or None,
        source_format=plan.source_format,
        container=plan.container,
        member=plan.request.member,
        format="ami" if plan.request.machine else plan.request.to.name,
        engine=plan.engine,
        virtual_size=virtual_size,
        required=required,
        exact=plan.engine == "native",
        options=plan.options,
        losses=job.losses,
    )


def planned_of(plan: Plan, disk: Disk) -> Planned:
    """The plan as its rules look at it."""
    request = plan.request
    left_out = root_range(plan.inner.volumes, request.source).left_out if request.machine else ()
    return Planned(
        report=plan.inner,
        outer=plan.report,
        to="ami" if request.machine else request.to.name,
        engine=plan.engine,
        options=plan.options,
        source_size=disk.size,
        target_size=plan.size,
        compress=plan.compress or str(plan.options.get("compress", "none")) != "none",
        member=request.member,
        snapshot=request.snapshot,
        left_out=left_out,
        compressed=any(one.kind == "compressed" for one in islice(disk.extents(), _LOOKED_AT)),
        read_as=None if request.format is None else entry_named(request.format).name,
    )


def _root(whole: Disk, request: Request, report: Report) -> Disk:
    """The root file system of a disk as a disk of its own, which closes the whole one."""
    start, length, _ = root_range(disk_report(report, request).volumes, request.source)
    return whole if length is None else FlatDisk(whole, length, start)


def not_itself(target: str, job: Job) -> None:
    """Raise OutputError where the target is a file, or a device, that is read: also by what lies behind a device, as
    the file of a loop device, or the disk of a partition."""
    try:
        there = pieces(thing(os.stat(target)))
    except (OSError, ValueError):
        return
    if overlap(there, pieces(thing(os.fstat(job.source.fd)))):
        raise OutputError(f"{target}: is the source itself; name another target")
    if overlap(there, (Piece(("file", one.device, one.inode)) for one in job.followed)):
        raise OutputError(f"{target}: is a file that the source refers to; name another target")
