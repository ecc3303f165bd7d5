"""The guest's disk of a qcow, version 1: compressed clusters, backing files, tables that do not hold."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import pytest

import imgtool.disks.open as disks
from imgtool.errors import UsageError
from imgtool.sources.disk import Disk, DiskError, EncryptedError, NotFollowedError
from tests.formats.both_ways import kinds, readable, same_both_ways
from tests.kit import fixture

BITS, L2_BITS = 12, 6
CLUSTER, ENTRIES = 1 << BITS, 1 << L2_BITS
L1_AT, L2_AT, DATA_AT = 512, 1024, 4096


def image(
    l2: dict[int, int],
    body: bytes = b"",
    *,
    size: int = 8 * CLUSTER,
    l1: dict[int, int] | None = None,
    name: bytes = b"",
) -> bytes:
    """A qcow: header, an L1 table, an L2 table of 64 entries, then `body` at 4096."""
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", 1, 48 if name else 0, len(name), 0, size)
    head += struct.pack(">BBHIQ", BITS, L2_BITS, 0, 0, L1_AT) + name
    level = {0: L2_AT} if l1 is None else l1
    data = head.ljust(L1_AT, b"\0") + b"".join(struct.pack(">Q", level.get(at, 0)) for at in range(64))
    data += b"".join(struct.pack(">Q", l2.get(at, 0)) for at in range(ENTRIES))
    return data.ljust(DATA_AT, b"\0") + body


def packed(data: bytes) -> bytes:
    """A raw deflate stream with a window of 4 KiB, as QEMU writes it."""
    maker = zlib.compressobj(9, zlib.DEFLATED, -12)
    return maker.compress(data) + maker.flush()


def word(offset: int, length: int) -> int:
    """The entry of a compressed cluster."""
    return 1 << 63 | length << (63 - BITS) | offset


def opened(data: bytes) -> Disk:
    """The disk of an image in memory."""
    return disks.open_disk(io.BytesIO(data), format="qcow")


def test_kinds_of_clusters() -> None:
    """Data on any sector, compressed clusters on any byte, holes."""
    text = b"".join(b"line %d\n" % number for number in range(600))[:CLUSTER]
    stream = packed(text)
    body = b"a" * CLUSTER + b"b" * CLUSTER + b"?" * 7 + stream + packed(bytes(CLUSTER))
    at = DATA_AT + 2 * CLUSTER + 7
    disk = opened(
        image(
            {
                0: DATA_AT,
                1: DATA_AT + CLUSTER,
                3: word(at, len(stream)),
                4: word(at + len(stream), len(body) - 2 * CLUSTER - 7 - len(stream)),
                6: DATA_AT + 512,
            },
            body,
        )
    )
    assert kinds(disk) == [
        (2 * CLUSTER, "data", DATA_AT),
        (CLUSTER, "hole", None),
        (2 * CLUSTER, "compressed", None),
        (CLUSTER, "hole", None),
        (CLUSTER, "data", DATA_AT + 512),
        (CLUSTER, "hole", None),
    ]
    whole = b"a" * CLUSTER + b"b" * CLUSTER + bytes(CLUSTER) + text + bytes(2 * CLUSTER)
    whole += b"a" * 3584 + b"b" * 512 + bytes(CLUSTER)
    assert disk.read_at(0, 1 << 20) == whole
    chance = random.Random(1)
    for _ in range(200):
        start, length = chance.randrange(len(whole)), chance.randrange(3 * CLUSTER)
        assert disk.read_at(start, length) == whole[start : start + length]
    same_both_ways(disk)


@pytest.mark.parametrize(
    "stream",
    [
        packed(b"x" * 100),
        packed(b"x" * (CLUSTER + 1)),
        packed(b"x" * (1 << 20)),
        b"\xff" * 50,
        packed(b"x" * CLUSTER)[:-3],
    ],
    ids=["less", "more", "bomb", "noise", "cut"],
)
def test_compressed_clusters_that_do_not_hold(stream: bytes) -> None:
    """One that makes less or more than a cluster, or is no stream at all, cannot be read; its neighbour can."""
    body = stream.ljust(CLUSTER, b"\0") + b"b" * CLUSTER
    disk = opened(image({0: word(DATA_AT, len(stream)), 1: DATA_AT + CLUSTER}, body))
    assert [extent.kind for extent in disk.extents()] == ["compressed", "data", "hole"]
    with pytest.raises(DiskError, match=f"guest bytes at 0, compressed at {DATA_AT}"):
        disk.read_at(5, 1)
    assert disk.read_at(CLUSTER, 2) == b"bb"
    same_both_ways(disk)


def test_entries_that_do_not_hold() -> None:
    """Not on a sector, outside the file, compressed ones outside the file or of no bytes."""
    table = {
        0: DATA_AT,
        1: 1,
        2: DATA_AT + 100,
        3: 1 << 62,
        4: word((1 << 51) - 1, 9),
        5: word(DATA_AT, 0),
        6: 1 << 40,
    }
    disk = opened(image(table, b"a" * CLUSTER))
    same_both_ways(disk)
    assert [readable(disk, n * CLUSTER, CLUSTER) for n in range(8)] == [True, *[False] * 6, True]


def test_tables_that_do_not_hold() -> None:
    """What lies below an L2 table outside the file, or in the header, does not hold; without a table it is a hole."""
    reach = ENTRIES * CLUSTER
    disk = opened(image({0: DATA_AT}, b"a" * CLUSTER, size=5 * reach, l1={1: L2_AT, 2: 1 << 50, 3: 7}))
    same_both_ways(disk)
    assert [readable(disk, n * reach, 1) for n in range(5)] == [True, True, False, False, True]


def test_an_l1_table_that_the_file_cuts() -> None:
    """Clusters below entries that are not there do not hold."""
    reach = ENTRIES * CLUSTER
    disk = opened(image({}, size=64 * reach)[: L1_AT + 20])
    assert kinds(disk) == [(reach, "data", None), (reach, "hole", None), (62 * reach, "data", None)]
    same_both_ways(disk)


def test_a_disk_over_its_cap() -> None:
    """The L1 table that a size needs has a cap; sizes of 64 bits have none that fits."""
    with pytest.raises(DiskError, match="L1 table"):
        opened(image({}, size=1 << 62))
    with pytest.raises(DiskError, match="over the cap"):
        opened(image({}, size=(1 << 64) - 1))


def test_backing(tmp_path: Path) -> None:
    """What is not allocated shows the backing file, detected; without permission it is a reference."""
    (tmp_path / "base").write_bytes(image({0: DATA_AT}, b"b" * CLUSTER, size=CLUSTER))
    path = tmp_path / "image.qcow"
    path.write_bytes(image({1: DATA_AT}, b"t" * CLUSTER, name=b"base"))
    with disks.open_disk(path, follow=True) as disk:
        assert disk.read_at(0, 1 << 20) == b"b" * CLUSTER + b"t" * CLUSTER + bytes(6 * CLUSTER)
    with disks.open_disk(path) as disk:
        assert [extent.kind for extent in disk.extents()] == ["reference", "data", "reference"]
        with pytest.raises(NotFollowedError):
            disk.read_at(0, 1)


def test_encrypted() -> None:
    """The guest's bytes are not read."""
    with pytest.raises(EncryptedError):
        opened(fixture("qcow/aes.qcow"))


def test_no_snapshots() -> None:
    """There are none inside."""
    with pytest.raises(UsageError):
        disks.open_disk(io.BytesIO(image({})), snapshot="1")
