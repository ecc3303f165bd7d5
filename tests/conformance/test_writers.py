"""One suite for every native writer: the contract that imgtool/targets/writer.py states, over the whole registry.

Each writer runs with its default options, and with each other value of each option by turns (the least and a large
one of sizes and numbers). The writer is driven as the engine does it, but in pieces of sizes of the test's own.
"""

from __future__ import annotations

import io
import os
import random
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from imgtool.conversion import native
from imgtool.detect.registry import Entry
from imgtool.disks.open import open_disk
from imgtool.errors import OutputError, UnsupportedError, UsageError
from imgtool.formats import FORMATS
from imgtool.sources.disk import Disk
from imgtool.targets.options import Option, checked
from imgtool.targets.output import CountingOutput, FileOutput, Output
from imgtool.targets.writer import Stamp, Writer
from tests.targets.kit import TIME, MemoryOutput, writer_of

KIB = 1024
MIB = 1024 * KIB

WRITTEN = tuple(entry for entry in FORMATS if entry.writer is not None)

STAMP = Stamp(bytes(range(32)), TIME)

#: Options of which any value but the default takes space for zeros.
RESERVING = "preallocation"

#: Sizes of disks: none, less than a sector, odd, about the edges of blocks, several blocks.
SIZES = (0, 1, 511, 512, 65_535, 65_537, MIB, 2 * MIB + 1536, 5 * MIB + 77)


class Case(NamedTuple):
    """A format and its options as they are typed."""

    entry: Entry
    options: tuple[tuple[str, str], ...] = ()

    def writer(self, output: Output, size: int) -> Writer[Any]:
        return writer_of(self.entry.name, output, size, **dict(self.options))

    def __str__(self) -> str:
        return ",".join((self.entry.name, *(f"{name}={value}" for name, value in self.options)))


def values(option: Option) -> tuple[str, ...]:
    """Values of an option other than its default."""
    if option.kind == "choice":
        found = option.choices
    elif option.kind == "flag":
        found = ("on", "off")
    elif option.kind == "size":
        found = (str(option.least), str(min(option.most, max(2 * option.least, 2 * MIB))))
    elif option.kind == "number":
        found = (str(option.least), str(min(option.most, 1 << 16)))
    else:
        found = ()
    return tuple(value for value in found if value != option.default)


def cases() -> tuple[Case, ...]:
    """All writers with each value of each option; what a writer refuses is not among them."""
    found = []
    for entry in WRITTEN:
        found.append(Case(entry))
        for option in native.options_of(entry):
            found += [Case(entry, ((option.name, value),)) for value in values(option)]
    return tuple(case for case in found if not case.options or accepted(case))


def accepted(case: Case) -> bool:
    """Whether the writer knows the options together (a value may need another option)."""
    try:
        case.writer(CountingOutput(), MIB)
    except (UsageError, UnsupportedError):
        return False
    return True


