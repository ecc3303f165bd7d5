"""The guest's disk of a VMDK against qemu-img: every subformat × option × fill, and the kinds that only ESXi writes.

What is told differently: holes of the file below a flat extent are holes of the disk here (`holes`).
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from tests.formats import vmdk_made as made
from tests.kit import need, qemu_create, run
from tests.oracle.disks_kit import check, convert, scribble

pytestmark = pytest.mark.oracle

MIB, GIB = 1024**2, 1024**3
TWO_GB = 2 * GIB
SUBFORMATS = ("monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized")
SIZES = (512, 1536, 65536, 3 * MIB + 512, TWO_GB + MIB, 5 * GIB + 512)
FILLS = ("empty", "writes", "more-writes", "converted", "converted-dense", "delta")


class Case(NamedTuple):
    """One way to make an image."""

    subformat: str
    zeroed: str
    version: str
    size: int
    fill: str

    @property
    def flat(self) -> bool:
        """Its extents lie in files as they are."""
        return self.subformat.endswith("Flat")

    def options(self) -> tuple[str, ...]:
        """As for -o."""
        return (f"subformat={self.subformat}", f"zeroed_grain={self.zeroed}", f"compat6={self.version}")


def possible(case: Case) -> bool:
    """What qemu-img makes at all; a stream takes each grain once, whole."""
    if case.flat and (case.zeroed == "on" or case.fill == "delta"):
        return False
    if case.subformat == "streamOptimized" and case.fill in ("more-writes", "delta"):
        return False
    return not (case.size > GIB and case.fill == "converted-dense")


def cases() -> list[Case]:
    """The whole matrix."""
    return [
        case
        for case in itertools.starmap(Case, itertools.product(SUBFORMATS, ("off", "on"), ("off", "on"), SIZES, FILLS))
        if possible(case)
    ]


def sample() -> list[Case]:
    """A seeded sample in which each fill appears with each subformat."""
    chance = Random(7)
    return [
        chance.choice([case for case in cases() if case.subformat == subformat and case.fill == fill])
        for subformat in SUBFORMATS
        for fill in FILLS
        if any(case.subformat == subformat and case.fill == fill for case in cases())
    ]


def raw_disk(path: Path, size: int, chance: Random, *, dense: bool = False) -> Path:
    """A raw file with patterns: text, noise and zeros near its ends and about the edges of extents."""
    with open(path, "wb") as file:
        file.truncate(size)
        places = range(0, size, 65536) if dense else [0, size - 1, TWO_GB - 700, *(chance.randrange(size),) * 9]
        for place in places:
            start = max(0, min(size, place - chance.randrange(70_000)))
            content = chance.choice((chance.randbytes(1000) * 40, b"words " * 9000, bytes(30_000) + b"end", b"\1"))
            file.seek(start)
            file.write(content[: size - start])
    return path


def one_write_each(path: Path, size: int, chance: Random) -> None:
    """Whole grains and the odd last one, in any order, each once."""
    count = -(-size // 65536)
    for grain in chance.sample(range(count), min(count, 12)) if count < 1000 else (0, count - 1, count // 2):
        length = min(65536, size - grain * 65536)
        run(need("qemu-io"), "-f", "vmdk", "-c", f"write -P {grain % 251 + 1} {grain * 65536} {length}", str(path))


def filled(case: Case, folder: Path) -> Path:
    """The image of a case."""
    chance = Random(repr(case))
    path = folder / "disk.vmdk"
    if case.fill.startswith("converted"):
        raw = raw_disk(folder / "source.raw", case.size, chance, dense=case.fill == "converted-dense")
        return convert(raw, "raw", path, "vmdk", *case.options())
    extra: tuple[str, ...] = ()
    if case.fill == "delta":
        base = qemu_create(folder / "base.vmdk", "vmdk", case.size, "subformat=monolithicSparse")
        scribble(base, "vmdk", case, align=512)
        extra = ("-b", str(base.name), "-F", "vmdk")
    qemu_create(path, "vmdk", case.size, *case.options(), extra=extra)
    if case.subformat == "streamOptimized" and case.fill != "empty":
        one_write_each(path, case.size, chance)
    elif case.fill != "empty":
        for seed in range(2 if case.fill == "more-writes" else 1):
            scribble(path, "vmdk", (case, seed), align=512, discards=False)
    return path


def verify(case: Case, folder: Path) -> None:
    """Make one, compare it, clear the folder."""
    os.chdir(folder)
    path = filled(case, folder)
    check(path, "vmdk", follow=True, ignore=("holes",) if case.flat else (), seed=case)
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize("subformat", SUBFORMATS)
def test_sample(subformat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fill of each subformat, other options by a seed: bytes and map are qemu-img's."""
    monkeypatch.chdir(tmp_path)
    for case in sample():
        if case.subformat == subformat:
            verify(case, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("subformat", SUBFORMATS)
def test_all(subformat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole matrix: bytes and map are qemu-img's."""
    monkeypatch.chdir(tmp_path)
    for case in cases():
        if case.subformat == subformat:
            verify(case, tmp_path)


def grains(chance: Random, count: int, size: int, many: int, *kinds: str) -> made.Grains:
    """Grains at random numbers in random order, runs among them, the last one too."""
    starts = [*(chance.randrange(count) for _ in range(many)), 0, count - 1]
    numbers = dict.fromkeys(number for start in starts for number in range(start, min(count, start + 3)))
    order = list(numbers)
    if chance.random() < 0.5:
        chance.shuffle(order)
    return {
        number: chance.choice(kinds) if kinds and chance.random() < 0.3 else (b"%7d " % number) * (size // 8)
        for number in order
    }


@pytest.mark.parametrize("footer", [True, False])
@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("capacity", [40, 16 * 512 * 3 + 1])
def test_streams(footer: bool, marked: bool, capacity: int, tmp_path: Path) -> None:
    """Streams with and without footer and markers, grains in any order, with grains of zeros."""
    for grain in (16, 128):
        content = grains(
            Random(repr((footer, marked, capacity, grain))), -(-capacity // grain), grain * 512, 20, "zero"
        )
        path = made.hosted(
            tmp_path / "s.vmdk", content, capacity, grain, packed=True, marked=marked, footer=footer, zeroed=True
        )
        check(path, "vmdk", seed=grain)


@pytest.mark.parametrize("zeroed", [True, False])
def test_tables_behind_grains(zeroed: bool, tmp_path: Path) -> None:
    """A plain extent whose directory has empty entries; an entry of 1 is sector 1 unless the flag is there."""
    chance = Random(3)
    capacity = 16 * 512 * 40 + 8
    content = grains(chance, -(-capacity // 16), 8192, 30, "zero")
    check(made.hosted(tmp_path / "d.vmdk", content, capacity, zeroed=zeroed), "vmdk")


@pytest.mark.parametrize(("capacity", "grain"), [(1, 1), (16384, 1), (4096 * 40 + 7, 1), (2 * 1024 * 1024, 128)])
def test_cowd(capacity: int, grain: int, tmp_path: Path) -> None:
    """COWD extents behind a descriptor, two in a row, and one alone."""
    chance = Random(capacity)
    for name in ("a", "b"):
        content = grains(chance, -(-capacity // grain), grain * 512, 60)
        made.cowd(tmp_path / f"{name}.vmdk", content, capacity, grain)
    lines = [f'RW {capacity} VMFSSPARSE "{name}.vmdk"' for name in ("a", "b")]
    path = tmp_path / "disk.vmdk"
    path.write_text(made.descriptor("vmfsSparse", *lines))
    check(path, "vmdk", follow=True)


@pytest.mark.parametrize(("capacity", "first"), [(8, 1), (32768 * 3 + 5, 1), (32768 * 64, 4090), (32768 * 9, 20_000)])
def test_sesparse(capacity: int, first: int, tmp_path: Path) -> None:
    """seSparse extents: every kind of grain, grain numbers beyond twelve bits, tables in any order."""
    content = grains(Random(capacity), -(-capacity // 8), 4096, 60, "zero", "unmapped")
    made.sesparse(tmp_path / "extent.vmdk", content, capacity, first=first)
    path = tmp_path / "disk.vmdk"
    path.write_text(made.descriptor("seSparse", f'RW {capacity} SESPARSE "extent.vmdk"'))
    check(path, "vmdk", follow=True)


@pytest.mark.parametrize("kind", ["vmfsSparse", "seSparse"])
def test_deltas_of_esxi(kind: str, tmp_path: Path) -> None:
    """A flat base, and above it a delta of two extents: what they have not shows the base at its place."""
    chance = Random(kind)
    half = 32768 + 8
    raw_disk(tmp_path / "base-flat.vmdk", half * 1024, chance, dense=True)
    flat = f'RW {half * 2} VMFS "base-flat.vmdk"'
    (tmp_path / "base.vmdk").write_text(made.descriptor("vmfs", flat, cid="0badcafe"))
    for name in ("a", "b"):
        if kind == "seSparse":
            made.sesparse(tmp_path / f"{name}.vmdk", grains(chance, half // 8, 4096, 30, "zero"), half)
        else:
            made.cowd(tmp_path / f"{name}.vmdk", grains(chance, half, 512, 30), half, 1, 2, b"base.vmdk")
    lines = [f'RW {half} {kind.upper()} "{name}.vmdk"' for name in ("a", "b")]
    path = tmp_path / "top.vmdk"
    path.write_text(made.descriptor(kind, *lines, parent="badcafe", hint="base.vmdk"))
    check(path, "vmdk", follow=True, ignore=("holes",))


def test_flat_at_an_offset(tmp_path: Path) -> None:
    """Extents at sector offsets of one file, in another order than in the file, and a capacity of 0 before them."""
    raw_disk(tmp_path / "f.raw", 4 * MIB, Random(1), dense=True)
    lines = ('RW 1024 FLAT "f.raw" 4000', 'RW 3 FLAT "f.raw" 0', 'RW 2048 FLAT "f.raw" 1')
    path = tmp_path / "disk.vmdk"
    path.write_text(made.descriptor("monolithicFlat", *lines))
    check(path, "vmdk", follow=True, ignore=("holes",))
    head = made.header(0, 128, 21, flags=3, version=1, packed=False)
    path.write_bytes(head + made.descriptor("monolithicFlat", *lines).encode().ljust(20 * 512, b"\0"))
    check(path, "vmdk", follow=True, ignore=("holes",))


def test_chain_of_deltas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three deltas above a split base, each written to."""
    monkeypatch.chdir(tmp_path)
    base = qemu_create(tmp_path / "0.vmdk", "vmdk", TWO_GB + MIB, "subformat=twoGbMaxExtentSparse")
    scribble(base, "vmdk", 0, align=512)
    for number in (1, 2, 3):
        path = tmp_path / f"{number}.vmdk"
        below = ("-b", f"{number - 1}.vmdk", "-F", "vmdk")
        qemu_create(path, "vmdk", None, "subformat=monolithicSparse,zeroed_grain=on", extra=below)
        scribble(path, "vmdk", number, align=512, discards=False)
        check(path, "vmdk", follow=True)
