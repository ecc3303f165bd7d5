"""qcow2, the deep check: entries that lie, counts that do not add up, claims that must cost nothing."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from imgtool.formats.qcow2.reader import read
from imgtool.formats.qcow2.walk.facts import Qcow2TableFacts
from imgtool.formats.qcow2.walk.refcounts import LARGE, unpack
from imgtool.formats.qcow2.walk.walk import walk
from imgtool.inspection.deep import check
from imgtool.limits import DEFAULT, Limits
from imgtool.sources.memory import BytesSource
from imgtool.structs.view import View
from tests.kit import check_of, fixture, images, patched, patches

CLUSTERS = "qcow2/clusters.qcow2.gz"
SUBCLUSTERS = "qcow2/subclusters.qcow2.gz"


def edited(name: str, *edits: tuple[int, str]) -> bytes:
    """A fixture with bytes changed."""
    data = bytearray(fixture(name))
    for at, text in edits:
        data[at : at + len(text) // 2] = bytes.fromhex(text)
    return bytes(data)


def walked(data: bytes, limits: Limits = DEFAULT) -> Qcow2TableFacts:
    """The facts of all tables."""
    source = BytesSource(data)
    return walk(source, read(View(source, limits), limits), limits)


def kinds(data: bytes) -> dict[str, int]:
    """How many faults of each kind there are."""
    return {fault.kind: fault.total for fault in walked(data).faults}


def test_totals() -> None:
    """Nine clusters of 128 are allocated, two of them compressed; 20 of 512 bytes make up the file."""
    totals = walked(fixture(CLUSTERS)).totals
    assert (totals.total_clusters, totals.allocated_clusters, totals.compressed_clusters) == (128, 9, 2)
    assert (totals.image_end_offset, totals.leaks, totals.corruptions, totals.check_errors) == (10240, 0, 0, 0)
    assert not kinds(fixture(CLUSTERS))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16, 32, 64])
def test_refcounts_of_any_width(bits: int) -> None:
    """Counts under a byte begin at its lowest bits; wider ones are big-endian."""
    values = [number % (1 << min(bits, 20)) for number in range(0, 512, 3)][: max(1, 128 // bits)]
    whole = 0
    if bits < 8:
        for place, value in enumerate(values):
            whole |= value << place * bits
        raw = whole.to_bytes(512, "little")
    else:
        raw = b"".join(value.to_bytes(bits // 8, "big") for value in values).ljust(512, b"\0")
    counts = unpack(raw, bits)
    assert len(counts) == 4096 // bits
    assert counts[: len(values)].tolist() == values
    assert not counts[len(values) :].any()


def test_refcounts_past_32_bits() -> None:
    """A count that no number of references reaches is cut, not wrapped."""
    assert unpack(b"\xff" * 8 + b"\0\0\0\1\0\0\0\1", 64).tolist() == [LARGE, LARGE]


@pytest.mark.parametrize(
    ("name", "edits", "expected"),
    [
        (CLUSTERS, [(7176, "8000000000000000")], {"leak": 1, "l2-no-offset": 1}),
        (CLUSTERS, [(7176, "0000000000000000")], {"leak": 1}),
        (CLUSTERS, [(7176, "8000000000001e02")], {"l2-reserved": 1}),
        (CLUSTERS, [(7176, "0000000000001e00")], {"l2-copied": 1}),
        (CLUSTERS, [(1536, "0000000000001c00")], {"l1-copied": 1}),
        (CLUSTERS, [(1536, "8000000000001c01")], {"l1-reserved": 1}),
        (CLUSTERS, [(7176, "8000000000002000")], {"refcount-low": 1, "leak": 1}),
        (CLUSTERS, [(512, "0000000000000401")], {"refcount-reserved": 1, "leak": 1}),
        (CLUSTERS, [(7296, "4000000000010000")], {"packed-outside": 1, "leak": 1}),
        (CLUSTERS, [(6656 + 8, "00000000")], {}),
        (SUBCLUSTERS, [(65544, "0000000f00000008")], {"subclusters-contradict": 1}),
        (SUBCLUSTERS, [(65536 + 3 * 16 + 8, "0000000000000001")], {"subclusters-unplaced": 1}),
        (SUBCLUSTERS, [(65600 + 8, "0000000000000001")], {"packed-bitmap": 1, "leak": 1}),
        (SUBCLUSTERS, [(65536, "8000000000018000")], {"refcount-low": 1, "leak": 1}),
    ],
)
def test_one_fault(name: str, edits: list[tuple[int, str]], expected: dict[str, int]) -> None:
    """One entry changed: just what follows from it."""
    found = kinds(edited(name, *edits))
    if not expected:
        assert found
        assert set(found) <= {"leak", "refcount-low"}  # a snapshot lost its L1 table
        return
    assert found == expected


def test_a_file_that_ends_in_its_last_cluster() -> None:
    """By subclusters: what is not allocated may be missing, what is may not."""
    data = edited(SUBCLUSTERS, (65536, "8000000000020000"), (65544, "0000000000000003"), (65600, "0" * 16))
    assert "subclusters-outside" not in kinds(data[:0x20000] + bytes(1024))
    found = walked(data[:0x20000] + bytes(512)).fault("subclusters-outside")
    assert found is not None
    assert [place.offset for place in found.first] == [65536]


def test_data_on_tables() -> None:
    """Data on the table of counts, on a block of them, on an L1 table, on an L2 table: overlaps."""
    for cluster in (1, 2, 3, 14):
        found = kinds(edited(CLUSTERS, (7176, f"80000000{cluster * 512:08x}")))
        assert found["overlap"] == 1


def test_shared_block_of_counts() -> None:
    """A block that two entries of the table name."""
    assert kinds(edited(CLUSTERS, (520, "0000000000000400")))["refcount-shared"] == 1


def test_zero_flag_in_version_2() -> None:
    """Version 2 has no clusters of zeros: bit 0 is reserved."""
    data = bytearray(edited(CLUSTERS, (4, "00000002")))
    found = walked(bytes(data)).fault("l2-zero-flag")
    assert found is not None
    assert (found.total, [place.offset for place in found.first]) == (4, [2112, 2120, 7232, 7240])


def test_compressed_with_a_data_file() -> None:
    """What is compressed cannot lie in a data file, and other offsets lead into it: none of them counts here."""
    found = kinds(edited(CLUSTERS, (79, "04")))
    assert found["packed-elsewhere"] == 4
    assert found["snapshot-elsewhere"] == 1
    assert "l2-outside" not in found


def test_compressed_data() -> None:
    """Too little, too much, nothing that inflates."""
    plain = zlib.compressobj(9, zlib.DEFLATED, -12)
    short = plain.compress(bytes(511)) + plain.flush()
    plain = zlib.compressobj(9, zlib.DEFLATED, -12)
    long = plain.compress(bytes(513)) + plain.flush()
    assert len(short) <= 8
    assert len(long) <= 8
    for raw in (short, long, b"\xff" * 8):
        result = walked(edited(CLUSTERS, (5632, raw.hex())))
        fault = result.fault("packed-data")
        assert fault is not None
        assert fault.first[0].value == 5632
        assert result.totals.corruptions == 0


def test_inflating_stops_at_its_cap() -> None:
    """What was not inflated is told."""
    result = walked(fixture(CLUSTERS), DEFAULT._replace(table_inflated=64 * 1024))
    assert (result.inflated, result.compressed) == (1, result.compressed)
    assert result.compressed > 1


def every_sample() -> list[bytes]:
    """All qcow2 fixtures and deep samples."""
    found = [fixture(name) for name in images() if name.startswith("qcow2/")]
    return found + [patched(patch) for patch in patches() if patch.deep and patch.base.startswith("qcow2/")]


@pytest.mark.parametrize(
    "limits",
    [
        DEFAULT._replace(qcow2_check_window=4),
        DEFAULT._replace(qcow2_check_window=4, qcow2_check_scattered=2, qcow2_check_windows=1 << 20),
        DEFAULT._replace(qcow2_check_window=8, table_dense=0),
    ],
)
def test_windows(limits: Limits) -> None:
    """In one array, scattered, or window by window: the same totals and faults."""
    for data in every_sample():
        whole, parts = walked(data), walked(data, limits)
        assert parts.totals == whole.totals
        assert {(fault.kind, fault.total) for fault in parts.faults} == {
            (fault.kind, fault.total) for fault in whole.faults
        }


def test_faults_are_told_with_their_place() -> None:
    """The finding names the entry's offset; of many, the first ones and how many more there are."""
    (finding,) = [one for one in check_of(edited(CLUSTERS, (7176, "8100000000001e00"))).findings if "018" in one.code]
    assert (finding.offset, finding.length, finding.severity) == (7176, 8, "error")
    assert "0x8100000000001e00" in finding.message
    many = edited(CLUSTERS, *((7168 + 8 * number, "0100000000000000") for number in range(20, 60)))
    told = [one for one in check_of(many).findings if one.code == "QCW018"]
    assert len(told) == DEFAULT.table_faults
    assert told[-1].message.endswith("24 more of them")


