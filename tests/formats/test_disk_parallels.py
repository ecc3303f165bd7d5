"""The guest's disk of a Parallels image: both magics, clusters of odd sizes, tables that do not hold."""

from __future__ import annotations

import io
import struct

import pytest

import imgtool.disks.open as disks
from imgtool.errors import UsageError
from imgtool.sources.disk import Disk, DiskError
from tests.formats.both_ways import kinds, readable, same_both_ways
from tests.kit import fixture

OLD, NEW = b"WithoutFreeSpace", b"WithouFreSpacExt"


def image(
    words: list[int],
    body: bytes,
    *,
    magic: bytes = NEW,
    tracks: int = 8,
    data: int = 8,
    sectors: int | None = None,
    entries: int | None = None,
    flags: int = 0,
) -> bytes:
    """A Parallels image; `data` is where its data area is said to begin, `body` lies from sector `tracks` on."""
    count = len(words) if entries is None else entries
    size = len(words) * tracks if sectors is None else sectors
    head = struct.pack("<16sIIIIIQIIIQ", magic, 2, 16, 4, tracks, count, size, 0, data, flags, 0)
    return (head + struct.pack(f"<{len(words)}I", *words)).ljust(tracks * 512, b"\0") + body


def opened(data: bytes) -> Disk:
    """The disk of an image in memory."""
    return disks.open_disk(io.BytesIO(data), format="parallels")


def test_in_clusters() -> None:
    """With the second magic an entry counts clusters."""
    disk = opened(image([2, 0, 1], b"a" * 4096 + b"b" * 4096))
    assert kinds(disk) == [(4096, "data", 8192), (4096, "hole", None), (4096, "data", 4096)]
    assert disk.read_at(4095, 4099) == b"b" + bytes(4096) + b"aa"
    same_both_ways(disk)


def test_in_sectors() -> None:
    """With the first magic it counts sectors; the clusters need not be a power of two."""
    disk = opened(image([126, 0, 63], b"a" * 32256 + b"b" * 32256, magic=OLD, tracks=63, data=63))
    assert kinds(disk) == [(32256, "data", 64512), (32256, "hole", None), (32256, "data", 32256)]
    assert disk.read_at(32255, 32258) == b"b" + bytes(32256) + b"a"
    same_both_ways(disk)


def test_without_a_data_offset() -> None:
    """The first magic's data may begin on any sector after the table."""
    disk = opened(fixture("parallels/old-magic.hds"))
    assert kinds(disk) == [(4096, "data", 512), (3 * 4096, "hole", None)]
    assert disk.read_at(0, 4097) == b"\x5a" * 4096 + b"\0"
    same_both_ways(disk)


def test_the_empty_flag() -> None:
    """The table decides, not the flag."""
    assert opened(image([1], b"a" * 4096, flags=1)).read_at(0, 3) == b"aaa"


def test_entries_that_do_not_hold() -> None:
    """Before the data area, not on a cluster, outside the file: data that cannot be read."""
    body = b"a" * 4096 * 4
    disk = opened(image([8, 1, 9, 7, 24, 0xFFFFFFFF, 0], body, magic=OLD))
    same_both_ways(disk)
    assert [readable(disk, n * 4096, 4096) for n in range(7)] == [True, False, False, False, True, False, True]
    assert {extent.kind for extent in disk.extents()} == {"data", "hole"}


def test_a_cut_cluster() -> None:
    """What the file still has of it reads, the rest does not."""
    disk = opened(image([1, 2], b"a" * 4096 + b"b" * 1000))
    assert disk.read_at(4096, 1000) == b"b" * 1000
    with pytest.raises(DiskError, match="past the end of the file"):
        disk.read_at(4096, 1001)


def test_a_table_too_short() -> None:
    """Clusters that the table does not reach do not hold, however large the disk is said to be."""
    disk = opened(image([1], b"a" * 4096, sectors=1 << 50))
    assert kinds(disk) == [(4096, "data", 4096), ((1 << 59) - 4096, "data", None)]
    disk = opened(image([0] * 4, b"", sectors=0xFFFFFFFF * 8, entries=0xFFFFFFFF)[:70])
    assert kinds(disk) == [(4096, "hole", None), (0xFFFFFFFE * 4096, "data", None)]


def test_sizes_over_their_caps() -> None:
    """Clusters of 2 TiB, a disk of more than 63 bits."""
    with pytest.raises(DiskError):
        opened(image([], b"", tracks=8)[:28] + b"\xff" * 4 + image([], b"")[32:])
    with pytest.raises(DiskError, match="over the cap"):
        opened(image([0], b"", sectors=1 << 62))


def test_no_snapshots() -> None:
    """There are none inside."""
    with pytest.raises(UsageError):
        disks.open_disk(io.BytesIO(image([0], b"")), snapshot="1")
