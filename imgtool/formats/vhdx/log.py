"""VHDX: the log, replayed in memory. The file stays as it is; an Overlay shows it as it will be.

The log is a ring of 4 KiB sectors. An entry begins with its header and descriptors and holds a data sector for each
data descriptor; its checksum is over all of it. Entries that follow each other with sequence numbers that do are a
sequence; the newest one whose head names a tail inside it is the active one, and is replayed from that tail on.

(QEMU 7.2 goes by the numbers alone, not by the tail, and opens a file whose log has no valid entry as if it were
clean; the specification calls it corrupt.)

References: [MS-VHDX] 2.3.1 (log entry, descriptors, data sector), 2.3.2 (log sequence), 2.3.3 (log replay).
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from imgtool.formats.vhdx import layout as lay
from imgtool.formats.vhdx.facts import VhdxFacts
from imgtool.formats.vhdx.probe import crc
from imgtool.limits import Limits
from imgtool.sources.base import Source, check_range
from imgtool.sources.disk import DiskError
from imgtool.units import MIB, ceil_div, guid_text

_UNIT = lay.LOG_UNIT
_DESCRIPTORS = _UNIT // lay.LOG_DESCRIPTOR.size  #: descriptors of one sector; the header takes the room of two


class LogCapError(DiskError):
    """The log is larger than what is looked through."""


class Patch(NamedTuple):
    """Bytes of the file that the log replaces: by `data`, or by zeros where that is None."""

    start: int
    end: int
    data: bytes | None


class Entry(NamedTuple):
    """A valid log entry, `at` bytes from the start of the log, and what it changes, in its order."""

    at: int
    header: lay.LogEntryHeader
    patches: tuple[Patch, ...]


class Overlay(Source):
    """A file with patches on it, the later ones over the earlier ones, at least `size` bytes long. Owns the file."""

    __slots__ = ("_segments", "_starts", "source")

    def __init__(self, source: Source, patches: list[Patch], size: int) -> None:
        self.source = source
        self.name = source.name
        self._segments = list(_resolved(patches))
        self._starts = [segment.start for segment in self._segments]
        self.size = max(source.size, size, max((segment.end for segment in self._segments), default=0))

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length)
        end = min(self.size, offset + length)
        if end <= offset:
            return b""
        data = self.source.read_at(offset, end - offset)
        if len(data) == end - offset and self.first_change(offset, end) == end:
            return data
        buffer = bytearray(data.ljust(end - offset, b"\0"))
        index = self._near(offset)
        while index < len(self._segments) and self._segments[index].start < end:
            segment = self._segments[index]
            low, high = max(segment.start, offset), min(segment.end, end)
            if low < high:
                new = segment.data[low - segment.start : high - segment.start] if segment.data else bytes(high - low)
                buffer[low - offset : high - offset] = new
            index += 1
        return bytes(buffer)

    def first_change(self, start: int, end: int) -> int:
        """Where the first byte from `start` on lies that is not the file's own; `end` where none before that is."""
        found = min(end, max(start, self.source.size))
        near = self._near(start)
        for segment in self._segments[near : near + 2]:
            if segment.end > start:
                return min(found, max(start, segment.start))
        return found

    def _near(self, offset: int) -> int:
        """The last segment that begins at `offset` or before it; the first one where none does."""
        return max(0, bisect_right(self._starts, offset) - 1)

    @property
    def allocated(self) -> int | None:
        return self.source.allocated

    def close(self) -> None:
        self.source.close()


def _resolved(patches: list[Patch]) -> Iterator[Patch]:
    """The patches as segments that do not overlap, in the order of the file; of each byte the last patch's."""
    edges = sorted({edge for patch in patches for edge in (patch.start, patch.end)})
    waiting = sorted(enumerate(patches), key=lambda numbered: numbered[1].start, reverse=True)
    over: list[tuple[int, Patch]] = []
    for low, high in pairwise(edges):
        while waiting and waiting[-1][1].start <= low:
            number, patch = waiting.pop()
            heapq.heappush(over, (-number, patch))
        while over and over[0][1].end <= low:
            heapq.heappop(over)
        if over:
            patch = over[0][1]
            yield Patch(low, high, patch.data[low - patch.start : high - patch.start] if patch.data else None)


def replayed(source: Source, facts: VhdxFacts, limits: Limits) -> Overlay | None:
    """The file with its log replayed; None where there is nothing to replay.

    Raises DiskError where the log cannot be: misplaced, without a valid sequence, or of a file that was cut after it
    was written; LogCapError where it is over its caps.
    """
    if facts.log_guid is None:
        return None
    at, length = facts.log_offset or 0, facts.log_length or 0
    if facts.log_version != lay.LOG_VERSION:
        raise DiskError(f"{source.name}: the log to replay is of version {facts.log_version}, known is 0")
    if length > limits.vhdx_log:
        raise LogCapError(f"{source.name}: the log has {length} bytes, at most {limits.vhdx_log} are replayed")
    if not length or length % MIB or at % MIB or at < MIB or at + length > source.size:
        raise DiskError(f"{source.name}: a log to replay at {at} of {length} bytes, in {source.size} bytes")
    log = _Log(source, at, length, facts.log_guid, limits)
    sequence = log.active()
    if sequence is None:
        raise DiskError(f"{source.name}: the log has no valid sequence of entries: the file is damaged")
    for entry in sequence:
        if entry.header.flushed_file_offset > source.size:
            message = f"the log was written when it had {entry.header.flushed_file_offset} bytes, now {source.size}"
            raise DiskError(f"{source.name}: the file was cut: {message}")
    patches = [patch for entry in sequence for patch in entry.patches]
    for patch in patches:
        if patch.start < lay.REGIONS_AT[0] or (patch.start < at + length and at < patch.end):
            raise DiskError(f"{source.name}: the log changes bytes at {patch.start}: the headers or the log itself")
    size = sequence[-1].header.last_file_offset
    if size > limits.virtual_size or any(patch.end > limits.virtual_size for patch in patches):
        raise DiskError(f"{source.name}: the log makes the file larger than any file can be")
    return Overlay(source, patches, size)


