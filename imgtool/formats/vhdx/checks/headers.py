"""VHDX: identifier, headers and the log. Cost of each: the headers alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.vhdx import layout as lay
from imgtool.formats.vhdx.facts import HeaderCopy, VhdxFacts
from imgtool.limits import Limits
from imgtool.units import MIB


@rule("VHX001", "vhdx-bad-file-identifier", "error")
def bad_identifier(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """The file does not begin with the identifier of the format, though a header of it is there.

    What it checks: the first eight bytes are `vhdxfile` where a header with a right checksum lies at 64 KiB.

    Why it matters: programs that look at the first bytes take the file for something else.

    What to do: fetch the image again and compare its checksum with the publisher's.

    References: [MS-VHDX] 2.2.1.
    """
    if facts.identifier != lay.FILE_SIGNATURE:
        message = f"the file begins with {facts.identifier!r}, and a VHDX header is at {lay.HEADERS_AT[0]}"
        yield bad_identifier.at(message, field="signature", offset=0, length=8)


@rule("VHX002", "vhdx-no-valid-header", "error")
def no_header(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """Neither of the two headers is valid.

    What it checks: at 64 KiB or at 128 KiB lies a header with its signature and a right CRC-32C.

    Why it matters: nobody can tell where the log is and whether it must be replayed.

    What to do: fetch the image again and compare its checksum with the publisher's.

    References: [MS-VHDX] 2.2.2.
    """
    if facts.active_header is None:
        faults = "; ".join(_fault(header) for header in facts.headers) or "both lie past the end of the file"
        yield no_header.at(faults, offset=lay.HEADERS_AT[0], length=2 * 64 * 1024)


def _fault(header: HeaderCopy) -> str:
    where = f"header at {header.offset}"
    if header.signature != lay.HEADER_SIGNATURE:
        return f"{where}: begins with {header.signature!r}"
    return f"{where}: checksum is 0x{header.checksum:08x}, its bytes give 0x{header.computed:08x}"


@rule("VHX003", "vhdx-one-header-invalid", "warning")
def one_header(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """One of the two headers is invalid; the other one was read.

    What it checks: both headers have their signature and a right CRC-32C.

    Why it matters: a program that wrote to the file was interrupted, or the file is damaged; the second
    header is there for this, and now there is none left.

    What to do: open it once for writing with the program that made it, or convert it.

    References: [MS-VHDX] 2.2.2.
    """
    if facts.active_header is not None:
        for header in facts.headers:
            if not header.sound:
                yield one_header.at(_fault(header), offset=header.offset, length=lay.HEADER_SIZE)


@rule("VHX004", "vhdx-headers-collide", "error")
def headers_collide(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """Both headers are valid, have the same sequence number, and differ.

    What it checks: where the sequence numbers are equal, so is all the rest.

    Why it matters: nothing says which of the two holds: two programs may see two logs.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.2.2.1.
    """
    sound = [header for header in facts.headers if header.sound]
    if len(sound) == 2 and sound[0].sequence_number == sound[1].sequence_number:
        first, second = (header._replace(offset=0) for header in sound)
        if first != second:
            message = f"both headers have the sequence number {first.sequence_number} and differ"
            yield headers_collide.at(message, field="sequence_number", offset=sound[1].offset + 8, length=8)


@rule("VHX005", "vhdx-bad-version", "error")
def bad_version(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """The version of the file or of its log is not one that exists.

    What it checks: of the active header, version is 1 and log_version 0.

    Why it matters: no reader can know what the rest means.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.2.2, Version and LogVersion.
    """
    if facts.active_header is None:
        return
    at = lay.HEADERS_AT[facts.active_header - 1]
    if facts.version != lay.VERSION:
        yield bad_version.at(f"version is {facts.version}, known is 1", field="version", offset=at + 66, length=2)
    if facts.log_version != lay.LOG_VERSION:
        message = f"log_version is {facts.log_version}, known is 0"
        yield bad_version.at(message, field="log_version", offset=at + 64, length=2)


@rule("VHX006", "vhdx-log-misplaced", "error")
def log_misplaced(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """The log lies where it cannot.

    What it checks: log_offset and log_length are whole MiB, the log begins at 1 MiB or later and ends inside
    the file. A log of no length is fine where there is nothing to replay.

    Why it matters: what is replayed from there would be other bytes of the file.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.2.2, LogLength and LogOffset.
    """
    if facts.active_header is None or facts.log_offset is None or facts.log_length is None:
        return
    at, length = facts.log_offset, facts.log_length
    if not length and not facts.dirty:
        return
    if at % MIB or length % MIB or not length or at < lay.HEADER_SECTION or at + length > facts.file_size:
        place = lay.HEADERS_AT[facts.active_header - 1] + 68
        message = (
            f"log at {at} of {length} bytes: whole MiB from 1 MiB on, inside {facts.file_size} bytes, are allowed"
        )
        yield log_misplaced.at(message, field="log_offset", offset=place, length=12)


@rule("VHX007", "vhdx-log-to-replay", "warning")
def log_to_replay(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """The file was not closed cleanly: its log holds changes that are not in place yet.

    What it checks: the log GUID of the active header is null.

    Why it matters: tables and metadata are as before those changes; a program that does not replay the log
    reads old or torn ones. What is reported here is the disk with its log replayed in memory; of a log over 8 MiB
    (`limits.vhdx_log_glance`) it is as stored, and `imgtool check` and what reads the disk replay it.

    What to do: open it once for writing with the program that made it (`qemu-img check -r all` on a copy).

    References: [MS-VHDX] 2.3.
    """
    if facts.dirty and facts.active_header is not None:
        place = lay.HEADERS_AT[facts.active_header - 1] + 48
        message = f"there is a log to replay, {facts.log_guid}"
        if facts.log_state == "not-replayed":
            message += f"; it was not: {facts.log_fault}"
        yield log_to_replay.at(message, field="log_guid", offset=place, length=16)


@rule("VHX008", "vhdx-log-damaged", "error")
def log_damaged(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """There is a log to replay, and it cannot be.

    What it checks: the log has a valid sequence of entries: of whole 4 KiB, inside the log, each with a right
    CRC-32C, numbered one after the other, back to the tail that the newest of them names. The file is as long as it
    was when they were written (FlushedFileOffset); what they change is neither the headers nor the log.

    Why it matters: the specification calls such a file corrupt. QEMU 7.2 opens it as if it were clean, with tables
    that were half written.

    What to do: fetch the image again, or take an older copy; nobody knows what the log said.

    References: [MS-VHDX] 2.3.1 to 2.3.3.

    Cost: the log is read, up to 8 MiB.
    """
    if facts.log_state == "damaged":
        message = f"there is a log to replay, and it cannot be: {facts.log_fault}"
        yield log_damaged.at(message, field="log", offset=facts.log_offset, length=facts.log_length)


@rule("VHX009", "vhdx-log-changes-metadata", "warning")
def log_changes(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """The log changes what the disk is: with and without it two programs see two disks.

    What it checks: sizes, identity, regions, metadata items and parent of the disk are the same before and after the
    log is replayed. Both values are given.

    Why it matters: a program that does not replay the log sees another size, or a parent that is there no more. An
    image whose disk was being resized looks like this; so does one that somebody made to.

    What to do: open it once for writing with the program that made it, and inspect it again.

    References: [MS-VHDX] 2.3.3.
    """
    for change in facts.log_changes:
        message = f"the log changes {change.fact} from {change.before} to {change.after}"
        yield log_changes.at(message, field=change.fact, offset=facts.log_offset, length=facts.log_length)


HEADERS = (
    bad_identifier,
    no_header,
    one_header,
    headers_collide,
    bad_version,
    log_misplaced,
    log_to_replay,
    log_damaged,
    log_changes,
)
