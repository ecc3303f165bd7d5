"""An allocation map for people and for programs: a picture in the terminal, totals, runs, qemu-img's JSON. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from imgtool.model.values import Extent
from imgtool.render.escape import terminal
from imgtool.units import human_size

#: Kinds in the order they win a cell of the picture, with their letter there.
KINDS = (("data", "█"), ("compressed", "▓"), ("reference", "▒"), ("zero", "░"), ("hole", "·"))


class Totals(NamedTuple):
    """What a map adds up to: bytes and runs by kind, and pieces that a reader in order must seek to.

    `fragments`: runs of data that do not lie on where the one before them ended.
    """

    size: int
    bytes: dict[str, int]
    runs: dict[str, int]
    fragments: int
    deepest: int


class Cells:
    """The disk cut into equal cells, each with the bytes of every kind in it. Feed it extents in order."""

    def __init__(self, size: int, count: int) -> None:
        self.size = size
        self.step = max(1, -(-size // count))
        self.count = -(-size // self.step)
        self.bytes = {kind: [0] * self.count for kind, _ in KINDS}
        self._totals = {kind: 0 for kind, _ in KINDS}
        self._runs = {kind: 0 for kind, _ in KINDS}
        self._fragments = self._deepest = 0
        self._expected: int | None = None

    def add(self, extent: Extent) -> None:
        """Count one extent."""
        self._totals[extent.kind] += extent.length
        self._runs[extent.kind] += 1
        self._deepest = max(self._deepest, extent.depth)
        if extent.kind == "data" and extent.host_offset is not None:
            self._fragments += extent.host_offset != self._expected
            self._expected = extent.host_offset + extent.length
        row = self.bytes[extent.kind]
        first, last = extent.start // self.step, (extent.start + extent.length - 1) // self.step
        for cell in range(first, last + 1):
            low, high = cell * self.step, (cell + 1) * self.step
            row[cell] += min(high, extent.start + extent.length) - max(low, extent.start)

    def totals(self) -> Totals:
        """What was counted."""
        return Totals(self.size, self._totals, self._runs, self._fragments, self._deepest)

    def kind_of(self, cell: int) -> str:
        """What a cell shows: the first kind of `KINDS` that has bytes in it, so that data is never hidden."""
        return next((kind for kind, _ in KINDS if self.bytes[kind][cell]), "hole")


def map_text(path: str, cells: Cells, width: int) -> str:
    """The picture, `width` cells a line, its legend, and the totals."""
    letters = dict(KINDS)
    totals = cells.totals()
    lines = [f"{terminal(path)}: {human_size(cells.size)}, one cell is {human_size(cells.step)}"]
    for begin in range(0, cells.count, width):
        row = "".join(letters[cells.kind_of(cell)] for cell in range(begin, min(begin + width, cells.count)))
        lines.append(f"  {begin * cells.step:>16}  {row}")
    for kind, letter in KINDS:
        if totals.runs[kind]:
            share = 100 * totals.bytes[kind] / max(1, cells.size)
            told = f"{human_size(totals.bytes[kind])} ({share:.3g} %) in {totals.runs[kind]} runs"
            lines.append(f"  {letter} {kind:<11}{told}")
    lines.append(f"  fragments    {totals.fragments}")
    if totals.deepest:
        lines.append(f"  chain        {totals.deepest} below this image")
    return "\n".join(lines) + "\n"


def extent_line(extent: Extent) -> str:
    """One run: start, length, kind, where it lies, in bytes."""
    place = "-" if extent.host_offset is None else str(extent.host_offset)
    file = f"  {terminal(extent.file)}" if extent.file is not None else ""
    depth = f"  depth {extent.depth}" if extent.depth else ""
    return f"{extent.start:>16} {extent.length:>16}  {extent.kind:<10}  {place:>16}{depth}{file}\n"


def qemu_json(extents: Iterable[Extent]) -> Iterator[str]:
    """The pieces of one line: the array that `qemu-img map --output=json` prints.

    zero: reads as zeros; data: bytes are stored; present: not left to nothing or to a file that was not followed
    (a hole of a raw file has its place in it, so it is present).
    """
    import json

    yield "["
    comma = ""
    for extent in extents:
        told: dict[str, object] = {
            "start": extent.start,
            "length": extent.length,
            "depth": extent.depth,
            "present": extent.kind not in ("hole", "reference") or extent.host_offset is not None,
            "zero": extent.kind in ("zero", "hole"),
            "data": extent.kind in ("data", "compressed"),
        }
        if extent.host_offset is not None:
            told["offset"] = extent.host_offset
        yield comma + json.dumps(told)
        comma = ", "
    yield "]\n"
