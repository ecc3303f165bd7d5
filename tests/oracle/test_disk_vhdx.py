"""Disks of VHDXs against qemu-img: every creation option × fills, made by create and qemu-io or by convert; logs.

The map: QEMU's driver for vhdx does not tell what is allocated, `qemu-img map` shows one range of data whatever is in
the file. So the bytes are compared with qemu-img's, and the extents with what the block allocation table holds.
Differencing disks and disks of 4096-byte sectors, which QEMU 7.2 does not open, and logs that go round their ring,
which it replays in part, are in tests/formats/test_disk_vhdx.py.
"""

from __future__ import annotations

import itertools
import random
import struct
from pathlib import Path

import pytest

import imgtool
import imgtool.disks.open as disks
from fixtures.recipes.vhdx import MIB, Change, log_of, logged, table_part
from tests.kit import fixture, need, qemu_create, run
from tests.oracle import disks_kit as kit

pytestmark = pytest.mark.oracle

SUBFORMATS = ("dynamic", "fixed")
BLOCKS = (1, 8, 64)  # MiB
ZERO = ("on", "off")
SIZES = (512, 100_000, MIB, MIB + 512, 33 * MIB, 300 * MIB)
FILLS = ("empty", "writes", "zeros", "converted")
MATRIX = tuple(
    case
    for case in itertools.product(SUBFORMATS, BLOCKS, ZERO, SIZES, FILLS)
    if not (case[0] == "fixed" and (case[3] > 33 * MIB or case[1] == 64))
)


def made(folder: Path, case: tuple[str, int, str, int, str]) -> Path:
    """An image with what its case says in it."""
    subformat, block, zero, size, fill = case
    options = (f"subformat={subformat}", f"block_size={block}M", f"block_state_zero={zero}")
    path = folder / "image.vhdx"
    if fill == "converted":
        raw = qemu_create(folder / "image.raw", "raw", size)
        kit.scribble(raw, "raw", case, unit=block * MIB, count=12)
        return kit.convert(raw, "raw", path, "vhdx", *options)
    qemu_create(path, "vhdx", size, *options)
    if fill == "writes":
        kit.scribble(path, "vhdx", case, unit=block * MIB, count=16, zeros=False, discards=False)
    elif fill == "zeros":
        kit.scribble(path, "vhdx", case, unit=block * MIB, count=12)
    return path


