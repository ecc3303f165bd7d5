"""The guest's disk of a QED: tables of one cluster, backing files, features, tables that do not hold."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

import imgtool.disks.open as disks
from imgtool.errors import UnsupportedError, UsageError
from imgtool.sources.disk import Disk, DiskError, NotFollowedError
from tests.formats.both_ways import kinds, readable, same_both_ways
from tests.kit import fixture

CLUSTER = 4096
ENTRIES = CLUSTER // 8  #: of a table of one cluster
BACKING, CHECK, RAW = 1, 2, 4


def image(
    l2: dict[int, int],
    body: bytes = b"",
    *,
    size: int = 8 * CLUSTER,
    l1: dict[int, int] | None = None,
    features: int = 0,
    name: bytes = b"",
    l1_at: int = CLUSTER,
) -> bytes:
    """A QED: header, an L1 table and an L2 table of one cluster each, then `body`."""
    head = struct.pack("<4sIII", b"QED\0", CLUSTER, 1, 1) + struct.pack("<QQQQQ", features, 0, 0, l1_at, size)
    head += struct.pack("<II", 64 if name else 0, len(name)) + name
    tables = [{0: 2 * CLUSTER} if l1 is None else l1, l2]
    words = b"".join(struct.pack("<Q", table.get(at, 0)) for table in tables for at in range(ENTRIES))
    return head.ljust(CLUSTER, b"\0") + words + body


def opened(data: bytes) -> Disk:
    """The disk of an image in memory."""
    return disks.open_disk(io.BytesIO(data), format="qed")


def test_kinds_of_clusters() -> None:
    """Data, zeros and nothing; neighbours are one run."""
    table = {0: 3 * CLUSTER, 1: 4 * CLUSTER, 3: 1, 4: 1, 6: 3 * CLUSTER}
    disk = opened(image(table, b"a" * CLUSTER + b"b" * CLUSTER))
    assert kinds(disk) == [
        (2 * CLUSTER, "data", 3 * CLUSTER),
        (CLUSTER, "hole", None),
        (2 * CLUSTER, "zero", None),
        (CLUSTER, "hole", None),
        (CLUSTER, "data", 3 * CLUSTER),
        (CLUSTER, "hole", None),
    ]
    assert disk.read_at(CLUSTER - 1, CLUSTER + 2) == b"a" + b"b" * CLUSTER + b"\0"
    same_both_ways(disk)


def test_a_backing_file_that_must_not_be_probed(tmp_path: Path) -> None:
    """It is raw, whatever it looks like; zeroed clusters hide it; past its end there are zeros."""
    base = fixture("qcow2/plain.qcow2")[: CLUSTER + 10].ljust(CLUSTER + 10, b"q")
    (tmp_path / "base").write_bytes(base)
    path = tmp_path / "image.qed"
    path.write_bytes(image({3: 1}, features=BACKING | RAW, name=b"base"))
    with disks.open_disk(path, follow=True) as disk:
        assert disk.read_at(0, 4 * CLUSTER) == base.ljust(4 * CLUSTER, b"\0")
        assert [(extent.kind, extent.depth) for extent in disk.extents()] == [
            ("data", 1),
            ("hole", 0),
            ("zero", 0),
            ("hole", 0),
        ]
    path.write_bytes(image({0: 1}, features=BACKING, name=b"base"))
    with disks.open_disk(path) as disk:
        assert kinds(disk) == [(CLUSTER, "zero", None), (7 * CLUSTER, "reference", None)]
        assert disk.read_at(0, CLUSTER) == bytes(CLUSTER)
        with pytest.raises(NotFollowedError):
            disk.read_at(0, CLUSTER + 1)


def test_a_backing_file_that_is_probed(tmp_path: Path) -> None:
    """Without that bit it is what it looks like."""
    (tmp_path / "base").write_bytes(image({0: 3 * CLUSTER}, b"b" * CLUSTER))
    path = tmp_path / "image.qed"
    path.write_bytes(image({1: 3 * CLUSTER}, b"t" * CLUSTER, features=BACKING, name=b"base"))
    with disks.open_disk(path, follow=True) as disk:
        assert disk.read_at(0, 2 * CLUSTER) == b"b" * CLUSTER + b"t" * CLUSTER


def test_a_dirty_image() -> None:
    """It reads as it is: a check concerns what is not referenced."""
    assert opened(image({0: 3 * CLUSTER}, b"a" * CLUSTER, features=CHECK)).read_at(0, 2) == b"aa"


def test_features_that_nobody_knows() -> None:
    """Such an image must not be opened."""
    with pytest.raises(UnsupportedError, match="unknown-7"):
        opened(image({}, features=1 << 7))


def test_entries_that_do_not_hold() -> None:
    """In the header, not on a cluster, outside the file, of 64 bits: data that cannot be read."""
    table = {0: 3 * CLUSTER, 1: 2, 2: 512, 3: 3 * CLUSTER + 512, 4: 4 * CLUSTER, 5: (1 << 64) - CLUSTER, 6: 1 << 62}
    disk = opened(image(table, b"a" * CLUSTER))
    same_both_ways(disk)
    assert [readable(disk, n * CLUSTER, CLUSTER) for n in range(8)] == [True, *[False] * 6, True]
    assert [extent.kind for extent in disk.extents()][-1] == "hole"


def test_tables_that_do_not_hold() -> None:
    """What lies below an L2 table that is no place for one does not hold; without a table it is a hole."""
    reach = ENTRIES * CLUSTER
    level = {1: 2 * CLUSTER, 2: 1, 3: 100 * CLUSTER, 4: 3 * CLUSTER + 8, 5: 1 << 63}
    disk = opened(image({0: 3 * CLUSTER}, b"a" * CLUSTER, size=7 * reach, l1=level))
    same_both_ways(disk)
    assert [readable(disk, n * reach, 1) for n in range(7)] == [True, True, False, False, False, False, True]
    assert kinds(disk) == [
        (reach, "hole", None),
        (CLUSTER, "data", 3 * CLUSTER),
        (reach - CLUSTER, "hole", None),
        (4 * reach, "data", None),
        (reach, "hole", None),
    ]


def test_a_table_that_the_file_cuts() -> None:
    """What it still has holds."""
    disk = opened(image({0: 1, 1: 1}, size=ENTRIES * CLUSTER)[: 2 * CLUSTER + 20])
    assert kinds(disk) == [(2 * CLUSTER, "zero", None), ((ENTRIES - 2) * CLUSTER, "data", None)]
    same_both_ways(disk)


@pytest.mark.parametrize("at", [0, 64, 8192 + 8, 1 << 40, 1 << 63])
def test_an_l1_table_that_does_not_hold(at: int) -> None:
    """Nothing can be read, and that is told."""
    disk = opened(image({}, l1_at=at))
    assert kinds(disk) == [(8 * CLUSTER, "data", None)]
    assert not readable(disk, 0, 1)


def test_more_than_the_tables_reach() -> None:
    """A disk larger than its tables can map: the rest does not hold."""
    reach = ENTRIES * ENTRIES * CLUSTER
    disk = opened(image({}, size=1 << 62))
    assert kinds(disk) == [(reach, "hole", None), ((1 << 62) - reach, "data", None)]
    with pytest.raises(DiskError, match="over the cap"):
        opened(image({}, size=1 << 63))


def test_no_snapshots() -> None:
    """There are none inside."""
    with pytest.raises(UsageError):
        disks.open_disk(io.BytesIO(image({})), snapshot="1")
