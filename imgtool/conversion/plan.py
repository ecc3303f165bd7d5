"""The plan of a conversion: which engine, with which options, reading what; made and checked before work starts."""

from __future__ import annotations

from typing import NamedTuple

from imgtool.conversion import native
from imgtool.conversion.request import Engine, Request
from imgtool.disks.members import INSIDE
from imgtool.disks.recognise import entry_named
from imgtool.errors import UnsupportedError, UsageError
from imgtool.limits import DEFAULT
from imgtool.model.report import Report
from imgtool.targets.options import Value, checked

#: Source formats that qemu-img may read itself: their size is read in one way only, and QEMU follows nothing that
#: they name, so that not even one that is rewritten under its hands has it open another file.
_DIRECT = frozenset({"raw", "vdi", "vhdx"})


class Plan(NamedTuple):
    """What will be done. `size`: bytes of the disk that is given to the engine, after aligning. `options` are
    checked. `direct`: what qemu-img reads the source as; None where it gets raw bytes that we read."""

    request: Request
    engine: Engine
    options: dict[str, Value]
    size: int
    report: Report
    inner: Report
    direct: str | None = None
    compress: bool = False

    @property
    def shares(self) -> bool:
        """True where the disk's extents are places in the source's own file, whose blocks may be shared."""
        return own_file(self.request, self.report)

    @property
    def source_format(self) -> str | None:
        """The format that the disk is read as."""
        return self.inner.format if self.request.format is None else entry_named(self.request.format).name

    @property
    def container(self) -> str | None:
        """What is around the disk; nothing where the file is read as a format."""
        return self.report.container_format if self.request.format is None else "bare"

    @property
    def foreign_size(self) -> int:
        """Bytes that a guest sees of what qemu-img writes: whole sectors, but of a raw file."""
        return self.size if self.request.to.name == "raw" else -(-self.size // 512) * 512


def make_plan(request: Request, report: Report, disk_size: int) -> Plan:
    """The plan for a source with that report, whose disk has `disk_size` bytes.

    Raises UsageError for options that there are not, UnsupportedError for a target that nothing writes.
    """
    size = -(-disk_size // request.align) * request.align if request.align else disk_size
    if size > DEFAULT.virtual_size:
        raise UsageError(f"align: the disk would have {size} bytes; at most {DEFAULT.virtual_size} can be")
    inner = disk_report(report, request)
    engine, options, compress = chosen(request)
    direct = _direct(request, report, size) if engine == "qemu-img" else None
    return Plan(request, engine, options, size, report, inner, direct, compress)


def chosen(request: Request) -> tuple[Engine, dict[str, Value], bool]:
    """What needs no source: the engine, its options, whether qemu-img is to compress. Raises as `make_plan` does."""
    entry = request.to
    if request.engine != "qemu-img" and entry.writer is not None:
        try:
            options = checked(native.options_of(entry), request.options, entry.name)
        except UsageError as refused:
            if request.engine == "native":
                raise
            return "qemu-img", *_by_qemu(request, refused)
        if request.secret_file is not None:
            raise UsageError(f"{entry.name} is not encrypted with these options, and takes no passphrase")
        return "native", options, False
    if request.engine == "native":
        raise UnsupportedError(f"{entry.name} is not written natively; --engine qemu-img writes it")
    return "qemu-img", *_qemu_options(request)


def _qemu_options(request: Request) -> tuple[dict[str, Value], bool]:
    """Creation options as qemu-img takes them, and whether it is to compress. Raises UsageError, UnsupportedError."""
    from imgtool.conversion import qemu_options as qemu

    entry = request.to
    if entry.name not in qemu.TARGETS:
        raise UnsupportedError(f"{entry.name} is a format that is read, not written")
    given = dict(request.options)
    packed = given.pop("compress", "none")
    if packed not in ("none", "zlib", "zstd"):
        raise UsageError(f"compression is none, zlib or zstd, not {packed!r}")
    if packed != "none" and given.setdefault("compression_type", packed) != packed:
        told = given["compression_type"]
        raise UsageError(f"{entry.name} option compression_type={told}: clusters compressed as {packed} are not")
    if "level" in given:
        raise UsageError("qemu-img takes no level; the native engine does")
    options, compress = checked(qemu.options_of(entry.name), given, entry.name), packed != "none"
    measuring = not request.target and qemu.encrypts(entry.name, options)
    qemu.check(entry.name, options, compress=compress, secret=request.secret_file is not None or measuring)
    return options, compress


def _by_qemu(request: Request, refused: UsageError) -> tuple[dict[str, Value], bool]:
    """What qemu-img makes of options that the native engine refused. Raises UsageError, UnsupportedError: the reason
    of the engine that has options of all these names, or which of them go with neither or not together."""
    from imgtool.conversion import qemu_options as qemu

    try:
        return _qemu_options(request)
    except (UsageError, UnsupportedError):
        tables = native.options_of(request.to), qemu.options_of(request.to.name)
        ours, theirs = ({one.name for one in table} for table in tables)
        theirs |= {"compress"} & ours
        foreign, own = ([one for one in request.options if one not in known] for known in (ours, theirs))
        checked((*tables[0], *tables[1]), {one: "" for one in foreign if one in own}, request.to.name)
        if not foreign:
            raise refused from None
        if not own:
            raise
    raise UsageError(
        f"{request.to.name}: {', '.join(foreign)} is by qemu-img, {', '.join(own)} by the native engine; not both"
    )


def _direct(request: Request, report: Report, size: int) -> str | None:
    """The format that qemu-img may read the source as. Anything but one plain file goes through our own reader, and
    so does what is not sound, or is to be read as something else, however mild the policy. Warnings of a format that
    has structures count as well: of what we read and QEMU does not (a log to replay, other sizes of blocks and
    sectors); of raw bytes they are about what lies inside."""
    bad = ("error",) if report.format == "raw" else ("error", "warning")
    plain = (
        own_file(request, report)
        and report.format in _DIRECT
        and request.snapshot is None
        and request.allow == ()
        and request.format in (None, report.format)
        and all(one.severity not in bad for one in report.findings)
        and size == report.virtual_size
    )
    return report.format if plain else None


def own_file(request: Request, report: Report) -> bool:
    """True where the disk is all in the source's own file: no container, no other file, and not a part of it."""
    return (
        report.container_format == "bare"
        and not report.references
        and not report.members
        and not report.partial
        and request.member is None
        and not request.machine
    )


def disk_report(report: Report, request: Request) -> Report:
    """The report of what is read: the disk itself, or the whole file where its format is given."""
    return report if request.format is not None else inner_report(report, request.member)


def inner_report(report: Report, member: str | None) -> Report:
    """The report of the disk itself: a member's where the source is a container, by the name of `disk_names`."""
    while report.container_format not in (None, "bare") and report.members:
        disks = [one for one in report.members if one.format is not None]
        found = [one for one in disks if member in (None, one.path)]
        if found:
            report, member = found[0], None
            continue
        around = [one for one in disks if member is not None and member.startswith(one.path + INSIDE)]
        if around and member is not None:
            report, member = around[0], member.removeprefix(around[0].path + INSIDE)
        elif len(disks) == 1 and report.container_format == "compressed":
            report = disks[0]
        else:
            break
    return report
