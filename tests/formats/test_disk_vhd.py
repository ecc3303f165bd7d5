"""The guest's disk of a VHD where QEMU 7.2 is silent: sector bitmaps, parents, tables that do not hold."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

import imgtool.disks.open as disks
from fixtures.recipes.vhd import Disk as Said
from fixtures.recipes.vhd import block, chain_base, footer, header, sector, sparse, with_blocks
from imgtool.errors import UsageError
from imgtool.sources.disk import Disk, DiskError, NotFollowedError
from tests.kit import fixture

SECTORS = 1024  #: of a block of the chain


def bytes_disk(data: bytes) -> Disk:
    """The disk of a VHD in memory."""
    return disks.open_disk(io.BytesIO(data), format="vhd")


def chain(folder: Path, base: bytes | None = None) -> Path:
    """The differencing disk and its parent in `folder`; the child's path."""
    (folder / "chain-base.vhd").write_bytes(fixture("vhd/chain-base.vhd.gz") if base is None else base)
    child = folder / "chain-child.vhd"
    child.write_bytes(fixture("vhd/chain-child.vhd.gz"))
    return child


def of_base(at: int) -> bytes:
    """Sector `at` of the parent, as its recipe says."""
    if at < SECTORS or 2 * SECTORS <= at < 3 * SECTORS:
        return sector(b"base", at)
    return sector(b"base", at) if SECTORS <= at < 2 * SECTORS and at % 3 else bytes(512)


