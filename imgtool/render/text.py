"""A report as text for people: the facts first, what is inside, what is wrong. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imgtool.findings.core import Finding
from imgtool.model.jsonable import details_names
from imgtool.model.report import Report
from imgtool.model.values import Structure
from imgtool.model.volumes import FileSystem, Partition, Volumes
from imgtool.render.escape import styled, terminal
from imgtool.units import human_size

_WIDTH = 22

#: Members of one container shown without --verbose.
_MEMBERS = 16

#: Details shown without --verbose, in this order, where a format has them.
_TELLING = (
    "wrapper",
    "subformat",
    "create_type",
    "version",
    "compat",
    "kernel_version",
    "architecture",
    "creator",
    "creator_application",
    "cluster_size",
    "block_size",
    "grain_size",
    "compression_type",
    "compression",
    "adapter_type",
    "encryption",
    "cipher",
    "volume_id",
    "uuid",
    "repo_tags",
)


def report_text(report: Report, *, colour: bool = False, verbose: bool = False) -> str:
    """The report of one file, without its checksums (they may come later)."""
    lines = [styled(terminal(report.path), "title", colour)]
    lines += (_line(name, value) for name, value in _summary(report))
    lines += (_line(name, value) for name, value in _details(report, verbose))
    if report.volumes is not None:
        lines += _volumes(report.volumes)
    lines += _members(report.members, "  ", None if verbose else _MEMBERS)
    lines += findings_text(report.findings, colour=colour)
    for member, path in _with_findings(report.members, ""):
        lines += findings_text(member, colour=colour, inside=path)
    return "\n".join(lines) + "\n"


def checksums_text(report: Report) -> str:
    """The lines of a report's checksums."""
    return "".join(f"{_line(name, digest)}\n" for name, digest in report.checksums.items())


def findings_text(findings: Iterable[Finding], *, colour: bool = False, inside: str = "") -> list[str]:
    """A line for each finding: severity, code and name, where, what."""
    lines = []
    for finding in findings:
        where = "" if finding.offset is None else f" at byte {finding.offset}"
        member = f" in {terminal(inside)}" if inside else ""
        head = f"{finding.severity}: {finding.code} {finding.name}{member}{where}"
        lines.append(f"  {styled(head, finding.severity, colour)}: {terminal(finding.message)}")
    return lines


def _line(name: str, value: str) -> str:
    return f"  {name:<{_WIDTH}}{terminal(value)}"


def size_text(size: int | None) -> str:
    """ "1 GiB (1073741824 bytes)", or a dash where it is unknown."""
    if size is None:
        return "-"
    return f"{human_size(size)} ({size} bytes)" if size >= 1024 else human_size(size)


def _summary(report: Report) -> Iterator[tuple[str, str]]:
    state = "broken " if report.broken else ""
    name = f"{state}{report.format or 'unknown'}"
    yield "format", f"{name} ({report.container_format})" if report.container_format else name
    others = [facet.name for facet in report.facets if facet.name not in (report.format, report.container_format)]
    if others:
        yield "also", ", ".join(dict.fromkeys(others))
    if report.disk_formats and report.disk_formats != (report.format,):
        yield "usable as", ", ".join(report.disk_formats)
    yield "virtual size", size_text(report.virtual_size)
    yield "file size", size_text(report.size)
    if report.allocated is not None:
        yield "size on disk", size_text(report.allocated)
    if report.streamed:
        yield "read", "as a stream, once"
    if report.label:
        yield "label", report.label
    if report.encrypted:
        yield "encrypted", "yes: what is inside cannot be inspected"
    for reference in report.references:
        told = f" ({reference.format})" if reference.format else ""
        yield f"{reference.kind}", f"{reference.value}{told}"


def _details(report: Report, verbose: bool) -> Iterator[tuple[str, str]]:
    facts = report.details
    if facts is None:
        return
    names = details_names(facts)
    chosen = names if verbose else [name for name in _TELLING if name in names]
    for name in chosen:
        value: object = getattr(facts, name)
        if value in (None, "", (), False) or (not verbose and value == "none"):
            continue
        shown = _scalar(value)
        if shown is not None:
            if name.endswith("_size") and isinstance(value, int):
                shown = size_text(value)
            yield name.replace("_", " "), shown
    for snapshot in getattr(facts, "snapshots", ()):
        yield "snapshot", f"{snapshot.id} {snapshot.name}"
    for bitmap in getattr(facts, "bitmaps", ()):
        yield "bitmap", bitmap.name


def _scalar(value: object) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (str, int)):
        return str(value)
    if isinstance(value, tuple) and not hasattr(value, "_fields") and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    return None


