"""VHD, 0xx and 1xx: footers, the dynamic disk header, where its table lies. Cost of each: the headers alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.vhd import layout as lay
from imgtool.formats.vhd.facts import VhdFacts
from imgtool.limits import Limits
from imgtool.units import SECTOR, ceil_div, is_power_of_two


@rule("VHD001", "vhd-footers-disagree", "error")
def footers_disagree(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The footer at the end and its copy at the start of the file are not the same.

    What it checks: where both are there, they are equal byte by byte. The fields that differ are named.

    Why it matters: QEMU reads the copy at the start, other programs the footer at the end: one file, two
    disks. A fixed disk whose guest wrote a footer into its first sector looks like this too.

    What to do: find out which of the two holds; convert the image with a program that shows the right size.

    References: Virtual Hard Disk Image Format Specification 1.0, "Hard Disk Footer Format".
    """
    if facts.trailing is None or facts.copy is None:
        return
    first, second = comparable(facts.trailing.record), comparable(facts.copy.record)
    names = [name for name, left, right in zip(lay.Footer._fields, first, second, strict=True) if left != right]
    if names:
        message = f"the footer at {facts.trailing.offset} and its copy at 0 differ in {', '.join(names)}"
        yield footers_disagree.at(message, offset=facts.trailing.offset, length=facts.trailing.size)


def comparable(footer: lay.Footer) -> lay.Footer:
    """The footer without the last byte, which the old ones of 511 bytes lack."""
    return footer._replace(reserved=footer.reserved[: lay.OLD_FOOTER_SIZE - 85])


