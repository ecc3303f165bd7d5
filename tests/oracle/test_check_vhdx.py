"""The deep check of VHDX files against `qemu-img check`, and against what qemu-img's map tells of their blocks.

QEMU 7.2 checks little: that blocks which are there lie inside the file. It wants the whole last block inside, where
the specification's readers need only what the disk has of it; it does not open a file whose log is to be replayed.
"""

from __future__ import annotations

import io
import itertools
import json
import random
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from fixtures.recipes.vhdx import LOG, MIB, Change, Region, disk, items, log_of, payload, with_blocks
from imgtool.inspection.deep import check
from imgtool.limits import DEFAULT
from imgtool.model.tables import Check, Totals
from tests.kit import check_of, fixture, need, qemu_create, qemu_info, run
from tests.oracle import disks_kit as kit

pytestmark = pytest.mark.oracle

TABLE = 3 * MIB  #: where the recipes have the BAT
TABLE_GUID = bytes.fromhex("6677c22d23f600429d64115e9bfd4a08")
METADATA_GUID = bytes.fromhex("06a27c8b90479a4bb8fe575f050f886e")
SUBFORMATS = ("dynamic", "fixed")
BLOCKS = (1 * MIB, 8 * MIB, 32 * MIB)
LOGS = (1 * MIB, 2 * MIB)
SIZES = (512, 3 * MIB, 8 * MIB + 512, 100 * MIB, 300 * MIB)
FILLS = ("empty", "writes", "converted", "backwards")
MATRIX = tuple(itertools.product(SUBFORMATS, BLOCKS, LOGS, ("on", "off"), SIZES, FILLS))

Case = tuple[str, int, int, str, int, str]