def header(cluster_bits: int, l1: tuple[int, int], counts: tuple[int, int], order: int = 4) -> bytes:
    """A version 3 header: the L1 table's entries and offset, the count table's offset and clusters."""
    fields = (3, 0, 0, cluster_bits, 1 << 30, 0, *l1, *counts, 0, 0, 0, 0, 0, order, 104)
    return b"QFI\xfb" + struct.pack(">IQIIQIIQQIIQQQQII", *fields)


def checked(path: Path, size: int, *parts: tuple[int, bytes]) -> Qcow2TableFacts:
    """The facts of a sparse file of `size` bytes with `parts` in it."""
    from imgtool.sources.file import open_file

    with open(path, "wb") as file:
        file.truncate(size)
        for at, data in parts:
            file.seek(at)
            file.write(data)
    with open_file(str(path)) as source:
        return walk(source, read(View(source, DEFAULT), DEFAULT), DEFAULT)


def test_one_table_named_a_million_times(tmp_path: Path) -> None:
    """It is walked once: 2^20 × 2^15 references are counted in no time."""
    entries = np.full(1 << 20, 1 << 63 | 16 << 20, ">u8").tobytes()
    table = np.full(1 << 15, 1 << 63 | 24 << 20, ">u8").tobytes()
    head = header(18, (1 << 20, 4 << 20), (1 << 18, 1))
    result = checked(tmp_path / "a", 64 << 30, (0, head), (4 << 20, entries), (16 << 20, table))
    assert result.totals.allocated_clusters == 1 << 35
    fault = result.fault("l2-copied")
    assert fault is not None
    assert fault.total == 1 << 35