def _volumes(volumes: Volumes) -> Iterator[str]:
    for table in volumes.tables:
        hybrid = ", hybrid" if table.hybrid else ""
        count = len(table.partitions)
        known = f", {table.id}" if table.id else ""
        told = f"{table.kind}{hybrid}: {count} partition{'' if count == 1 else 's'}"
        yield _line("partitions", f"{told}, {table.sector_size} byte sectors{known}")
        for partition in table.partitions:
            yield f"    {terminal(_partition(partition))}"
    for system in volumes.filesystems:
        yield _line("file system", _filesystem(system))
    boot = volumes.boot
    if boot is not None and (boot.bios or boot.efi):
        ways = [name for name, there in (("BIOS", boot.bios), ("UEFI", boot.efi)) if there]
        extra = [part for part in (boot.loader, boot.architecture) if part]
        yield _line("boots by", ", ".join([" and ".join(ways), *extra]))


def _partition(partition: Partition) -> str:
    parts = [f"{partition.number:>3}  {human_size(partition.length):>9} at {partition.start}"]
    parts.append(partition.type_name or partition.type)
    if partition.name:
        parts.append(repr(partition.name))
    if partition.filesystem is not None:
        parts.append(_filesystem(partition.filesystem))
    if partition.flags:
        parts.append(f"[{', '.join(partition.flags)}]")
    return "  ".join(parts)


def _filesystem(system: FileSystem) -> str:
    parts = [system.kind]
    if system.label:
        parts.append(repr(system.label))
    if system.uuid:
        parts.append(system.uuid)
    return " ".join(parts)


def _members(members: tuple[Report, ...], indent: str, most: int | None) -> Iterator[str]:
    for member in members[:most]:
        size = human_size(member.size) if member.size is not None else "-"
        told = member.format or "-"
        if member.container_format not in (None, "bare"):
            told = f"{told} in {member.container_format}"
        if member.virtual_size is not None and member.virtual_size != member.size:
            told += f", {human_size(member.virtual_size)} virtual"
        yield f"{indent}{'member':<{_WIDTH}}{terminal(member.path)}: {size}, {told}"
        yield from _members(member.members, indent + "  ", most)
    if most is not None and len(members) > most:
        yield f"{indent}{'members':<{_WIDTH}}and {len(members) - most} more (see --verbose)"


def _with_findings(members: tuple[Report, ...], above: str) -> Iterator[tuple[tuple[Finding, ...], str]]:
    for member in members:
        path = f"{above}{member.path}"
        if member.findings:
            yield member.findings, path
        yield from _with_findings(member.members, f"{path} → ")


#: The columns of the table for many files; the path comes last, so nothing has to be measured first.
COLUMNS = ("FORMAT", "CONTAINER", "VIRTUAL SIZE", "ON DISK", "FINDINGS", "PATH")
_WIDTHS = (11, 11, 13, 10, 18)


def table_head() -> str:
    """The head of the table for many files."""
    return table_line(COLUMNS)


def table_line(cells: Iterable[str]) -> str:
    """One line of the table: cells padded, the last one as it is."""
    *front, last = cells
    return "".join(f"{cell:<{width}} " for cell, width in zip(front, _WIDTHS, strict=True)) + last + "\n"


def table_row(report: Report) -> str:
    """One file as a line of the table."""
    name = f"{'broken ' if report.broken else ''}{report.format or '-'}"
    size = "-" if report.virtual_size is None else human_size(report.virtual_size)
    disk = report.allocated if report.allocated is not None else report.size
    counts = [
        f"{count} {severity}{'s' if count > 1 else ''}"
        for severity in ("error", "warning")
        if (count := count_findings(report, severity))
    ]
    cells = (name, report.container_format or "-", size, human_size(disk or 0), ", ".join(counts) or "-")
    return table_line((*cells, terminal(report.path)))


def count_findings(report: Report, severity: str) -> int:
    """Findings of a severity, members included."""
    own = sum(finding.severity == severity for finding in report.findings)
    return own + sum(count_findings(member, severity) for member in report.members)


def structures_text(structures: Iterable[Structure]) -> str:
    """The annotated header: every field with offset, length, hex, value, meaning."""
    lines = []
    for structure in structures:
        at = f"{structure.offset} (0x{structure.offset:x})"
        lines.append(f"{terminal(structure.name)} at {at}, {structure.length} bytes")
        for field in structure.fields:
            raw = field.raw if len(field.raw) <= 32 else field.raw[:29] + "..."
            meaning = f"  {terminal(field.meaning)}" if field.meaning else ""
            lines.append(
                f"  {field.offset:>10}  {field.length:>4}  {raw:<32}  {field.name} = {terminal(field.value)}{meaning}"
            )
    return "\n".join(lines) + "\n" if lines else ""
