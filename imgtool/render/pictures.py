"""Pictures of an allocation map as bytes: SVG by hand, PNG through Pillow; both draw the same shapes. No I/O.

Three bands: what the sizes are (virtual, by kind, on disk); the virtual layout cell by cell; fragmentation, as where
each run of data lies in the file (up) against where the guest sees it (right): a fresh image is a straight line.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from io import BytesIO
from typing import NamedTuple

from imgtool.model.values import Extent
from imgtool.render.escape import terminal
from imgtool.render.maps import KINDS, Cells
from imgtool.units import human_size

WIDTH = 960
HEIGHT = 720
COLUMNS = 92  #: cells of the layout, across
ROWS = 24  #: and down
_LEFT = 20
_INNER = WIDTH - 2 * _LEFT
_CELL = _INNER // COLUMNS

#: Colours told apart by people who see few of them: strong for bytes, pale for nothing.
COLOURS = {
    "data": "#1f5fa8",
    "compressed": "#e08214",
    "reference": "#7b3294",
    "zero": "#a6cee3",
    "hole": "#eeeeee",
}
_INK = "#222222"
_PAPER = "#ffffff"


class Box(NamedTuple):
    """A filled rectangle in pixels."""

    x: float
    y: float
    width: float
    height: float
    colour: str


class Text(NamedTuple):
    """A line of text; `x`, `y` is its left end on the base line, in pixels."""

    x: float
    y: float
    text: str


class Drawing:
    """Collects the extents of a disk, then gives the shapes of its picture."""

    def __init__(self, path: str, size: int, file_size: int, allocated: int | None) -> None:
        self.path = path
        self.cells = Cells(size, COLUMNS * ROWS)
        self.file_size = max(1, file_size)
        self.allocated = allocated
        self._spots: set[tuple[int, int]] = set()

    def add(self, extent: Extent) -> None:
        """Count one extent."""
        self.cells.add(extent)
        if extent.kind == "data" and extent.host_offset is not None and extent.depth == 0:
            first = extent.start * _INNER // max(1, self.cells.size)
            last = (extent.start + extent.length) * _INNER // max(1, self.cells.size)
            for x in range(first, last + 1):
                ahead = max(0, x * self.cells.size // _INNER - extent.start)
                place = min(extent.host_offset + min(ahead, extent.length), self.file_size)
                self._spots.add((min(x, _INNER - 1), place * 200 // self.file_size))

    def shapes(self) -> Iterator[Box | Text]:
        """Everything to draw, back to front."""
        yield Box(0, 0, WIDTH, HEIGHT, _PAPER)
        yield Text(_LEFT, 28, f"{terminal(self.path)}: {human_size(self.cells.size)} for the guest")
        yield from self._sizes(44)
        yield from self._layout(150)
        yield from self._fragments(470)

    def _sizes(self, top: float) -> Iterator[Box | Text]:
        totals = self.cells.totals()
        x = float(_LEFT)
        for kind, _ in KINDS:
            width = _INNER * totals.bytes[kind] / max(1, self.cells.size)
            yield Box(x, top, width, 22, COLOURS[kind])
            x += width
        x = float(_LEFT)
        for kind, _ in KINDS:
            yield Box(x, top + 34, 12, 12, COLOURS[kind])
            yield Text(x + 18, top + 45, f"{kind} {human_size(totals.bytes[kind])}")
            x += _INNER / len(KINDS)
        stored = self.file_size if self.allocated is None else self.allocated
        told = f"file {human_size(self.file_size)}, on disk {human_size(stored)}"
        yield Text(_LEFT, top + 72, f"{told}, {totals.fragments} fragment{'' if totals.fragments == 1 else 's'}")

    def _layout(self, top: float) -> Iterator[Box | Text]:
        yield Text(
            _LEFT, top - 8, f"virtual layout: one cell is {human_size(self.cells.step)}, blue wherever there is data"
        )
        for cell in range(self.cells.count):
            row, column = divmod(cell, COLUMNS)
            colour = COLOURS[self.cells.kind_of(cell)]
            yield Box(_LEFT + column * _CELL, top + row * 12, _CELL - 1, 11, colour)

    def _fragments(self, top: float) -> Iterator[Box | Text]:
        yield Text(_LEFT, top - 8, "fragmentation: place in the file (up) by place in the guest's disk (right)")
        yield Box(_LEFT, top, _INNER, 202, COLOURS["hole"])
        for x, up in sorted(self._spots):
            yield Box(_LEFT + x, top + 200 - up, 2, 2, COLOURS["data"])
        yield Text(_LEFT, top + 222, "0")
        yield Text(_LEFT + _INNER - 80, top + 222, human_size(self.cells.size))


def svg(drawing: Drawing) -> bytes:
    """The picture as SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="14" fill="{_INK}">'
    ]
    for shape in drawing.shapes():
        if isinstance(shape, Box):
            place = f'x="{shape.x:.2f}" y="{shape.y:.2f}" width="{shape.width:.2f}" height="{shape.height:.2f}"'
            parts.append(f'<rect {place} fill="{shape.colour}"/>')
        else:
            parts.append(f'<text x="{shape.x:.2f}" y="{shape.y:.2f}">{escape(shape.text)}</text>')
    return ("\n".join([*parts, "</svg>"]) + "\n").encode()


def png(drawing: Drawing) -> bytes:
    """The picture as PNG. Raises ImportError where Pillow is not installed."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(14)
    for shape in drawing.shapes():
        if isinstance(shape, Text):
            pen.text((shape.x, shape.y - 13), shape.text, fill=_INK, font=font)
        elif shape.width > 0:
            ends = (shape.x, shape.y, shape.x + max(shape.width, 1) - 0.5, shape.y + shape.height - 0.5)
            pen.rectangle(ends, fill=shape.colour)
    held = BytesIO()
    image.save(held, "PNG", optimize=True)
    return held.getvalue()
