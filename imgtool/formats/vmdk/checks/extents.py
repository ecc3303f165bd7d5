"""VMDK, 03x and 1xx: the extents that a descriptor lists, and what it names outside the file."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.vmdk.checks.descriptor import CREATE_TYPES, descriptors
from imgtool.formats.vmdk.facts import VmdkFacts
from imgtool.formats.vmdk.layout import NO_PARENT
from imgtool.formats.vmdk.told import is_self
from imgtool.limits import Limits

ACCESS = frozenset({"RW", "RDONLY", "NOACCESS"})
TYPES = frozenset({"FLAT", "SPARSE", "ZERO", "VMFS", "VMFSSPARSE", "VMFSRDM", "VMFSRAW", "SESPARSE", "VSANSPARSE"})


@rule("VMD030", "vmdk-bad-extent-line", "error")
def bad_line(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The line of an extent does not hold.

    What it checks: each has an access of RW, RDONLY or NOACCESS, a number of sectors that is not 0, a known type and
    (but for ZERO) a name, on one line.

    Why it matters: one reader skips such a line, another opens what it names.

    What to do: take a fresh copy of the descriptor, or convert the disk again.

    References: VMware "Virtual Disk Format 5.0", section "The Extent Description".
    """
    for parsed in descriptors(facts):
        for offset, line in parsed.bad_lines:
            yield bad_line.at(f"extent line {line!r} cannot be read", offset=offset)
        for extent in parsed.extents:
            if extent.access not in ACCESS:
                yield bad_line.at(f"access of an extent is {extent.access!r}", offset=extent.offset)
            if extent.type not in TYPES:
                yield bad_line.at(f"type of an extent is {extent.type!r}", offset=extent.offset)
            if not extent.sectors:
                yield bad_line.at("an extent has no sectors", offset=extent.offset)
            if extent.type != "ZERO" and not extent.file_name:
                yield bad_line.at(f"a {extent.type} extent has no name", offset=extent.offset)


@rule("VMD031", "vmdk-extent-type-mismatch", "error")
def type_mismatch(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The extents do not go with the type of the disk.

    What it checks: the type of each extent is one that createType has; a descriptor inside a sparse extent lists
    exactly one extent that is a file, of type SPARSE.

    Why it matters: some readers go by the type of the disk, some by that of the extent.

    What to do: take a fresh copy of the descriptor, or convert the disk again.

    References: VMware "Virtual Disk Format 5.0", section "The Extent Description".
    """
    for parsed in descriptors(facts):
        allowed = CREATE_TYPES.get((parsed.value("createType") or "").lower())
        for extent in parsed.extents:
            if allowed is not None and extent.type in TYPES and extent.type not in (*allowed, "ZERO"):
                message = f"a {extent.type} extent in a disk of type {parsed.value('createType')}"
                yield type_mismatch.at(message, offset=extent.offset)
        if facts.kind == "sparse" and parsed.extent_count and not is_self(parsed):
            count = parsed.extent_count
            message = f"a descriptor inside a sparse extent lists {count} extents, not the one that it is itself"
            yield type_mismatch.at(message, offset=parsed.place.offset)


@rule("VMD032", "vmdk-no-extents", "error")
def no_extents(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The descriptor lists no extent that can be read.

    What it checks: a descriptor has at least one line of an extent, and not all of them are NOACCESS.

    Why it matters: the disk has no data; the text was cut, or is hidden from one kind of reader.

    What to do: fetch the descriptor again.

    References: VMware "Virtual Disk Format 5.0", section "The Extent Description".
    """
    for parsed in descriptors(facts):
        if not parsed.extent_count:
            yield no_extents.at("the descriptor lists no extent", offset=parsed.place.offset)
        elif all(extent.access == "NOACCESS" for extent in parsed.extents):
            message = f"all {parsed.extent_count} extents are NOACCESS"
            yield no_extents.at(message, offset=parsed.place.offset)


@rule("VMD033", "vmdk-loose-extent-lines", "warning")
def loose_lines(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """Blank or indented lines stand among the extents.

    What it checks: the lines of the extents follow one another and begin at the left.

    Why it matters: some readers end the list at a blank line or skip an indented one, and see a smaller disk.

    What to do: remove the blanks, or convert the disk again.

    References: VMware "Virtual Disk Format 5.0", section "The Extent Description".
    """
    for parsed in descriptors(facts):
        if parsed.loose is not None:
            yield loose_lines.at("a blank or indented line stands among the extents", offset=parsed.loose)


@rule("VMD101", "vmdk-has-parent", "error")
def has_parent(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The disk is a delta of a parent disk.

    What it checks: parentCID is ffffffff (no parent).

    Why it matters: without the parent, with the same content as then, the disk is not readable; whoever opens it also
    opens the parent.

    What to do: consolidate the snapshots, or `qemu-img convert` the disk where its parent is.

    References: VMware "Virtual Disk Format 5.0", section "Delta Links".
    """
    for parsed in descriptors(facts):
        value = parsed.value("parentCID")
        if value is not None and value.lower().removeprefix("0x") != NO_PARENT:
            yield has_parent.at(f"parentCID is {value}", field="parentCID", offset=parsed.place.offset)


@rule("VMD102", "vmdk-extent-name-not-plain", "error")
def not_plain(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The name of an extent is not a plain file name.

    What it checks: names of extents, that of a monolithic file's own included, have no `/`, `\\`, drive, protocol or
    `..`, and are no device.

    Why it matters: such names lead out of the folder of the disk (CVE-2022-47951).

    What to do: do not open it with anything that follows references; move the extents beside the descriptor, or
    convert the disk again.

    References: VMware "Virtual Disk Format 5.0", section "The Extent Description".
    """
    for parsed in descriptors(facts):
        for extent in (*parsed.extents, *parsed.stray):
            name = extent.file_name
            if name is not None and not _plain(name):
                yield not_plain.at(f"extent {name!r} is not a plain file name", offset=extent.offset)


def _plain(name: str) -> bool:
    if any(letter in "/\\:" or ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return False
    return name not in ("", ".", "..")


EXTENTS = (bad_line, type_mismatch, no_extents, loose_lines, has_parent, not_plain)
