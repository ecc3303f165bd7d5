"""Running a plan: an engine writes into an output that has no name yet, and what was written is read back.

Nothing here gives the target its name: that comes last, when everything holds.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from imgtool.conversion import native
from imgtool.conversion.clock import output_time
from imgtool.conversion.plan import Plan
from imgtool.disks.digest import BlockTree, content_tree
from imgtool.disks.open import disk_of
from imgtool.errors import ContentError, OutputError
from imgtool.formats import RAW
from imgtool.ingest.pump import Progress
from imgtool.limits import Limits
from imgtool.sources.disk import Disk
from imgtool.sources.file import FileSource
from imgtool.sources.flat import FlatDisk
from imgtool.targets.options import checked
from imgtool.targets.output import DeviceOutput, FileOutput


class Made(NamedTuple):
    """What an engine made: bytes of the guest's disk, the tree over the content that was read (if wanted), and
    whether the target was compared already (an encrypted one, which only qemu-img reads back)."""

    virtual_size: int
    tree: BlockTree | None
    compared: bool = False


def make(
    plan: Plan,
    source: FileSource,
    disk: Disk,
    output: FileOutput | DeviceOutput,
    limits: Limits,
    progress: Progress | None,
) -> Made:
    """Write the disk to the output with the plan's engine. Raises what reading, writing and the tool raise."""
    request = plan.request
    if isinstance(output, DeviceOutput) and request.to.name == "raw":
        output.truncate(plan.size)  # where it is too small, that is said before anything is written
    if plan.engine == "native":
        writer = native.open_writer(request.to, output, plan.size, plan.options)
        written = native.write(
            disk,
            writer,
            output_time(),
            digest=request.verify == "content",
            threads=request.threads,
            progress=progress,
            source=source if plan.shares else None,
        )
        return Made(written.virtual_size, written.tree)
    if plan.direct is not None:
        compared = _by_qemu_img(plan, source.fd, plan.direct, output, limits, progress)
        tree = content_tree(disk, progress, request.threads) if request.verify == "content" else None
        return Made(plan.foreign_size, tree, compared)
    with _between(output) as raw:
        writer = native.open_writer(RAW, raw, plan.size, checked(native.options_of(RAW), {}, "raw"))
        written = native.write(
            disk, writer, 0, digest=request.verify == "content", threads=request.threads, progress=progress
        )
        compared = _by_qemu_img(plan, raw.fd, "raw", output, limits, progress)
    return Made(plan.foreign_size, written.tree, compared)


def _between(output: FileOutput | DeviceOutput) -> FileOutput:
    """A raw file on the way to the output, beside it (never beside a device); it gets no name. Raises OutputError."""
    if isinstance(output, DeviceOutput):
        import tempfile

        try:
            folder = tempfile.gettempdir()
        except FileNotFoundError as error:
            raise OutputError(f"{output.name}: no folder for a temporary file is writable; set TMPDIR") from error
        return FileOutput(os.path.join(folder, os.path.basename(output.name)), force=True)
    return FileOutput(output.name, force=True)


def _by_qemu_img(
    plan: Plan, fd: int, format: str, output: FileOutput | DeviceOutput, limits: Limits, progress: Progress | None
) -> bool:
    """Let qemu-img write what is in the open file; True where it compared the two afterwards, as only it can."""
    from imgtool.conversion import qemu_img

    request, target = plan.request, plan.request.to.name
    files = (fd, format, output.fd, target, plan.options)
    names: dict[str, Any] = {"secret_file": request.secret_file, "source": request.source, "target": request.target}
    names |= {"size": plan.size, "progress": progress, "limits": limits}
    qemu_img.convert(*files, compress=plan.compress, **names)
    if request.verify != "content" or not qemu_img.encrypts(target, plan.options):
        return False
    same = qemu_img.equal(*files, **names)
    if not same:
        raise ContentError(_differs(output))
    return True


def _differs(output: FileOutput | DeviceOutput) -> str:
    return f"{output.name}: the guest's bytes that were written are not those that were read; {kept(output)}"


def at_fault(output: FileOutput | DeviceOutput) -> str:
    """What is said of a target with findings that stand against it. On a device it is, as it was proved: there they
    may come from what lay there before, beyond it."""
    return f"{output.name}: {'not kept' if isinstance(output, FileOutput) else 'is on the device, but has faults'}"


def kept(output: FileOutput | DeviceOutput) -> str:
    """What is said of what is left, where what was written is not to be used."""
    return "nothing was kept" if isinstance(output, FileOutput) else "what was on the device is lost"


def read_back(
    plan: Plan, made: Made, output: FileOutput | DeviceOutput, limits: Limits, progress: Progress | None
) -> tuple[str, int]:
    """The content digest of what was written, read through the target format's own reader, and its virtual size.

    Raises ContentError where it is not what was read from the source.
    """
    assert made.tree is not None
    with _reopened(plan, made, output, limits) as disk:
        size = disk.size
        if size < made.virtual_size:
            raise ContentError(f"{output.name}: {size} bytes came out of {made.virtual_size}; {kept(output)}")
        found = content_tree(disk, progress, plan.request.threads).digest(size)
    if found != made.tree.digest(size):
        raise ContentError(_differs(output))
    return found.hex(), size


def _reopened(plan: Plan, made: Made, output: FileOutput | DeviceOutput, limits: Limits) -> Disk:
    """The disk that was written. A raw one on a larger device ends before the device does."""
    source = again(output)
    try:
        disk = disk_of(source, limits, format=plan.request.to.name)
        larger = isinstance(output, DeviceOutput) and plan.request.to.name == "raw" and disk.size > made.virtual_size
        return FlatDisk(disk, made.virtual_size) if larger else disk
    except BaseException:
        source.close()
        raise


def again(output: FileOutput | DeviceOutput) -> FileSource:
    """What was written, as a source of its own; it reads the same file, which has no name yet."""
    fd = os.dup(output.fd)
    return FileSource(fd, os.fstat(fd), output.name, isinstance(output, DeviceOutput))