@rule("VHD002", "vhd-footer-copy-missing", "error")
def copy_missing(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """A dynamic or differencing disk has no copy of its footer at the start.

    What it checks: the footer at the end says type 3 or 4, and the file begins with `conectix`.

    Why it matters: a program that looks at the start sees no VHD at all; QEMU takes the file for a fixed
    disk and shows the guest the tables instead of the data.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: Virtual Hard Disk Image Format Specification 1.0, "Dynamic Hard Disk Image".
    """
    sparse = facts.disk_type in (lay.DISK_DYNAMIC, lay.DISK_DIFFERENCING)
    if sparse and facts.trailing is not None and facts.copy is None:
        message = f"the disk is {facts.subformat}, and no copy of its footer is at 0"
        yield copy_missing.at(message, offset=0, length=lay.FOOTER_SIZE)


@rule("VHD003", "vhd-trailing-footer-missing", "warning")
def trailing_missing(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The file does not end with a footer; only its copy at the start is there.

    What it checks: the last 512 (or 511) bytes begin with `conectix`. For a fixed disk, which has no copy by
    rights, this is an error.

    Why it matters: the file was cut, or something was appended. Programs that look at the end refuse it.

    What to do: fetch the image again and compare its size and checksum with the publisher's.

    References: Virtual Hard Disk Image Format Specification 1.0, "Hard Disk Footer Format".
    """
    if facts.trailing is None:
        fixed = facts.disk_type == lay.DISK_FIXED
        message = "no footer is at the end of the file, only one at 0"
        yield trailing_missing.at(message, offset=facts.file_size, severity="error" if fixed else None)


@rule("VHD004", "vhd-bad-version", "error")
def bad_version(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The version of the footer or of the dynamic disk header is not one that exists.

    What it checks: file_format_version and header_version are 0x00010000.

    Why it matters: no reader can know what the other fields mean.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: Virtual Hard Disk Image Format Specification 1.0, "File Format Version", "Header Version".
    """
    if facts.file_format_version != lay.VERSION:
        message = f"file_format_version is 0x{facts.file_format_version:08x}, known is 0x{lay.VERSION:08x}"
        yield bad_version.at(message, field="file_format_version", offset=facts.footer_offset + 12, length=4)
    if facts.header_version is not None and facts.header_version != lay.VERSION:
        message = f"header_version is 0x{facts.header_version:08x}, known is 0x{lay.VERSION:08x}"
        yield bad_version.at(message, field="header_version", offset=facts.data_offset + 24, length=4)


@rule("VHD005", "vhd-unknown-disk-type", "error")
def unknown_type(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The disk type is not one that is in use.

    What it checks: disk_type is 2 (fixed), 3 (dynamic) or 4 (differencing).

    Why it matters: nobody can tell where the guest's bytes are.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: Virtual Hard Disk Image Format Specification 1.0, "Disk Type".
    """
    if facts.disk_type not in (lay.DISK_FIXED, lay.DISK_DYNAMIC, lay.DISK_DIFFERENCING):
        message = f"disk_type is {facts.disk_type}, in use are 2, 3 and 4"
        yield unknown_type.at(message, field="disk_type", offset=facts.footer_offset + 60, length=4)


@rule("VHD006", "vhd-fixed-size-mismatch", "error")
def fixed_size(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """A fixed disk is not as long as its footer says.

    What it checks: current_size and the footer together are the size of the file.

    Why it matters: bytes are missing in front of the footer, or others stand there that no guest sees.

    What to do: fetch the image again and compare its size and checksum with the publisher's.

    References: Virtual Hard Disk Image Format Specification 1.0, "Fixed Hard Disk Image".
    """
    if facts.disk_type != lay.DISK_FIXED or facts.trailing is None:
        return
    if facts.current_size != facts.trailing.offset:
        message = f"current_size is {facts.current_size} bytes, {facts.trailing.offset} stand before the footer"
        yield fixed_size.at(message, field="current_size", offset=facts.footer_offset + 48, length=8)


@rule("VHD007", "vhd-fixed-data-offset", "error")
def fixed_data_offset(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """A fixed disk points to a further header.

    What it checks: data_offset of a fixed disk has all 64 bits set. 0x00000000ffffffff is a warning: the
    specification's text says so, and every program writes 64 bits.

    Why it matters: a program that looks for the header there reads the guest's bytes as tables.

    What to do: convert the image again from its source.

    References: Virtual Hard Disk Image Format Specification 1.0, "Data Offset".
    """
    if facts.disk_type != lay.DISK_FIXED or facts.data_offset == lay.NO_OFFSET:
        return
    message = f"data_offset is 0x{facts.data_offset:016x}, not 0x{lay.NO_OFFSET:016x}"
    yield fixed_data_offset.at(
        message,
        field="data_offset",
        offset=facts.footer_offset + 16,
        length=8,
        severity="warning" if facts.data_offset == lay.NO_OFFSET_32 else None,
    )


@rule("VHD008", "vhd-dynamic-header-misplaced", "error")
def header_misplaced(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The dynamic disk header lies where it cannot.

    What it checks: data_offset of a dynamic or differencing disk is at least 512, a multiple of 512, and the
    header's 1024 bytes end inside the file.

    Why it matters: at a wrong place other bytes are read as the header, the footer's copy among them.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: Virtual Hard Disk Image Format Specification 1.0, "Data Offset", "Dynamic Disk Header Format".
    """
    if facts.disk_type not in (lay.DISK_DYNAMIC, lay.DISK_DIFFERENCING):
        return
    at, end = facts.data_offset, facts.data_offset + lay.DYNAMIC_HEADER_SIZE
    if at < lay.FOOTER_SIZE or at % SECTOR or end > facts.file_size:
        message = (
            f"data_offset is {at}: a sector from 512 on, {lay.DYNAMIC_HEADER_SIZE} bytes before the end, is allowed"
        )
        yield header_misplaced.at(message, field="data_offset", offset=facts.footer_offset + 16, length=8)


@rule("VHD009", "vhd-bad-block-size", "error")
def bad_block_size(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The block size is not a power of two of at least a sector.

    What it checks: block_size of a dynamic or differencing disk is a power of two and at least 512.

    Why it matters: every place in the image is computed from it; 0 has made programs divide by zero.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: Virtual Hard Disk Image Format Specification 1.0, "Block Size".
    """
    if facts.block_size is not None and not _usable(facts.block_size):
        message = f"block_size is {facts.block_size}: a power of two of at least 512 is allowed"
        yield bad_block_size.at(message, field="block_size", offset=facts.data_offset + 32, length=4)


def _usable(block_size: int) -> bool:
    return block_size >= SECTOR and is_power_of_two(block_size)


@rule("VHD010", "vhd-block-table-misplaced", "error")
def table_misplaced(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The block allocation table is not inside the file, or lies on the headers.

    What it checks: table_offset is a multiple of 512, and the table of max_table_entries × 4 bytes ends
    inside the file, touching neither the footer's copy nor the dynamic disk header.

    Why it matters: the whole mapping of the disk hangs on it.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: Virtual Hard Disk Image Format Specification 1.0, "Table Offset", "Block Allocation Table".
    """
    if facts.table_offset is None or facts.max_table_entries is None:
        return
    at, length = facts.table_offset, facts.max_table_entries * 4
    place = facts.data_offset + 16
    header_end = facts.data_offset + lay.DYNAMIC_HEADER_SIZE
    if at % SECTOR or at + length > facts.file_size:
        message = f"block allocation table at {at} ends at {at + length}, the file at {facts.file_size}"
        yield table_misplaced.at(message, field="table_offset", offset=place, length=8)
    elif at < lay.FOOTER_SIZE or (length and at < header_end and facts.data_offset < at + length):
        message = f"block allocation table at {at} of {length} bytes lies on the headers"
        yield table_misplaced.at(message, field="table_offset", offset=place, length=8)


@rule("VHD011", "vhd-block-table-too-small", "error")
def table_too_small(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The block allocation table has fewer entries than the disk has blocks.

    What it checks: max_table_entries is at least the current size divided by block_size, rounded up.

    Why it matters: the end of the disk has no place in the file; programs refuse it or read past the table.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: Virtual Hard Disk Image Format Specification 1.0, "Max Table Entries".
    """
    needed = _entries_needed(facts)
    if needed is not None and facts.max_table_entries is not None and facts.max_table_entries < needed:
        message = (
            f"max_table_entries is {facts.max_table_entries}, the disk of {_largest(facts)} bytes needs {needed}"
        )
        yield table_too_small.at(message, field="max_table_entries", offset=facts.data_offset + 28, length=4)


@rule("VHD012", "vhd-block-table-larger-than-needed", "note")
def table_larger(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The block allocation table has more entries than the disk has blocks.

    What it checks: max_table_entries is the current size divided by block_size, rounded up.

    Why it matters: it does no harm; QEMU writes an entry more than is needed. Far more entries hint at a
    disk that was made smaller.

    What to do: nothing.
    """
    needed = _entries_needed(facts)
    if needed is not None and facts.max_table_entries is not None and facts.max_table_entries > needed:
        message = f"max_table_entries is {facts.max_table_entries}, needed are {needed}"
        yield table_larger.at(message, field="max_table_entries", offset=facts.data_offset + 28, length=4)


def _largest(facts: VhdFacts) -> int:
    """The size that the table must cover: what a guest sees, and the current size."""
    return max(facts.current_size, facts.virtual_size or 0)


def _entries_needed(facts: VhdFacts) -> int | None:
    if facts.block_size is None or not _usable(facts.block_size):
        return None
    return ceil_div(_largest(facts), facts.block_size)


@rule("VHD013", "vhd-saved-state", "warning")
def saved_state(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The disk belongs to a virtual machine in a saved state.

    What it checks: the saved_state byte of the footer is 0.

    Why it matters: what the machine held in memory is not in the disk; its file systems are as after a
    power cut, and starting it without the saved state loses what was not written.

    What to do: resume the machine and shut it down, then copy the disk again.

    References: Virtual Hard Disk Image Format Specification 1.0, "Saved State".
    """
    if facts.saved_state:
        message = "the saved_state flag is set"
        yield saved_state.at(message, field="saved_state", offset=facts.footer_offset + 84, length=1)


@rule("VHD014", "vhd-null-uuid", "warning")
def null_uuid(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The disk has no identity.

    What it checks: unique_id is not all zeros.

    Why it matters: a differencing disk names its parent by it; two disks without one cannot be told apart.

    What to do: convert the image with a program that writes one.

    References: Virtual Hard Disk Image Format Specification 1.0, "Unique Id".
    """
    if not any(facts.footer.record.unique_id):
        message = "unique_id is all zeros"
        yield null_uuid.at(message, field="unique_id", offset=facts.footer_offset + 68, length=16)


@rule("VHD015", "vhd-unknown-creator", "warning")
def unknown_creator(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The program that made the disk is not known.

    What it checks: creator_application is one of the signatures that programs are known to write.

    Why it matters: programs choose by it whether current_size or the geometry is the size of the disk.

    What to do: compare the size that the maker shows with the one reported here.

    References: Virtual Hard Disk Image Format Specification 1.0, "Creator Application".
    """
    creator = facts.footer.record.creator_application
    if creator not in lay.CREATORS:
        message = f"creator_application is {creator!r}"
        yield unknown_creator.at(message, field="creator_application", offset=facts.footer_offset + 28, length=4)


@rule("VHD101", "vhd-parent-of-other-type", "warning")
def parent_of_other_type(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """A disk that is not differencing names a parent.

    What it checks: only type 4 has a parent name or parent locators.

    Why it matters: a program that trusts the locators more than the type reads another file.

    What to do: convert the image (`qemu-img convert -f vpc`), which drops them.

    References: Virtual Hard Disk Image Format Specification 1.0, "Implementing a Differencing Hard Disk".
    """
    if facts.disk_type != lay.DISK_DIFFERENCING and (facts.parent_name or facts.parent_locators):
        message = f"the disk is {facts.subformat} and names a parent"
        yield parent_of_other_type.at(message, offset=facts.data_offset + lay.PARENT_NAME_AT, length=512)


STRUCTURE = (
    footers_disagree,
    copy_missing,
    trailing_missing,
    bad_version,
    unknown_type,
    fixed_size,
    fixed_data_offset,
    header_misplaced,
    bad_block_size,
    table_misplaced,
    table_too_small,
    table_larger,
    saved_state,
    null_uuid,
    unknown_creator,
    parent_of_other_type,
)