def made(folder: Path, case: Case) -> Path:
    """An image with what its case says in it."""
    subformat, block, log, zeros, size, fill = case
    options = (f"subformat={subformat}", f"block_size={block}", f"log_size={log}", f"block_state_zero={zeros}")
    path = folder / "image.vhdx"
    if fill == "converted":
        raw = qemu_create(folder / "image.raw", "raw", size)
        kit.scribble(raw, "raw", case, unit=block, count=8)
        return kit.convert(raw, "raw", path, "vhdx", *options)
    qemu_create(path, "vhdx", size, *options)
    if fill == "writes":
        kit.scribble(path, "vhdx", case, unit=block, count=8, zeros=False, discards=False)
    elif fill == "backwards":
        places = range((size - 1) // block * block, -1, -block)
        writes = [part for place in places for part in ("-c", f"write -q -P 7 {place} 512")]
        run(need("qemu-io"), "-f", "vhdx", *writes, str(path))
    return path


def qemu_check(path: Path) -> dict[str, Any]:
    """What `qemu-img check` says, clean or not."""
    command = (need("qemu-img"), "check", "-f", "vhdx", "--output=json", str(path))
    done = subprocess.run(command, capture_output=True, check=False)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def agree(folder: Path, case: Case) -> None:
    """Fail where a sound image is not clean or its totals are not those of qemu-img."""
    path = made(folder, case)
    result = check(path)
    assert result.clean, result.findings
    theirs = qemu_check(path)
    assert result.totals is not None
    assert (result.totals.corruptions, result.totals.check_errors) == (
        theirs.get("corruptions", 0),
        theirs["check-errors"],
    )
    expected = by_the_table(path)
    assert result.totals == expected
    assert case[5] != "backwards" or expected.allocated_clusters


def by_the_table(path: Path) -> Totals:
    """The totals as the words of the BAT tell them one by one. (The driver of QEMU 7.2 does not map.)"""
    data = path.read_bytes()
    at = [data.index(guid, 192 << 10) for guid in (TABLE_GUID, METADATA_GUID)]
    (table, table_length), region = (struct.unpack_from("<QI", data, place + 16) for place in at)
    size = int(qemu_info(path, "vhdx")["virtual-size"])
    block = int(qemu_info(path, "vhdx")["cluster-size"])
    ratio = (1 << 32) // block
    last, found = None, []
    fragmented = 0
    for number in range(-(-size // block)):
        (word,) = struct.unpack_from("<Q", data, table + 8 * (number + number // ratio))
        if word & 7 == 6:
            place = word >> 20 << 20
            fragmented += last is not None and place != last + block
            last = place
            found.append(place)
    end = max([table + table_length, sum(region), *(place + block for place in found)])
    return Totals(
        image_end_offset=min(end, len(data)),
        total_clusters=-(-size // block),
        allocated_clusters=len(found),
        fragmented_clusters=fragmented,
    )


@pytest.mark.parametrize("case", random.Random(11).sample(MATRIX, 24), ids=str)
def test_sample(tmp_path: Path, case: Case) -> None:
    """A seeded sample of all options together."""
    agree(tmp_path, case)


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_matrix(tmp_path: Path, case: Case) -> None:
    """All options together."""
    agree(tmp_path, case)


def entry_set(path: Path, words: dict[int, int]) -> None:
    """Set entries of the BAT of an image that qemu-img made, whose place its region table tells."""
    with open(path, "r+b") as file:
        file.seek(192 << 10)
        table = file.read(65536)
        at = table.index(TABLE_GUID)
        (offset,) = struct.unpack_from("<Q", table, at + 16)
        for index, word in words.items():
            file.seek(offset + 8 * index)
            file.write(struct.pack("<Q", word))


@pytest.mark.parametrize(
    ("words", "wrong"),
    [({}, 0), ({0: 900 * MIB | 6}, 1), ({1: 900 * MIB | 6, 2: 800 * MIB | 6}, 2), ({0: 10 * MIB | 6}, 1)],
)
def test_blocks_outside_are_counted_alike(tmp_path: Path, words: dict[int, int], wrong: int) -> None:
    """Entries past the end of the file: qemu-img counts as many, where it opens the file at all. (What the entries
    meant before is bytes behind the end, IMG021.)"""
    path = qemu_create(tmp_path / "image.vhdx", "vhdx", 64 * MIB, "block_size=8M")
    run(need("qemu-io"), "-f", "vhdx", "-c", "write -q -P 1 16M 8M", str(path))
    entry_set(path, words)
    result = check(path)
    assert result.totals is not None
    assert {finding.code for finding in result.findings} - {"IMG003", "IMG021"} == ({"VHX034"} if wrong else set())
    assert result.totals.corruptions == wrong
    done = subprocess.run(
        (need("qemu-img"), "check", "-f", "vhdx", "--output=json", str(path)), capture_output=True, check=False
    )
    if done.stdout:
        assert (json.loads(done.stdout).get("corruptions", 0) > 0) == (wrong > 0)
    else:
        assert wrong
        assert done.returncode != 0


def test_the_last_block_ends_where_the_disk_does() -> None:
    """A file that ends within its last block, past the disk's last byte, is sound; one byte less is not."""
    data = with_blocks(disk(items(2 * MIB + 4096)), {2: 4 * MIB | 6}, [payload(b"last", 2)[:4096]])
    assert check_of(data).clean
    (told,) = [finding for finding in check_of(data[:-1]).findings if finding.code == "VHX034"]
    assert told.message == (
        f"entry 2 (state 6, at {4 * MIB}) does not end inside the file of {4 * MIB + 4095} bytes (1 such entries)"
    )


def test_the_log_counts() -> None:
    """What the log adds is checked, what it takes away is not."""
    clean = check_of(fixture("vhdx/log-adds-blocks.vhdx.gz"))
    assert {finding.code for finding in clean.findings} == {"VHX007"}
    assert clean.totals == Totals(
        image_end_offset=6 * MIB, total_clusters=2048, allocated_clusters=2, fragmented_clusters=0
    )
    word = 40 * MIB | 6
    part = struct.pack("<512Q", word, *(0 for _ in range(511)))
    image = disk(items(64 * MIB), log=LOG, entry=log_of(5, 0, [Change(TABLE, part)]))
    assert told_by(check_of(image), "VHX034") == [TABLE]


def told_by(result: Check, code: str) -> list[int | None]:
    """Places of a rule's findings."""
    return [finding.offset for finding in result.findings if finding.code == code]


def test_what_shares_bytes_is_named() -> None:
    """Blocks, regions and the log by their names, with the entry that places the block."""
    base = disk(items(64 * MIB))
    for word, other in (
        (MIB, "the log"),
        (2 * MIB, "the metadata region"),
        (3 * MIB, "the BAT region"),
        (4 * MIB, "entry 0"),
    ):
        image = with_blocks(base, {0: 4 * MIB | 6, 5: word | 6}, [payload(b"data", 0)])
        (told,) = [finding for finding in check_of(image).findings if finding.code == "VHX037"]
        assert told.message == f"{MIB} bytes at {word} belong to {other} and to entry 5 (1 such overlaps)"
        assert told.offset == TABLE + 40


def test_a_large_block_over_everything_is_seen_once_for_each() -> None:
    """A block of 256 MiB at 1 MiB over log, metadata and BAT."""
    image = bytearray(disk(items(256 * MIB, 256 * MIB)))
    struct.pack_into("<Q", image, TABLE, MIB | 6)
    image += bytes(253 * MIB)
    result = check_of(bytes(image))
    assert len(told_by(result, "VHX037")) == 3


def test_unknown_regions_take_their_place() -> None:
    """A region that no specification names, and that is not required, is nobody else's."""
    lines = [
        Region("2dc27766-f623-4200-9d64-115e9bfd4a08", 3 * MIB),
        Region("8b7ca206-4790-4b9a-b8fe-575f050f886e", 2 * MIB),
        Region("deadbeef-0000-4000-8000-000000000001", 4 * MIB, required=0),
    ]
    image = with_blocks(disk(items(64 * MIB), lines), {3: 4 * MIB | 6}, [payload(b"data", 3)])
    (told,) = [finding for finding in check_of(image).findings if finding.code == "VHX037"]
    assert "the unknown region" in told.message


def test_the_cap_of_entries_is_told() -> None:
    """A table over its cap is looked at in part, and that is an error."""
    result = check(io.BytesIO(fixture("vhdx/chain-base.vhdx.gz")), limits=DEFAULT._replace(vhdx_table_entries=2))
    assert [finding.code for finding in result.findings] == ["VHX203"]
    assert result.totals is not None
    assert result.totals.allocated_clusters == 2


def test_the_largest_is_fast(tmp_path: Path) -> None:
    """64 TiB in blocks of 1 MiB, with a table of half a GiB."""
    path = qemu_create(tmp_path / "image.vhdx", "vhdx", (64 << 40) - (1 << 30), "block_size=1M")
    run(need("qemu-io"), "-f", "vhdx", "-c", "write -q 0 1M", "-c", "write -q 60T 1M", str(path))
    before = time.process_time()
    result = check(path)
    assert time.process_time() - before < 10
    assert result.clean
    assert result.totals is not None
    assert result.totals.allocated_clusters == 2


def test_a_copy_cut_anywhere_is_not_clean(tmp_path: Path) -> None:
    """A file that was cut within its data: qemu-img refuses or finds fault, and so does the check."""
    whole = qemu_create(tmp_path / "whole.vhdx", "vhdx", 16 * MIB, "block_size=1M")
    run(need("qemu-io"), "-f", "vhdx", "-c", "write -q -P 5 0 16M", str(whole))
    size = whole.stat().st_size
    for cut in (size - 1, size - MIB, size - 5 * MIB - 77):
        path = tmp_path / "cut.vhdx"
        shutil.copy(whole, path)
        with open(path, "r+b") as file:
            file.truncate(cut)
        result = check(path)
        assert not result.clean
        assert "VHX034" in {finding.code for finding in result.findings}
