"""LUKS2: its two binary headers, and the facts of the one that counts.

Reference: LUKS2 On-Disk Format Specification, sections "Binary Header" and "Metadata Recovery".
"""

from __future__ import annotations

from imgtool.formats.luks import layout as lay
from imgtool.formats.luks.facts import Header2, HeaderSummary, Luks2Facts, Metadata, Segment
from imgtool.formats.luks.metadata import read_metadata
from imgtool.limits import Limits
from imgtool.model.values import c_text
from imgtool.structs.view import Unreadable, View

#: Checksum algorithms that are computed here; the specification's default is SHA-256.
CHECKSUMS = ("sha1", "sha256", "sha384", "sha512")


def read_luks2(view: View, limits: Limits) -> Luks2Facts:
    """The facts of a LUKS2 header. Raises Unreadable when not even the binary header is there."""
    primary = _header(view, 0, limits)
    return _facts(view, limits, primary, _find_secondary(view, primary, limits))


def recovered(view: View, limits: Limits) -> Luks2Facts | None:
    """The facts by the second header, where the first is damaged; None where there never was one.

    The second header must be valid, and what lies at 0 either zeros or still that header's UUID: else the
    device was given another use.
    """
    secondary = _find_secondary(view, None, limits)
    if secondary is None or not secondary.valid:
        return None
    first = view.peek(0, lay.BINARY_SIZE)
    if any(first) and c_text(first[168:208]) != secondary.uuid:
        return None
    message = "the first LUKS2 header is damaged, the second one is read"
    view.problem("LUKS2 binary header", message, offset=0, length=lay.BINARY.size)
    return _facts(view, limits, None, secondary)


def _find_secondary(view: View, primary: Header2 | None, limits: Limits) -> Header2 | None:
    """The second header: behind the first where that is valid, else the best at any place where one may lie."""
    places = (primary.hdr_size,) if primary is not None and primary.valid else lay.HEADER_SIZES
    found: Header2 | None = None
    for at in places:
        try:
            if view.peek(at, len(lay.MAGIC_SECONDARY)) == lay.MAGIC_SECONDARY:
                header = _header(view, at, limits)
                found = header if header.valid or found is None else found
        except Unreadable as error:
            view.note(error.problem)
        if found is not None and found.valid:
            break
    return found


def _header(view: View, at: int, limits: Limits) -> Header2:
    """The header at `at`. Its checksum is verified where its size may be; a second one lies at its size."""
    name = "LUKS2 binary header" if at == 0 else "LUKS2 second binary header"
    head = view.parse(lay.BINARY, at, name)
    algorithm = c_text(head.csum_alg)
    holds, text = None, ""
    if head.hdr_size in lay.HEADER_SIZES and at in (0, head.hdr_size):
        try:
            data = view.read(at, head.hdr_size, f"{name} and JSON area")
        except Unreadable as error:
            view.note(error.problem)
        else:
            holds = _checksum_holds(data, algorithm, head.csum)
            text = c_text(data[lay.BINARY_SIZE : lay.BINARY_SIZE + limits.luks_json + 1])
    return Header2(
        at,
        head.hdr_size,
        head.seqid,
        c_text(head.label),
        c_text(head.subsystem),
        c_text(head.uuid),
        algorithm,
        holds,
        head.hdr_offset,
        text,
    )


def _checksum_holds(data: bytes, algorithm: str, expected: bytes) -> bool | None:
    """Over the whole header with the checksum itself as zeros; None for an algorithm not known here."""
    if algorithm not in CHECKSUMS:
        return None
    import hashlib

    digest = hashlib.new(algorithm, data[: lay.CHECKSUM_OFFSET], usedforsecurity=False)
    digest.update(bytes(len(expected)))
    digest.update(memoryview(data)[lay.CHECKSUM_OFFSET + len(expected) :])
    return digest.digest() == expected[: digest.digest_size]


def _chosen(primary: Header2 | None, secondary: Header2 | None) -> Header2:
    """The valid header of the higher sequence id; the first one where none is valid."""
    valid = [header for header in (primary, secondary) if header is not None and header.valid]
    if valid:
        return max(valid, key=lambda header: header.sequence_id)
    found = primary or secondary
    assert found is not None
    return found


def _facts(view: View, limits: Limits, primary: Header2 | None, secondary: Header2 | None) -> Luks2Facts:
    head = _chosen(primary, secondary)
    metadata = read_metadata(view, head.json, head.offset + lay.BINARY_SIZE, limits) if head.json else None
    shown = metadata or Metadata()
    payload = tuple(segment for segment in shown.segments if not _is_backup(segment))
    offsets = [segment.offset for segment in payload if segment.offset is not None]
    start = min(offsets, default=None)
    areas_end = 2 * head.hdr_size + (shown.keyslots_size or 0)
    detached = start is not None and start < areas_end
    crypt = next((segment for segment in payload if segment.encryption), None)
    _areas_are_there(view, areas_end)
    return Luks2Facts(
        format="luks",
        file_size=view.size,
        virtual_size=payload_size(payload, view.size, detached),
        encrypted=True,
        broken=primary is None or head.hdr_size not in lay.HEADER_SIZES or metadata is None,
        partial=bool(view.problems),
        label=head.label or None,
        version=2,
        uuid=head.uuid or None,
        cipher=crypt.encryption if crypt else None,
        payload_offset=start,
        detached=detached,
        header_only=detached or (start is not None and view.size <= start),
        sequence_id=head.sequence_id,
        subsystem=head.subsystem or None,
        header_size=head.hdr_size,
        sector_size=crypt.sector_size if crypt else None,
        primary=_summary(primary),
        secondary=_summary(secondary),
        keyslots_size=shown.keyslots_size,
        key_slots=shown.key_slots,
        segments=shown.segments,
        digests=shown.digests,
        tokens=shown.tokens,
        flags=shown.flags,
        requirements=shown.requirements,
        primary_header=primary,
        secondary_header=secondary,
        metadata=metadata,
        problems=view.problems,
    )


def _summary(header: Header2 | None) -> HeaderSummary | None:
    if header is None:
        return None
    return HeaderSummary(header.offset, header.hdr_size, header.sequence_id, header.checksum_algorithm, header.valid)


def _is_backup(segment: Segment) -> bool:
    """True for what re-encryption keeps beside the segments in use."""
    return any(flag.startswith("backup-") for flag in segment.flags)


def payload_size(segments: tuple[Segment, ...], file_size: int, detached: bool) -> int | None:
    """The bytes that all segments show together; None where this file cannot tell.

    A dynamic segment reaches to the end of the device, which is not this file where the header is detached.
    Where dm-integrity keeps tags between the sectors only its own superblock knows the size.
    """
    if not segments or any(segment.integrity for segment in segments):
        return None
    total = 0
    for segment in segments:
        if segment.offset is None:
            return None
        if not segment.dynamic:
            if segment.size is None:
                return None
            total += segment.size
        elif detached or segment.offset > file_size:
            return None
        else:
            total += file_size - segment.offset
    return total


def _areas_are_there(view: View, end: int) -> None:
    """Note key slot areas that are cut off: headers and areas end at `end`, also in a file of their own."""
    if end > view.size:
        message = f"key slots area: needs bytes up to {end}, the file has {view.size}"
        view.problem("key slots area", message, kind="truncated", offset=0, length=end)