def by_the_table(path: Path) -> list[tuple[int, int, str, int | None]]:
    """The extents as the words of the BAT tell them one by one."""
    facts = imgtool.inspect(path, checksums=(), depth=0).details
    table = next(region for region in facts.regions if region.name == "BAT")
    ratio = (1 << 23) * facts.logical_sector_size // facts.block_size
    size = imgtool.inspect(path, checksums=(), depth=0).virtual_size
    assert size is not None
    found: list[tuple[int, int, str, int | None]] = []
    with open(path, "rb") as file:
        file.seek(table.offset)
        words = struct.unpack(f"<{table.length // 8}Q", file.read(table.length))
    for number, at in enumerate(range(0, size, facts.block_size)):
        word = words[number + number // ratio]
        kind = {0: "hole", 2: "zero", 6: "data"}[word & 7]
        host = word >> 20 << 20 if kind == "data" else None
        length = min(facts.block_size, size - at)
        if found and found[-1][2] == kind and (host is None or host == (found[-1][3] or 0) + found[-1][1]):
            start, before, _, first = found.pop()
            found.append((start, before + length, kind, first))
        else:
            found.append((at, length, kind, host))
    return found


def agree(path: Path, seed: object) -> None:
    """Fail where bytes differ from qemu-img's, or extents from the table."""
    kit.check(path, "vhdx", mapped=False, seed=seed)
    with disks.open_disk(path) as disk:
        assert [extent[:4] for extent in disk.extents()] == by_the_table(path)


@pytest.mark.parametrize("case", random.Random(5).sample(MATRIX, 14), ids=str)
def test_sample(tmp_path: Path, case: tuple[str, int, str, int, str]) -> None:
    """A seeded sample of all options together."""
    agree(made(tmp_path, case), case)


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_matrix(tmp_path: Path, case: tuple[str, int, str, int, str]) -> None:
    """All options together."""
    agree(made(tmp_path, case), case)


@pytest.mark.parametrize("size", [33 * MIB, 5 * MIB])
def test_resized(tmp_path: Path, size: int) -> None:
    """An image converted from one that grew."""
    raw = qemu_create(tmp_path / "image.raw", "raw", size)
    kit.scribble(raw, "raw", size)
    run(need("qemu-img"), "resize", "-q", "-f", "raw", str(raw), "+3M")
    agree(kit.convert(raw, "raw", tmp_path / "image.vhdx", "vhdx", "block_size=1M"), size)


def test_many_chunks(tmp_path: Path) -> None:
    """Blocks on both sides of the entries of sector bitmap blocks: 256 MiB blocks make a chunk of 16."""
    path = qemu_create(tmp_path / "image.vhdx", "vhdx", 1 << 40, "block_size=256M", "block_state_zero=off")
    writes = [part for at in (15, 16, 31, 32, 255) for part in ("-c", f"write -q -P {at} {at * 256}M 64k")]
    run(need("qemu-io"), "-f", "vhdx", *writes, str(path))
    with disks.open_disk(path) as disk:
        for at in (15, 16, 31, 32, 255):
            assert disk.read_at(at * 256 * MIB, 65537) == bytes([at]) * 65536 + b"\0"
        assert [extent[:4] for extent in disk.extents()] == by_the_table(path)


def replays_alike(path: Path) -> None:
    """Fail where our replay in memory differs from what is in the file once QEMU has replayed its log in place."""
    with disks.open_disk(path) as disk:
        ours = list(disk.extents())
        held = [disk.read_at(one.start, one.length) for one in ours if one.kind == "data"]
    run(need("qemu-img"), "check", "-q", "-f", "vhdx", "-r", "all", str(path))
    assert not imgtool.inspect(path, checksums=()).details.dirty
    with disks.open_disk(path) as disk:
        assert list(disk.extents()) == ours
        assert [disk.read_at(one.start, one.length) for one in ours if one.kind == "data"] == held
        for one, data in zip((one for one in ours if one.kind == "data"), held, strict=True):
            shown = run(need("qemu-io"), "-f", "vhdx", "-r", "-c", f"read -v {one.start} 16", str(path))
            assert data[:4].hex(" ").encode() in shown


@pytest.mark.parametrize("name", ["vhdx/log-adds-blocks.vhdx.gz", "vhdx/log-to-replay.vhdx.gz"])
def test_logs_of_the_repository(tmp_path: Path, name: str) -> None:
    """What we show before and after QEMU replayed the log in place is the same."""
    path = tmp_path / "image.vhdx"
    path.write_bytes(fixture(name))
    replays_alike(path)


@pytest.mark.parametrize("seed", range(8))
def test_random_logs(tmp_path: Path, seed: int) -> None:
    """Random sequences of entries that set and clear parts of the BAT, anywhere in the log but round its end."""
    chance = random.Random(seed)
    at = chance.randrange(0, 64) * 4096
    tail, number, entries = at, chance.randrange(1, 1 << 40), {}
    for _ in range(chance.randrange(1, 12)):
        changes = []
        for _ in range(chance.randrange(1, 5)):
            place = 3 * MIB + chance.randrange(4) * 4096
            if chance.random() < 0.3:
                changes.append(Change(place, zeros=4096 * chance.randrange(1, 3)))
                continue
            words = {chance.randrange(512): chance.choice((4, 5)) * MIB | 6 for _ in range(chance.randrange(4))}
            changes.append(Change(place, table_part(words)))
        entries[at] = log_of(number, tail, changes, 6 * MIB)
        at += len(entries[at])
        number += 1
    path = tmp_path / "image.vhdx"
    path.write_bytes(logged(entries, {chance.randrange(2000): 4 * MIB | 6}))
    replays_alike(path)
