"""The deep check of VHDs that qemu-img makes: clean, with the totals that its map tells. (`qemu-img check` knows
nothing of this format.)"""

from __future__ import annotations

import io
import itertools
import json
import random
import struct
from pathlib import Path

import pytest

from imgtool.inspection.deep import check
from imgtool.limits import DEFAULT
from imgtool.model.tables import Check, Totals
from tests.kit import check_of, fixture, need, qemu_create, run
from tests.oracle import disks_kit as kit

pytestmark = pytest.mark.oracle

MIB = 1 << 20
BLOCK = 2 * MIB
SIZES = (512, 100_000, BLOCK, BLOCK + 512, 33 * MIB, 300 * MIB)
FILLS = ("empty", "writes", "converted", "backwards")
MATRIX = tuple(itertools.product(("dynamic", "fixed"), ("on", "off"), SIZES, FILLS))


def made(folder: Path, case: tuple[str, str, int, str]) -> Path:
    """An image with what its case says in it."""
    subformat, exact, size, fill = case
    options = (f"subformat={subformat}", f"force_size={exact}")
    path = folder / "image.vhd"
    if fill == "converted":
        raw = qemu_create(folder / "image.raw", "raw", size)
        kit.scribble(raw, "raw", case, unit=BLOCK, count=12)
        return kit.convert(raw, "raw", path, "vpc", *options)
    qemu_create(path, "vpc", size, *options)
    if fill == "writes":
        kit.scribble(path, "vpc", case, unit=BLOCK, zeros=False, discards=False)
    elif fill == "backwards":
        places = range(size // BLOCK * BLOCK, -1, -BLOCK)
        writes = [part for place in places for part in ("-c", f"write -q -P 7 {place} {min(512, size - place)}")]
        run(need("qemu-io"), "-f", "vpc", *(writes if size % BLOCK else writes[2:]), str(path))
    return path


def agree(folder: Path, case: tuple[str, str, int, str]) -> None:
    """Fail where a sound image is not clean or its totals are not what the map tells."""
    path = made(folder, case)
    result = check(path)
    assert result.clean, result.findings
    size = path.stat().st_size
    if case[0] == "fixed":
        assert result.totals == Totals(image_end_offset=size)
        return
    told = json.loads(run(need("qemu-img"), "map", "-f", "vpc", "--output=json", str(path)))
    places: dict[int, int] = {}
    for row in told:
        if row["data"]:
            first, last = row["start"] // BLOCK, (row["start"] + row["length"] - 1) // BLOCK
            for block in range(first, last + 1):
                places[block] = row["offset"] + (block * BLOCK - row["start"])
    guest = told[-1]["start"] + told[-1]["length"]
    order = [place for _, place in sorted(places.items())]
    assert result.totals == Totals(
        image_end_offset=size,
        total_clusters=-(-guest // BLOCK),
        allocated_clusters=len(order),
        fragmented_clusters=sum(after != before + BLOCK + 512 for before, after in itertools.pairwise(order)),
    )


@pytest.mark.parametrize("case", random.Random(5).sample(MATRIX, 20), ids=str)
def test_sample(tmp_path: Path, case: tuple[str, str, int, str]) -> None:
    """A seeded sample of all options together."""
    agree(tmp_path, case)


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_matrix(tmp_path: Path, case: tuple[str, str, int, str]) -> None:
    """All options together."""
    agree(tmp_path, case)


def test_the_largest(tmp_path: Path) -> None:
    """2040 GiB with blocks at both ends."""
    path = qemu_create(tmp_path / "image.vhd", "vpc", 2040 << 30, "force_size=on")
    run(need("qemu-io"), "-f", "vpc", "-c", "write -q -P 1 2039G 3M", "-c", "write -q -P 2 0 512", str(path))
    result = check(path)
    assert result.clean
    assert result.totals is not None
    assert (result.totals.total_clusters, result.totals.allocated_clusters) == (2040 << 9, 3)
    assert result.totals.fragmented_clusters == 1


def with_entries(entries: dict[int, int]) -> bytes:
    """fixtures/vhd/dynamic-data.vhd.gz (blocks 0 and 2 of 4 allocated) with entries of its table set."""
    data = bytearray(fixture("vhd/dynamic-data.vhd.gz"))
    for index, sector in entries.items():
        struct.pack_into(">I", data, 1536 + 4 * index, sector)
    return bytes(data)


def told_by(result: Check, code: str) -> list[tuple[str, int | None]]:
    """Messages and places of a rule's findings."""
    return [(finding.message, finding.offset) for finding in result.findings if finding.code == code]


def test_what_shares_bytes_is_named() -> None:
    """Each of the two is named, with the entry that places the later one."""
    result = check_of(with_entries({1: 0x804}))
    told = told_by(result, "VHD017")
    assert told == [
        ("1049088 bytes at 1050624 belong to block 0 and to block 1 (2 such overlaps)", 1540),
        ("1048576 bytes at 2099712 belong to block 1 and to block 2 (2 such overlaps)", 1544),
    ]
    assert result.totals is not None
    assert result.totals.corruptions == 2


def test_every_entry_at_one_place_is_counted() -> None:
    """All are counted, the first ones told."""
    result = check_of(with_entries({0: 4, 1: 4, 2: 4, 3: 4}))
    assert result.totals is not None
    assert result.totals.corruptions == 3
    assert len(told_by(result, "VHD017")) == 3


def test_the_cap_of_entries_is_told() -> None:
    """A table over its cap is looked at in part, and that is an error."""
    limits = DEFAULT._replace(vhd_table_entries=2)
    result = check(io.BytesIO(fixture("vhd/dynamic-data.vhd.gz")), limits=limits)
    assert told_by(result, "VHD202") == [("a block allocation table of 4 entries, 2 are looked at", 1536)]
    assert result.totals is not None
    assert result.totals.allocated_clusters == 1


def test_the_cap_of_unwritten_sectors_is_told() -> None:
    """Where more sectors are said to be unwritten than are looked at, that is a note: a large disk may have them."""
    data = bytearray(fixture("vhd/dynamic-data.vhd.gz"))
    data[2048 + 100 : 2048 + 200] = bytes(100)
    limits = DEFAULT._replace(vhd_unwritten=1024)
    result = check(io.BytesIO(data), limits=limits)
    assert [(finding.code, finding.severity) for finding in result.findings] == [("VHD202", "note")]
    assert result.clean
    assert not check_of(bytes(data)).findings


def test_only_the_first_faults_are_told() -> None:
    """A disk whose thousand blocks lie outside: all are counted, sixteen told."""
    entries = 1024
    image = bytearray(fixture("vhd/dynamic-exact.vhd"))
    header = bytearray(image[512:1536])
    struct.pack_into(">I", header, 28, entries)
    struct.pack_into(">I", header, 36, 0)
    struct.pack_into(">I", header, 36, ~sum(header) & 0xFFFFFFFF)
    copy = bytearray(image[:512])
    struct.pack_into(">QQ", copy, 40, entries * BLOCK, entries * BLOCK)
    struct.pack_into(">I", copy, 64, 0)
    struct.pack_into(">I", copy, 64, ~sum(copy) & 0xFFFFFFFF)
    table = struct.pack(f">{entries}I", *range(0x10000, 0x10000 + entries))
    result = check_of(bytes(copy) + bytes(header) + table + bytes(copy))
    told = told_by(result, "VHD016")
    assert len(told) == DEFAULT.table_faults
    assert told[-1][0].endswith("(1024 such blocks)")
    assert result.totals is not None
    assert result.totals.corruptions == entries