class _Log:
    """The log of a file while it is looked through."""

    def __init__(self, source: Source, at: int, length: int, guid: str, limits: Limits) -> None:
        self.source = source
        self.at = at
        self.length = length
        self.guid = guid
        self.limits = limits
        self.work = limits.vhdx_log_work
        self.patches = limits.vhdx_log_patches
        self.seen: dict[int, Entry | None] = {}

    def active(self) -> list[Entry] | None:
        """The active sequence from its tail to its head; None where no valid one is there."""
        best: list[Entry] | None = None
        position = 0
        for start in self._marks():
            if start < position:
                continue
            sequence = self._sequence(start)
            if not sequence:
                continue
            head = sequence[-1]
            tail = next((index for index, entry in enumerate(sequence) if entry.at == head.header.tail), None)
            newest = best[-1].header.sequence_number if best else 0
            if tail is not None and head.header.sequence_number > newest:
                best = sequence[tail:]
            position = head.at + head.header.entry_length
            if head.at < start or position >= self.length:
                break
        return best

    def _marks(self) -> Iterator[int]:
        """Where sectors of the log begin as entries do."""
        for piece in range(0, self.length, MIB):
            data = self.source.read_at(self.at + piece, MIB)
            if lay.LOG_SIGNATURE in data:
                for sector in range(0, len(data), _UNIT):
                    if data.startswith(lay.LOG_SIGNATURE, sector):
                        yield piece + sector

    def _sequence(self, at: int) -> list[Entry]:
        """The valid entries from `at` on whose sequence numbers follow each other, once around at the most."""
        found: list[Entry] = []
        left = self.length
        while (entry := self._entry(at)) is not None:
            if found and entry.header.sequence_number != found[-1].header.sequence_number + 1:
                break
            left -= entry.header.entry_length
            if left < 0:
                break
            found.append(entry)
            at = (at + entry.header.entry_length) % self.length
        return found

    def _entry(self, at: int) -> Entry | None:
        if at not in self.seen:
            self.seen[at] = self._read_entry(at)
        return self.seen[at]

    def _read_entry(self, at: int) -> Entry | None:
        """The entry at `at`; None where it is not valid (2.3.1.1)."""
        header = lay.LOG_ENTRY_HEADER.parse(self._read(at, _UNIT)[: lay.LOG_ENTRY_HEADER.size])
        length, count = header.entry_length, header.descriptor_count
        if (
            header.signature != lay.LOG_SIGNATURE
            or guid_text(header.log_guid) != self.guid
            or not header.sequence_number
            or not length
            or length % _UNIT
            or length > self.length
            or ceil_div(count + 2, _DESCRIPTORS) * _UNIT > length
        ):
            return None
        self.work -= length
        if length > self.limits.read or self.work < 0:
            raise LogCapError(f"{self.source.name}: the entries of its log are larger than their caps")
        data = self._read(at, length)
        if crc(data) != header.checksum:
            return None
        patches = self._patches(data, header)
        return None if patches is None else Entry(at, header, patches)

    def _patches(self, data: bytes, header: lay.LogEntryHeader) -> tuple[Patch, ...] | None:
        """What the entry changes; None where a descriptor or a data sector does not hold."""
        count, number = header.descriptor_count, header.sequence_number
        self.patches -= count
        if self.patches < 0:
            raise LogCapError(f"{self.source.name}: the log has more than {self.limits.vhdx_log_patches} changes")
        sector = ceil_div(count + 2, _DESCRIPTORS) * _UNIT
        found: list[Patch] = []
        for index in range(count):
            at = lay.LOG_ENTRY_HEADER.size + index * lay.LOG_DESCRIPTOR.size
            descriptor = lay.LOG_DESCRIPTOR.parse(data[at : at + lay.LOG_DESCRIPTOR.size])
            start = descriptor.file_offset
            if descriptor.sequence_number != number or start % _UNIT:
                return None
            if descriptor.signature == lay.ZERO_SIGNATURE and descriptor.zero_length % _UNIT == 0:
                found.append(Patch(start, start + descriptor.zero_length, None))
                continue
            if descriptor.signature != lay.DATA_SIGNATURE or sector + _UNIT > len(data):
                return None
            held = lay.LOG_SECTOR.parse(data[sector : sector + _UNIT])
            if held.signature != lay.SECTOR_SIGNATURE or held.sequence_high << 32 | held.sequence_low != number:
                return None
            found.append(
                Patch(start, start + _UNIT, descriptor.leading_bytes + held.data + descriptor.trailing_bytes)
            )
            sector += _UNIT
        return tuple(patch for patch in found if patch.start < patch.end)

    def _read(self, at: int, length: int) -> bytes:
        """Bytes of the ring."""
        first = self.source.read_at(self.at + at, min(length, self.length - at))
        return first if len(first) == length else first + self.source.read_at(self.at, length - len(first))
