"""The guest's disk of a VHDX where QEMU 7.2 is silent: parents, sector bitmaps, logs, tables that do not hold."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

import imgtool.disks.open as disks
from fixtures.recipes import vhdx as recipe
from fixtures.recipes.vhdx import MIB, Change, disk, items, log_of, payload, sector, table_part, with_blocks
from imgtool.errors import UsageError
from imgtool.limits import DEFAULT
from imgtool.sources.disk import Disk, DiskError, NotFollowedError
from tests.kit import fixture

BLOCK = 2048  #: sectors of a block of 1 MiB


def bytes_disk(data: bytes) -> Disk:
    """The disk of a VHDX in memory."""
    return disks.open_disk(io.BytesIO(data), format="vhdx")


def chain(folder: Path, base: bytes | None = None, child: bytes | None = None) -> Path:
    """The differencing disk and its parent in `folder`; the child's path."""
    (folder / "chain-base.vhdx").write_bytes(fixture("vhdx/chain-base.vhdx.gz") if base is None else base)
    path = folder / "chain-child.vhdx"
    path.write_bytes(fixture("vhdx/chain-child.vhdx.gz") if child is None else child)
    return path


def of_base(at: int) -> bytes:
    """Sector `at` of the parent, as its recipe says."""
    return sector(b"base", at) if at // BLOCK in (0, 1, 3, 4) else bytes(512)


