"""Writing raw: the guest's bytes where they belong; what is all zeros becomes a hole, in steps of 4 KiB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from imgtool.targets.options import Option, Value
from imgtool.targets.output import Output
from imgtool.targets.writer import Stamp, Writer, data_runs

OPTIONS = (
    Option(
        "preallocation",
        "choice",
        "off",
        "off leaves holes where there are zeros, falloc takes the space, full writes the zeros, too",
        ("off", "falloc", "full"),
    ),
)

_STEP = 4096


class RawPiece(NamedTuple):
    """The piece, and the (start, end) in it that are written."""

    data: bytes
    runs: list[tuple[int, int]]


class RawWriter(Writer[RawPiece]):
    """Raw bytes. With `full`, and on a device, zeros are written like anything else."""

    unit = 64 * 1024
    anywhere = True

    def __init__(self, output: Output, size: int, preallocation: str) -> None:
        self.output = output
        self.size = size
        self._shares = preallocation == "off"
        self._all = preallocation == "full" or not output.known_zeros
        output.truncate(size)
        if preallocation != "off":
            output.reserve(0, size)

    def prepare(self, start: int, data: bytes) -> RawPiece:
        return RawPiece(data, [(0, len(data))] if self._all else data_runs(data, _STEP))

    def put(self, start: int, made: RawPiece) -> None:
        view = memoryview(made.data)
        for low, high in made.runs:
            self.output.write_at(start + low, view[low:high])

    def share(self, start: int, length: int, fd: int, offset: int) -> bool:
        return self._shares and self.output.clone_range(fd, offset, start, length)

    def zeros(self, start: int, length: int) -> None:
        if self._all:
            self.output.write_zeros(start, length)

    def finish(self, stamp: Stamp) -> None:
        self.output.truncate(self.size)


def open_writer(output: Output, size: int, options: Mapping[str, Value]) -> RawWriter:
    """A writer of `size` bytes. Raises OutputError."""
    return RawWriter(output, size, str(options["preallocation"]))