def content(size: int, seed: int = 1) -> bytes:
    """Runs of zeros, of random bytes, of text, of one byte; edges in the middle of units, too."""
    chance = random.Random(f"{seed} {size}")
    made = bytearray()
    while len(made) < size:
        length = chance.choice((512, 4096, 65_536, 131_072, chance.randrange(1, 300_000)))
        kind = chance.randrange(5)
        if kind < 2:
            made += bytes(length)
        elif kind == 2:
            made += chance.randbytes(length)
        elif kind == 3:
            made += (b"the same words again, " * (length // 20 + 1))[:length]
        else:
            made += bytes([chance.randrange(256)]) * length
    return bytes(made[:size])


def runs(data: bytes, step: int) -> list[tuple[int, int, bool]]:
    """(start, end, zeros) of pieces of at most `step` bytes; neighbours that are all zeros are one run."""
    found: list[tuple[int, int, bool]] = []
    for start in range(0, len(data), step):
        end = min(len(data), start + step)
        zeros = not any(data[start:end])
        if zeros and found and found[-1][2]:
            found[-1] = (found[-1][0], end, True)
        else:
            found.append((start, end, zeros))
    return found


def give(writer: Writer[Any], data: bytes, step: int, *, known: bool = True, ahead: bool = False) -> None:
    """Give a disk to a writer in pieces. `known`: runs of zeros are told as such; `ahead`: all is prepared first, in
    threads, from the end."""
    parts = [(start, end) for start, end, zeros in runs(data, step) if not (zeros and known)]
    early: dict[int, Any] = {}
    if ahead:
        with ThreadPoolExecutor(4) as pool:
            made = pool.map(lambda part: writer.prepare(part[0], data[slice(*part)]), reversed(parts))
            early = dict(zip((start for start, _ in reversed(parts)), made, strict=True))
    for start, end, zeros in runs(data, step):
        if zeros and known:
            writer.zeros(start, end - start)
        else:
            writer.put(start, early[start] if ahead else writer.prepare(start, data[start:end]))
    writer.finish(STAMP)


def image(case: Case, data: bytes, *, units: int = 4, **how: bool) -> bytes:
    """The image that a writer makes of a disk."""
    output = MemoryOutput()
    writer = case.writer(output, len(data))
    give(writer, data, units * writer.unit, **how)
    assert output.size == len(output.data)
    return bytes(output.data)


def guest(data: bytes, case: Case) -> Disk:
    """The guest's disk of an image."""
    return open_disk(io.BytesIO(data), format=case.entry.name)


def same(disk: Disk, data: bytes) -> None:
    """Fail where the guest sees anything but the data, and zeros to the end."""
    assert disk.size >= len(data)
    for start in range(0, len(data), MIB):
        assert disk.read_at(start, min(MIB, len(data) - start)) == data[start : start + MIB]
    rest = disk.size - len(data)
    edges = (0, max(0, rest - MIB)) if rest > 2 * MIB else range(0, rest, MIB)
    for start in edges:
        assert not any(disk.read_at(len(data) + start, min(MIB, rest - start)))


def sizes(case: Case) -> list[int]:
    """The sizes that a format knows: one may not know an empty disk."""
    found = []
    for size in SIZES:
        try:
            case.writer(CountingOutput(), size)
        except UnsupportedError:
            assert size == 0
        else:
            found.append(size)
    return found


@pytest.fixture(params=cases(), ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    """Each writer with each option."""
    made: Case = request.param
    return made


def test_there_are_writers() -> None:
    """Of every native target, with its options; each default is a value that is allowed."""
    assert {"raw", "vhd", "vdi"} <= {entry.name for entry in WRITTEN}
    for entry in WRITTEN:
        options = native.options_of(entry)
        assert accepted(Case(entry))
        assert len({option.name for option in options}) == len(options)
        assert all(option.meaning for option in options)
        for option in options:
            assert option.kind != "choice" or option.default in option.choices
        assert checked(options, {}, entry.name).keys() == {option.name for option in options}


def test_size_and_unit(case: Case) -> None:
    """The unit is a power of two; the disk is as large as asked, or larger by less than the format counts in."""
    for size in sizes(case):
        writer = case.writer(CountingOutput(), size)
        assert writer.unit > 0
        assert writer.unit & (writer.unit - 1) == 0
        assert size <= writer.size < size + 512
        assert writer.size == size or case.entry.name != "raw"


def test_the_guest_sees_the_same(case: Case) -> None:
    """Disks of all sizes, in pieces of any multiple of the unit: the same bytes, then zeros to the end."""
    for number, size in enumerate(sizes(case)):
        data = content(size)
        with guest(image(case, data, units=(1, 3, 4, 16)[number % 4]), case) as disk:
            assert disk.size == case.writer(CountingOutput(), size).size
            same(disk, data)


@pytest.mark.parametrize("kind", ["zeros", "random", "text", "ends"])
def test_other_contents(case: Case, kind: str) -> None:
    """Nothing but zeros; nothing but noise; text; data at both ends alone."""
    size = 2 * MIB + 512
    data = {
        "zeros": bytes(size),
        "random": random.Random(5).randbytes(size),
        "text": (b"text, " * (size // 6 + 1))[:size],
        "ends": (b"a" * 512).ljust(size - 512, b"\0") + b"z" * 512,
    }[kind]
    with guest(image(case, data), case) as disk:
        same(disk, data)


def test_the_same_calls_give_the_same_bytes(case: Case) -> None:
    """Twice in order, and once with all pieces prepared ahead of time, in threads, from the last to the first."""
    data = content(5 * MIB + 77)
    first = image(case, data)
    assert image(case, data) == first
    assert image(case, data, ahead=True) == first


def test_ids_and_times_come_from_the_stamp(case: Case) -> None:
    """A writer that does not ask for the digest writes the same whatever it is."""
    data = content(MIB)
    output = MemoryOutput()
    writer = case.writer(output, len(data))
    for start, end, _ in runs(data, 4 * writer.unit):
        writer.put(start, writer.prepare(start, data[start:end]))
    writer.finish(Stamp(bytes(32), TIME))
    assert (bytes(output.data) == image(case, data, known=False)) == (not writer.stamped)


def test_counting_tells_the_size(case: Case, tmp_path: Path) -> None:
    """An output that only counts ends at the size that the file has."""
    for size in sizes(case):
        data = content(size, seed=3)
        counted = CountingOutput()
        writer = case.writer(counted, size)
        give(writer, data, 4 * writer.unit)
        path = tmp_path / "image"
        with FileOutput(os.fspath(path), force=True) as output:
            writer = case.writer(output, size)
            give(writer, data, 4 * writer.unit)
            output.commit()
            assert path.stat().st_size == output.size == counted.size


def space(case: Case, path: Path, data: bytes, *, known: bool) -> int:
    """Bytes that an image takes on disk."""
    with FileOutput(os.fspath(path), force=True) as output:
        writer = case.writer(output, len(data))
        give(writer, data, 16 * writer.unit, known=known)
        output.commit()
    return path.stat().st_blocks * 512


def test_zeros_take_no_space(case: Case, tmp_path: Path) -> None:
    """Units of zeros inside of pieces take no more than those that are told as zeros."""
    if RESERVING in dict(case.options):
        return
    unit = max(case.writer(CountingOutput(), MIB).unit, 64 * KIB)
    data = b"".join(random.Random(7).randbytes(unit) if number % 8 == 3 else bytes(unit) for number in range(32))
    told = space(case, tmp_path / "told", data, known=True)
    found = space(case, tmp_path / "found", data, known=False)
    assert found <= told + 64 * KIB
    assert found < 5 * unit + 512 * KIB
    assert space(case, tmp_path / "none", bytes(16 * MIB), known=False) <= 512 * KIB


def test_an_output_that_holds_something(case: Case) -> None:
    """A device is not zeros: a writer puts them there, or says that it does not write to one."""
    data = content(3 * MIB + 512)
    output = MemoryOutput(garbage=16 * MIB)
    try:
        writer = case.writer(output, len(data))
    except UnsupportedError:
        assert not output.writes
        return
    if writer.size > 8 * MIB:
        return
    give(writer, data, 4 * writer.unit)
    with guest(bytes(output.data[: output.size]), case) as disk:
        same(disk, data)


class Full(CountingOutput):
    """An output that fails after some writes."""

    def __init__(self, after: int) -> None:
        super().__init__("full")
        self._left = after

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        if not self._left:
            raise OutputError("full: cannot write: No space left on device")
        self._left -= 1
        self.size = max(self.size, offset + len(data))

    def write_zeros(self, offset: int, length: int) -> None:
        Output.write_zeros(self, offset, length)


def test_failures_to_write_come_through(case: Case) -> None:
    """At whichever write it happens: the error of the output, as it is."""
    data = content(2 * MIB)
    whole = MemoryOutput()
    writer = case.writer(whole, len(data))
    give(writer, data, 4 * writer.unit)
    count = len(whole.writes)
    for after in islice(range(0, count, max(1, count // 8)), 8):
        output = Full(after)
        with pytest.raises(OutputError, match="No space left on device"):
            give(case.writer(output, len(data)), data, 4 * writer.unit)