def of_child(at: int) -> bytes:
    """Sector `at` of the child upon its parent, as its recipe says."""
    block = at // BLOCK
    if block in (3, 4):
        return bytes(512)
    own = block == 2 or (block == 0 and at // 7 % 2 == 0) or at >= 5 * BLOCK + 1024
    return sector(b"chld", at) if own else of_base(at)


@pytest.mark.parametrize(("name", "expected"), [("chain-base.vhdx", of_base), ("chain-child.vhdx", of_child)])
def test_bytes_of_a_chain(tmp_path: Path, name: str, expected: Callable[[int], bytes]) -> None:
    """Each sector comes from where states and bitmaps say; whole, and in pieces that begin and end anywhere."""
    chain(tmp_path)
    content = b"".join(expected(at) for at in range(6 * BLOCK))
    with disks.open_disk(tmp_path / name, follow=True) as opened:
        assert opened.size == 6 * MIB
        assert opened.read_at(0, opened.size + 5) == content
        for start in range(0, opened.size, 70_001):
            assert opened.read_at(start, 7_003) == content[start : start + 7_003]
        for extent in opened.extents():
            held = content[extent.start : extent.start + extent.length]
            assert extent.kind == "data" or not any(held)
            if extent.kind == "data":
                path = tmp_path / ("chain-base.vhdx" if extent.depth else name)
                with open(path, "rb") as file:
                    assert os.pread(file.fileno(), extent.length, extent.host_offset or 0) == held


def test_without_permission(tmp_path: Path) -> None:
    """Not present and not in the bitmap is `reference`; zero and unmapped blocks are zeros, not the parent's."""
    with disks.open_disk(chain(tmp_path)) as opened:
        kinds = [(one.kind, one.length) for one in opened.extents(MIB, 4 * MIB + MIB // 2)]
        assert kinds == [
            ("reference", MIB),
            ("data", MIB),
            ("zero", 2 * MIB),
            ("reference", MIB // 2),
        ]
        with pytest.raises(NotFollowedError):
            opened.read_at(MIB, 1)
        with pytest.raises(NotFollowedError):
            opened.read_at(7 * 512 - 1, 2)
        assert opened.read_at(7 * 512 - 2, 2) == sector(b"chld", 6)[-2:]


def test_a_parent_that_changed_is_refused(tmp_path: Path) -> None:
    """A parent whose DataWriteGuid is not the linkage."""
    base = bytearray(fixture("vhdx/chain-base.vhdx.gz"))
    for at in (64 << 10, 128 << 10):
        base[at + 32] ^= 1
        base[at : at + 4096] = recipe.summed(bytes(base[at : at + 4096]))
    with pytest.raises(DiskError, match="linkage"):
        disks.open_disk(chain(tmp_path, bytes(base)), follow=True)


@pytest.mark.parametrize("word", [0, 2, 4 * MIB | 7, 6, 60 * MIB | 6, 4 * MIB | 6 | 8, 1 << 63 | 6])
def test_bitmap_blocks_that_do_not_hold(tmp_path: Path, word: int) -> None:
    """A partial block without its sector bitmap: data in the map, an error when it is read."""
    child = bytearray(fixture("vhdx/chain-child.vhdx.gz"))
    struct.pack_into("<Q", child, 3 * MIB + 8 * 4096, word)
    with disks.open_disk(chain(tmp_path, child=bytes(child)), follow=True) as opened:
        first = next(opened.extents())
        assert (first.kind, first.length, first.host_offset) == ("data", MIB, 5 * MIB)
        with pytest.raises(DiskError, match="sector bitmap"):
            opened.read_at(0, 1)
        assert opened.read_at(2 * MIB, 512) == sector(b"chld", 2 * BLOCK)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (0, "hole"),
        (1, "zero"),
        (2, "zero"),
        (3, "zero"),
        (4, "data"),
        (5, "data"),
        (4 * MIB | 7, "data"),
        (6, "data"),
        (4 * MIB | 6 | 8, "data"),
        (1 << 63 | 6, "data"),
        ((1 << 64) - 1, "data"),
        (99 * MIB | 6, "data"),
        (7 * MIB | 0xFFFF0 | 2, "zero"),
    ],
)
def test_states(word: int, kind: str) -> None:
    """States 0 to 3 read as zeros; 4, 5, 7 without a parent, reserved bits and places outside are errors."""
    image = with_blocks(disk(items(2 * MIB)), {0: word, 1: 4 * MIB | 6}, [payload(b"blk1", 1)])
    with bytes_disk(image) as opened:
        first = next(opened.extents())
        assert (first.kind, first.length) == (kind, MIB)
        assert opened.read_at(MIB, 512) == sector(b"blk1", BLOCK)
        if kind == "data":
            with pytest.raises(DiskError):
                opened.read_at(0, 1)
        else:
            assert opened.read_at(0, MIB) == bytes(MIB)


def test_entries_of_bitmap_blocks_lie_between() -> None:
    """After each chunk of 128 blocks of 32 MiB one entry is passed over."""
    image = with_blocks(disk(items(200 * 32 * MIB, 32 * MIB)), {128: 4 * MIB | 7, 129: 4 * MIB | 6}, [b"here"])
    with bytes_disk(image) as opened:
        assert [(one.start // MIB, one.kind) for one in opened.extents()] == [
            (0, "hole"),
            (128 * 32, "data"),
            (129 * 32, "hole"),
        ]
        assert opened.read_at(128 * 32 * MIB - 1, 5) == b"\0here"


def test_sectors_of_4096() -> None:
    """The chunk has 2^23 sectors, so of 4096 bytes it has 1024 blocks of 32 MiB."""
    content = items(1100 * 32 * MIB, 32 * MIB, sectors=(4096, 4096))
    with bytes_disk(with_blocks(disk(content), {1025: 4 * MIB | 6}, [b"here"])) as opened:
        assert opened.read_at(1024 * 32 * MIB, 4) == b"here"


def test_a_table_that_is_too_small() -> None:
    """Blocks past the table are data nowhere, told in one step; reading them is an error."""
    with bytes_disk(disk(items(64 << 40))) as opened:
        found = list(opened.extents())
        assert [(one.kind, one.host_offset) for one in found] == [("hole", None), ("data", None)]
        assert found[0].length // MIB == 131072 // 4097 * 4096 + 131072 % 4097
        assert sum(one.length for one in found) == 64 << 40
        with pytest.raises(DiskError, match="does not hold"):
            opened.read_at(found[1].start, 1)


@pytest.mark.parametrize("block", [0, 1, MIB - 1, MIB // 2, 3 * MIB, 512 * MIB])
def test_block_sizes_that_cannot_be(block: int) -> None:
    """No power of two from 1 to 256 MiB."""
    with pytest.raises(DiskError, match="block size"):
        bytes_disk(disk(items(8 * MIB, block)))


@pytest.mark.parametrize("sectors", [0, 1, 1024, 4097])
def test_sector_sizes_that_cannot_be(sectors: int) -> None:
    """Neither 512 nor 4096."""
    with pytest.raises(DiskError, match="sector size"):
        bytes_disk(disk(items(8 * MIB, sectors=(sectors, 4096))))


def test_sizes_that_cannot_be() -> None:
    """More than 64 TiB."""
    with pytest.raises(DiskError, match="at most"):
        bytes_disk(disk(items((64 << 40) + 512)))


def test_there_are_no_snapshots() -> None:
    """Asking for one is a usage error."""
    with pytest.raises(UsageError):
        disks.open_disk(io.BytesIO(fixture("vhdx/windows.vhdx.gz")), snapshot="first")


def told(image: bytes) -> list[tuple[int, str, int | None]]:
    """The extents of an image, without holes: start in MiB, kind, host offset in MiB."""
    with bytes_disk(image) as opened:
        found = list(opened.extents())
        assert sum(one.length for one in found) == opened.size
        return [
            (one.start // MIB, one.kind, one.host_offset and one.host_offset // MIB)
            for one in found
            if one.kind != "hole"
        ]


def test_a_log_that_adds_blocks() -> None:
    """Three entries one upon the other: two blocks come, a stale one goes; the blocks' bytes are there."""
    image = fixture("vhdx/log-adds-blocks.vhdx.gz")
    assert told(image) == [(0, "data", 4), (3, "data", 5)]
    with bytes_disk(image) as opened:
        assert opened.read_at(0, MIB) == payload(b"blk0", 0)
        assert opened.read_at(3 * MIB, MIB) == payload(b"blk1", 1)
        assert opened.read_at(600 * MIB, MIB) == bytes(MIB)


def test_a_log_that_wraps() -> None:
    """The sequence from the head's tail on counts; entries before it, older, torn and of another log do not."""
    assert told(fixture("vhdx/log-wraps.vhdx.gz")) == [(0, "data", 4), (600, "data", 5), (1025, "data", 4)]


def test_what_the_log_changes_in_the_metadata_is_read_anew() -> None:
    """A log that makes the disk smaller: its size is the one after the replay."""
    before, after = recipe.metadata(items(2048 * MIB)), recipe.metadata(items(16 * MIB))
    change = Change(2 * MIB + 65536, after[65536:].ljust(4096, b"\0"))
    image = recipe.logged({0: log_of(1, 0, [change], 6 * MIB)}, {1: 5 * MIB | 6})
    assert before[65536:] in image
    with bytes_disk(image) as opened:
        assert opened.size == 16 * MIB
        assert opened.read_at(MIB, 512) == sector(b"blk1", BLOCK)


def test_a_log_that_makes_metadata_senseless() -> None:
    """Cleared metadata is a broken file."""
    entry = log_of(1, 0, [Change(2 * MIB, zeros=MIB)], 4 * MIB)
    with pytest.raises(DiskError, match="broken once its log is replayed"):
        told(recipe.logged({0: entry}, {}, blocks=0))


def test_data_and_zeros_in_one_entry_count_in_their_order() -> None:
    """Of changes that overlap the last one holds, sector by sector."""
    first = Change(3 * MIB, table_part({0: 4 * MIB | 6}))
    clear = Change(3 * MIB, zeros=12288)
    second = Change(3 * MIB + 4096, table_part({0: 5 * MIB | 6}))
    assert told(recipe.logged({0: log_of(1, 0, [first, second, clear], 6 * MIB)}, {7: 6})) == []
    assert told(recipe.logged({0: log_of(1, 0, [clear, first, second], 6 * MIB)}, {7: 6})) == [
        (0, "data", 4),
        (512, "data", 5),
    ]
    assert told(recipe.logged({0: log_of(1, 0, [first, clear, second], 6 * MIB)}, {7: 6})) == [(512, "data", 5)]


def test_a_log_may_say_that_the_file_is_longer() -> None:
    """LastFileOffset extends the file: a block there reads as zeros, not as an error."""
    head = bytearray(log_of(1, 0, [Change(3 * MIB, table_part({0: 8 * MIB | 6}))], 6 * MIB))
    struct.pack_into("<Q", head, 56, 9 * MIB)
    with bytes_disk(recipe.logged({0: recipe.summed(bytes(head))}, {})) as opened:
        assert next((one.kind, one.length, one.host_offset) for one in opened.extents()) == ("data", MIB, None)
        assert opened.read_at(0, MIB) == bytes(MIB)


def test_blocks_that_the_log_changes_have_no_place_in_the_file() -> None:
    """Their bytes are not those of the file; their neighbours lie there as they are, before and behind them."""
    table = {block: (4 + block) * MIB | 6 for block in range(6)}
    changes = [Change(6 * MIB + 65536, b"PATCHED!" * 512), Change(7 * MIB, zeros=4096), Change(9 * MIB, zeros=4096)]
    image = recipe.logged({0: log_of(1, 0, changes, 10 * MIB)}, table, blocks=6)
    assert told(image) == [(0, "data", 4), (2, "data", None), (4, "data", 8), (5, "data", None)]
    with bytes_disk(image) as opened:
        for extent in opened.extents(0, 6 * MIB):
            if extent.host_offset is not None:
                held = image[extent.host_offset : extent.host_offset + extent.length]
                assert opened.read_at(extent.start, extent.length) == held
        assert next(opened.extents(2 * MIB + 5, 7)) == (2 * MIB + 5, 7, "data", None, 0, None)
        assert next(opened.extents(4 * MIB + 5, 7)) == (4 * MIB + 5, 7, "data", 8 * MIB + 5, 0, None)


ADD = Change(3 * MIB, table_part({0: 4 * MIB | 6}))


def with_entry(entry: bytes) -> bytes:
    """A disk whose log begins with this entry."""
    return recipe.logged({0: entry}, {})


def edited(at: int, raw: bytes, changes: tuple[Change, ...] = (ADD,)) -> bytes:
    """A log entry with some of its bytes changed, its checksum right again."""
    entry = bytearray(log_of(1, 0, list(changes), 6 * MIB))
    entry[at : at + len(raw)] = raw
    return recipe.summed(bytes(entry))


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        log_of(1, 0, [ADD], 6 * MIB)[:-1] + b"\1",
        log_of(1, 0, [ADD], 6 * MIB, "0a0b0c0d-0000-4000-8000-00000000000e"),
        log_of(1, 4096, [ADD], 6 * MIB),
        log_of(0, 0, [ADD], 6 * MIB),
        edited(8, struct.pack("<I", 0)),
        edited(8, struct.pack("<I", 8193)),
        edited(8, struct.pack("<I", 0xFFFFF000)),
        edited(24, struct.pack("<I", 0xFFFFFFFF)),
        edited(24, struct.pack("<I", 2)),
        edited(64, b"what"),
        edited(64 + 16, struct.pack("<Q", 3 * MIB + 1)),
        edited(64 + 24, struct.pack("<Q", 2)),
        edited(4096, b"desc"),
        edited(4100, struct.pack("<I", 1)),
        edited(8188, struct.pack("<I", 2)),
        edited(64 + 8, struct.pack("<Q", 4097), (Change(3 * MIB, zeros=4096),)),
    ],
    ids=[f"entry-{number}" for number in range(17)],
)
def test_logs_without_a_valid_entry(entry: bytes) -> None:
    """Nothing, or one entry with one thing wrong: the file is damaged, and is said to be."""
    with pytest.raises(DiskError, match="no valid sequence"):
        told(with_entry(entry))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (log_of(1, 0, [ADD], 7 * MIB), "was cut"),
        (log_of(1, 0, [Change(64 << 10, b"x" * 4096)], 6 * MIB), "the headers or the log"),
        (log_of(1, 0, [Change(MIB + 8192, zeros=4096)], 6 * MIB), "the headers or the log"),
        (log_of(1, 0, [Change(0, zeros=1 << 62)], 6 * MIB), "the headers or the log"),
        (log_of(1, 0, [Change((1 << 64) - 4096, zeros=1 << 63)], 6 * MIB), "larger than any file"),
        (edited(56, struct.pack("<Q", (1 << 64) - MIB)), "larger than any file"),
    ],
)
def test_logs_that_cannot_be_replayed(entry: bytes, message: str) -> None:
    """A file cut after its log was written, changes to headers or the log, changes past any file's end."""
    with pytest.raises(DiskError, match=message):
        told(with_entry(entry))


def test_zeros_without_end() -> None:
    """A descriptor that clears 2^62 bytes costs nothing: the blocks there read as zeros."""
    image = recipe.logged({0: log_of(1, 0, [ADD, Change(4 * MIB, zeros=1 << 62)], 6 * MIB)}, {})
    with bytes_disk(image) as opened:
        assert opened.read_at(0, MIB) == bytes(MIB)


def test_caps_of_a_log() -> None:
    """Too long a log, too many changes, too much to sum up: refused by name of what is too much."""
    image = fixture("vhdx/log-adds-blocks.vhdx.gz")
    for limits, message in (
        (DEFAULT._replace(vhdx_log=MIB - 1), "are replayed"),
        (DEFAULT._replace(vhdx_log_patches=2), "more than 2 changes"),
        (DEFAULT._replace(vhdx_log_work=8192), "larger than their caps"),
    ):
        with pytest.raises(DiskError, match=message):
            disks.open_disk(io.BytesIO(image), limits=limits)


def test_a_log_of_another_version_or_place() -> None:
    """A log of version 1, of no length, and one outside the file are errors, not ignored."""
    good = fixture("vhdx/log-adds-blocks.vhdx.gz")
    for at, raw in ((64, b"\1\0"), (68, bytes(4)), (68, struct.pack("<I", 64 * MIB)), (72, bytes(8))):
        image = bytearray(good)
        for head in (64 << 10, 128 << 10):
            image[head + at : head + at + len(raw)] = raw
            image[head : head + 4096] = recipe.summed(bytes(image[head : head + 4096]))
        with pytest.raises(DiskError, match="log to replay"):
            told(bytes(image))


def test_the_log_of_the_old_fixture() -> None:
    """A log that clears part of an empty BAT changes nothing."""
    assert told(fixture("vhdx/log-to-replay.vhdx.gz")) == []