def of_child(at: int) -> bytes:
    """Sector `at` of the child upon its parent, as its recipe says."""
    own = (at < SECTORS and at // 5 % 2 == 1) or 2058 <= at < 2069 or 3072 <= at < 3584
    return sector(b"chld", at) if own else of_base(at)


@pytest.mark.parametrize(("name", "expected"), [("chain-base.vhd", of_base), ("chain-child.vhd", of_child)])
def test_bytes_of_a_chain(tmp_path: Path, name: str, expected: Callable[[int], bytes]) -> None:
    """Each sector comes from where the bitmaps say; whole, and in pieces that begin and end anywhere."""
    chain(tmp_path)
    content = b"".join(expected(at) for at in range(4096))
    with disks.open_disk(tmp_path / name, follow=True) as disk:
        assert disk.size == 2 << 20
        assert disk.read_at(0, disk.size + 5) == content
        for start in range(0, disk.size, 70_001):
            assert disk.read_at(start, 5_003) == content[start : start + 5_003]
        for extent in disk.extents():
            held = content[extent.start : extent.start + extent.length]
            assert extent.kind == "data" or not any(held)
            if extent.kind == "data":
                path = tmp_path / ("chain-base.vhd" if extent.depth else name)
                with open(path, "rb") as file:
                    assert os.pread(file.fileno(), extent.length, extent.host_offset or 0) == held


def test_sectors_never_written_are_zeros() -> None:
    """A clear bit of a dynamic disk reads as zeros, whatever lies in the block; the extent tells where it lies."""
    with bytes_disk(fixture("vhd/chain-base.vhd.gz")) as disk:
        found = list(disk.extents(1026 * 512, 1024))
        assert [(one.kind, one.length) for one in found] == [("zero", 512), ("data", 512)]
        assert disk.read_at(1026 * 512, 512) == bytes(512)
        assert found[0].host_offset == (found[1].host_offset or 0) - 512


def test_without_permission(tmp_path: Path) -> None:
    """The child's own sectors read; what the parent has is `reference`, and reading it says so."""
    with disks.open_disk(chain(tmp_path)) as disk:
        kinds = {extent.kind for extent in disk.extents()}
        assert kinds == {"data", "reference"}
        assert disk.read_at(5 * 512, 5 * 512) == b"".join(sector(b"chld", at) for at in range(5, 10))
        with pytest.raises(NotFollowedError):
            disk.read_at(4 * 512, 1024)
        with pytest.raises(NotFollowedError):
            disk.read_at(1024 * 512, 512)


def test_another_parent_is_refused(tmp_path: Path) -> None:
    """A parent whose unique id is not the one that the child names."""
    other = with_blocks(Said(3, 2 << 20, b"win ", (60, 4, 17)), [None] * 4)
    with pytest.raises(DiskError, match=r"unique id 11121314.*01020304"):
        disks.open_disk(chain(tmp_path, other), follow=True)


def test_no_parent_there(tmp_path: Path) -> None:
    """A parent that is not in the folder is an error where following was asked for."""
    child = chain(tmp_path)
    (tmp_path / "chain-base.vhd").unlink()
    with pytest.raises(disks.InputError):
        disks.open_disk(child, follow=True)


def test_a_parent_that_is_fixed_and_shorter(tmp_path: Path) -> None:
    """A fixed parent reads as one; past its end the child sees zeros."""
    said = Said(2, 1 << 20, b"win ", (30, 4, 17), 0xFFFFFFFFFFFFFFFF, identity=bytes(range(17, 33)))
    base = b"".join(sector(b"flat", at) for at in range(2048)) + footer(said)
    with disks.open_disk(chain(tmp_path, base), follow=True) as disk:
        assert disk.read_at(0, 512) == sector(b"flat", 0)
        assert disk.read_at(2047 * 512, 1024) == sector(b"flat", 2047) + bytes(512)


@pytest.mark.parametrize("entry", [0, 3079, 0x7FFFFFFF, 0xFFFFFFFE])
def test_entries_that_do_not_hold(entry: int) -> None:
    """An entry that points at the footer's copy or outside: data in the map, an error when it is read."""
    image = bytearray(chain_base())
    image[1536:1540] = struct.pack(">I", entry)
    with bytes_disk(bytes(image)) as disk:
        assert next(disk.extents()).kind == "data"
        assert disk.read_at(512 * 1025, 512) == sector(b"base", 1025)
        with pytest.raises(DiskError):
            disk.read_at(0, 1 << 19)


def test_a_block_that_is_cut() -> None:
    """A block whose end lies outside the file reads up to there."""
    image = chain_base()
    with bytes_disk(image[: 2048 + 512 + 4096]) as disk:
        assert disk.read_at(2048 * 512, 4096) == b"".join(sector(b"base", at) for at in range(2048, 2056))
        with pytest.raises(DiskError, match="past the end"):
            disk.read_at(2048 * 512, 4097)


def test_a_table_that_is_too_short() -> None:
    """Blocks past the table are data nowhere; reading them is an error; the extents tile the disk all the same."""
    said = Said(3, 2040 << 30, b"win ", (65535, 16, 255))
    image = footer(said) + header(3, 1536, 512) + b"\xff" * 512 + footer(said)
    with bytes_disk(image) as disk:
        found = list(disk.extents())
        assert [(one.start, one.kind) for one in found] == [(0, "hole"), (3 * 512, "data")]
        assert sum(one.length for one in found) == 2040 << 30
        with pytest.raises(DiskError, match="does not hold"):
            disk.read_at(1536, 1)


def test_blocks_that_share_a_place() -> None:
    """A table whose million entries all point at one block with a striped bitmap: few extents, bounded work."""
    said = Said(3, 2040 << 30, b"win ", (65535, 16, 255))
    count = (2040 << 30) // (2 << 20)
    place = struct.pack(">I", (1536 + count * 4) // 512)
    shared = block(b"same", 0, lambda at: at % 2 == 0, 4096)
    image = footer(said) + header(count, 1536) + place * count + shared + footer(said)
    with bytes_disk(image) as disk:
        found = list(disk.extents(0, 1 << 36))
        assert {one.kind for one in found} == {"data"}
        assert len(found) == (1 << 36) // (2 << 20)
        assert disk.read_at(1 << 40, 1024) == sector(b"same", 0) + bytes(512)


@pytest.mark.parametrize("size", [0, 1, 511, 3 << 20, 0xFFFFFFFF])
def test_block_sizes_that_cannot_be(size: int) -> None:
    """No power of two of at least 512."""
    said = Said(3, 1 << 20, b"win ", (30, 4, 17))
    with pytest.raises(DiskError, match="block_size"):
        bytes_disk(footer(said) + header(1, 1536, size) + b"\xff" * 512 + footer(said))


def test_blocks_of_two_gib_have_bitmaps_of_half_a_mib() -> None:
    """The bitmap is as long as the block needs, and only the part that is asked for is read."""
    said = Said(3, 1 << 20, b"win ", (30, 4, 17))
    bitmap = (b"\xff" * 64).ljust(1 << 19, b"\0")
    data = b"".join(sector(b"huge", at) for at in range(2048))
    image = footer(said) + header(1, 1536, 1 << 31) + struct.pack(">I", 4).ljust(512, b"\xff")
    with bytes_disk(image + bitmap + data + footer(said)) as disk:
        assert disk.read_at(511 * 512, 1024) == sector(b"huge", 511) + bytes(512)
        assert [one.kind for one in disk.extents()] == ["data", "zero"]


def test_a_larger_disk_than_the_format_has() -> None:
    """More than 2040 GiB are refused before anything is looked up."""
    with pytest.raises(DiskError, match="at most"):
        bytes_disk(sparse(Said(3, 1 << 50, b"win ", (65535, 16, 255)), 1 << 31))


def test_a_fixed_disk_that_was_cut() -> None:
    """A fixed disk said to be larger than its file: what is there reads, the footer is no guest data."""
    said = Said(2, 1 << 20, b"win ", (30, 4, 17), 0xFFFFFFFFFFFFFFFF)
    with bytes_disk(b"guest!!!" * 512 + footer(said)) as disk:
        assert disk.size == 1 << 20
        assert disk.read_at(0, 4096) == b"guest!!!" * 512
        with pytest.raises(DiskError, match="past the end"):
            disk.read_at(4000, 512)
        assert sum(one.length for one in disk.extents()) == disk.size


def test_old_footers() -> None:
    """Footers of 511 bytes change nothing in the disk."""
    with bytes_disk(fixture("vhd/fixed-footer-511.vhd.gz")) as disk:
        assert (disk.size, disk.read_at(3, 5)) == (34816, b"guest")
    with bytes_disk(fixture("vhd/dynamic-footer-511.vhd")) as disk:
        assert [(one.length, one.kind) for one in disk.extents()] == [(1079296, "hole")]


def test_there_are_no_snapshots() -> None:
    """Asking for one is a usage error."""
    with pytest.raises(UsageError):
        disks.open_disk(io.BytesIO(fixture("vhd/windows.vhd")), snapshot="first")


def test_a_parent_of_another_format(tmp_path: Path) -> None:
    """What the child names is no VHD at all: an error of the input, not of the call."""
    with pytest.raises(DiskError, match="said to be 'vhd'"):
        disks.open_disk(chain(tmp_path, bytes(1 << 20)), follow=True)
