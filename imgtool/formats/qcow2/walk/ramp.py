"""qcow2: runs of L2 entries that name one cluster after the other, found by comparing bytes with what they would be.

Reference: QEMU docs/interop/qcow2, section "L2 table entry".
"""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.formats.qcow2 import layout as lay

#: How often the part may change: what jumps about in the file more often is no long run.
_CHANGES = 1 << 10


class Ramp:
    """The entries that name clusters one after the other, all with the copied flag, as they stand in a table.

    They are made in parts of 2^`bits` clusters, so many that what counts up in them fills whole bytes: the bytes
    before those are the same in all entries of a part. `stopped`: the last table had something else in it.
    """

    def __init__(self, cluster_bits: int) -> None:
        self._cluster_bits = cluster_bits
        self._bits = 16 - cluster_bits % 8
        self._fixed = 8 - (self._bits + cluster_bits) // 8
        self._part = bytearray(8 << self._bits)
        self._number = -1
        self._left = _CHANGES
        self._last = 8
        for place in range(self._fixed, 8):
            self._part[place::8] = _digits(8 * (7 - place) - cluster_bits, self._bits)
        self.stopped = False

    def runs(self, raw: bytes) -> Iterator[tuple[int, int]]:
        """The runs of clusters that a table's entries name, each with its end; stops at what is no plain entry."""
        self.stopped = False
        at = 0
        while at < len(raw):
            word = int.from_bytes(raw[at : at + 8], "big")
            if not word:
                at = _after_zeros(raw, at)
                continue
            offset = word ^ lay.OFLAG_COPIED
            first = offset >> self._cluster_bits
            if offset & ~lay.TABLE_OFFSET_MASK or not first or first << self._cluster_bits != offset:
                self.stopped = True
                return
            count = self._length(raw, at, first)
            if not count:
                self.stopped = True
                return
            yield first, first + count
            at += count * 8

    def _length(self, raw: bytes, at: int, first: int) -> int:
        """How many entries from `at` on name cluster `first` and those after it; 0: the part changed too often."""
        done, step, broken = 0, self._last, False
        left = (len(raw) - at) // 8
        while done < left and step:
            number, within = divmod(first + done, 1 << self._bits)
            if number != self._number and not self._change(number):
                return 0
            take = min(step, left - done, (1 << self._bits) - within)
            begin = at + done * 8
            if raw[begin : begin + take * 8] == self._part[within * 8 : (within + take) * 8]:
                done += take
                step = step // 2 if broken else step * 2
            else:
                broken, step = True, take // 2
        self._last = max(8, done)
        return done

    def _change(self, number: int) -> bool:
        """Make the entries those of a part; False where that was done too often."""
        self._left -= 1
        word = (lay.OFLAG_COPIED | number << self._bits + self._cluster_bits).to_bytes(8, "big")
        for place in range(self._fixed):
            if self._part[place] != word[place]:
                self._part[place::8] = word[place : place + 1] * (1 << self._bits)
        self._number = number
        return self._left > 0


def _digits(shift: int, bits: int) -> bytes:
    """Of each number below 2^`bits` the byte that begins `shift` bits above its lowest one (below it: negative)."""
    if shift <= -8:
        return bytes(1 << bits)
    if shift < 0:
        return bytes(value << -shift & 0xFF for value in range(1 << 8 + shift)) * (1 << bits - 8 - shift)
    held = min(8, bits - shift)
    return b"".join(bytes((value,)) * (1 << shift) for value in range(1 << held)) * (1 << bits - shift - held)


def _after_zeros(raw: bytes, at: int) -> int:
    """Where the next entry stands that is not 0, `at` being one that is; the end where there is none."""
    step = 64
    while at < len(raw):
        piece = raw[at : at + step]
        rest = piece.lstrip(b"\0")
        if rest:
            return at + (len(piece) - len(rest)) // 8 * 8
        at += step
        step = min(step * 2, 1 << 16)
    return len(raw)