def test_tables_in_holes(tmp_path: Path) -> None:
    """2^19 tables of 2 MiB that a file of 2 TiB has only holes for are not read."""
    entries = (np.arange(1 << 19, dtype=np.uint64) + 8 << 21 | 1 << 63).astype(">u8").tobytes()
    head = header(21, (1 << 19, 2 << 21), (1 << 21, 1))
    result = checked(tmp_path / "a", 2 << 40, (0, head), (2 << 21, entries))
    assert result.totals.allocated_clusters == 0
    assert result.totals.corruptions > 1 << 19


def test_scattered_over_a_huge_file(tmp_path: Path) -> None:
    """References all over a file of 2^33 clusters are looked at one by one, and leaks between them counted."""
    table = (np.arange(1, 65, dtype=np.uint64) << 35 | 1 << 63).astype(">u8").tobytes()
    block = b"\0\1" * 256
    head = header(9, (1, 4096), (512, 1))
    parts = ((0, head), (4096, struct.pack(">Q", 1 << 63 | 8192)), (8192, table), (512, struct.pack(">Q", 1024)))
    result = checked(tmp_path / "a", 4 << 40, *parts, (1024, block))
    assert {fault.kind: fault.total for fault in result.faults} == {"refcount-low": 64, "l2-copied": 64, "leak": 251}
    assert (result.totals.leaks, result.totals.image_end_offset) == (251, (64 << 35) + 512)


def test_a_table_of_counts_that_does_not_fit() -> None:
    """Over its cap it is not read, and no count is called wrong for that."""
    result = check(io.BytesIO(fixture("qcow2/hostile-counts-huge.qcow2")))
    found = {finding.code for finding in result.findings}
    assert "QCW027" in found
    assert not found & {"QCW301", "QCW302", "QCW303"}


def test_a_full_disk(tmp_path: Path) -> None:
    """100 GiB, fully allocated in a sparse file: 1,638,400 clusters, all of them counted, ten of them leaked."""
    path = tmp_path / "a.qcow2"
    clusters, per_table = 1_638_400, 8192
    tables = clusters // per_table
    first = 64
    numbers = np.arange(clusters, dtype=np.uint64) + first + tables
    counts = np.zeros(64 * 32_768, ">u2")
    counts[: first + tables + clusters] = 1
    parts = [
        (0, header(16, (tables, 3 << 16), (1 << 16, 1))),
        (3 << 16, ((np.arange(tables, dtype=np.uint64) + first << 16) | 1 << 63).astype(">u8").tobytes()),
        (first << 16, (numbers << 16 | 1 << 63).astype(">u8").tobytes()),
        (1 << 16, ((np.arange(51, dtype=np.uint64) + 4) << 16).astype(">u8").tobytes()),
        (4 << 16, counts[: 51 * 32_768].tobytes()),
    ]
    result = checked(path, (first + tables + clusters) << 16, *parts)
    assert result.totals.allocated_clusters == clusters
    assert (result.totals.fragmented_clusters, result.totals.corruptions) == (0, 0)
    assert {fault.kind for fault in result.faults} == {"leak"}  # clusters 2 and 55 to 63 are nobody's
    assert result.totals.leaks == 10
    assert os.stat(path).st_blocks * 512 < 64 << 20
