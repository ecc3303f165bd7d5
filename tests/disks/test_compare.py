"""Comparing disks: every differing range in whole sectors, sizes, what is not read, errors."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

import imgtool
from imgtool.disks.compare import compare_disks
from imgtool.model.comparison import Comparison, Difference
from imgtool.sources.disk import DiskError, NotFollowedError
from imgtool.sources.flat import FlatDisk
from imgtool.sources.memory import BytesSource
from tests.disks.test_digest import Told
from tests.kit import qemu_create
from tests.oracle.disks_kit import convert, scribble

MIB = 1 << 20


def compared(one: bytes, two: bytes, *, ignore_size: bool = False, limit: int = 10_000) -> Comparison:
    """Two disks of these bytes."""
    first, second = FlatDisk(BytesSource(one), len(one)), FlatDisk(BytesSource(two), len(two))
    return compare_disks(first, second, ignore_size=ignore_size, limit=limit)


def slow(one: bytes, two: bytes) -> list[Difference]:
    """Differing ranges in whole sectors, one sector after the other."""
    size = max(len(one), len(two))
    one, two = one.ljust(size, b"\0"), two.ljust(size, b"\0")
    found: list[Difference] = []
    for start in range(0, size, 512):
        end = min(size, start + 512)
        if one[start:end] != two[start:end]:
            if found and found[-1].start + found[-1].length == start:
                found[-1] = Difference(found[-1].start, end - found[-1].start)
            else:
                found.append(Difference(start, end - start))
    return found


def test_the_same() -> None:
    """Nothing differs; all of it was compared."""
    data = random.Random(1).randbytes(3 * MIB + 77)
    assert compared(data, data) == Comparison(True, (len(data), len(data)), len(data), 0, 0, ())
    assert compared(b"", b"") == Comparison(True, (0, 0), 0, 0, 0, ())


@pytest.mark.parametrize("seed", range(12))
def test_every_range(seed: int) -> None:
    """Changed bytes anywhere, sizes that differ: as a sector by sector comparison finds them."""
    chance = random.Random(seed)
    one = chance.randbytes(chance.randrange(1, 4 * MIB))
    two = bytearray(one)
    for _ in range(chance.randrange(1, 30)):
        at = chance.choice((chance.randrange(len(two)), chance.randrange(len(two)) // MIB * MIB, len(two) - 1))
        length = chance.choice((1, 2, 512, 5_000, 100_000))
        two[at : at + length] = bytes(min(length, len(two) - at))
    other = bytes(two) + chance.choice((b"", b"", bytes(1_000), b"\0" * 9_000 + b"x"))
    result, expected = compared(one, other), slow(one, other)
    assert list(result.differences) == expected
    assert result.ranges == len(expected)
    assert result.differing == sum(difference.length for difference in expected)
    assert result.identical == (not expected and len(one) == len(other))
    assert compared(other, one)[3:] == result[3:]


def test_sizes() -> None:
    """Different sizes are not identical unless they are ignored; a longer end must be zeros then."""
    data = random.Random(2).randbytes(5_000)
    assert not compared(data, data + bytes(9)).identical
    assert compared(data, data + bytes(9)).ranges == 0
    assert compared(data, data + bytes(9), ignore_size=True).identical
    assert not compared(data, data + b"\0\1", ignore_size=True).identical


def test_a_limit() -> None:
    """So many ranges are listed; all are counted. Ranges that meet at a piece's end are one."""
    one = bytes(2 * MIB)
    two = bytearray(one)
    for at in range(0, MIB, 2048):
        two[at] = 1
    result = compared(one, bytes(two), limit=3)
    assert len(result.differences) == 3
    assert result.ranges == 512
    assert result.differing == 512 * 512
    across = compared(bytes(3 * MIB), bytes(MIB - 512) + b"x" * 1024 + bytes(2 * MIB - 512), limit=1)
    assert across.differences == (Difference(MIB - 512, 1024),)
    assert across.ranges == 1


def test_known_zeros_are_not_read() -> None:
    """Where both know of zeros nothing is read; where one knows, the other is."""
    data = bytes(40 * MIB)
    one, two = Told(data, [(0, 32 * MIB)]), Told(data, [(8 * MIB, 40 * MIB)])
    result = compare_disks(one, two)
    assert result.identical
    assert result.compared == 16 * MIB
    assert one.reads == two.reads == 16


def test_what_cannot_be_read() -> None:
    """Of either side: the error that reading raises."""
    whole, short = FlatDisk(BytesSource(bytes(MIB)), MIB), FlatDisk(BytesSource(b"x"), MIB)
    for pair in ((whole, short), (short, whole)):
        with pytest.raises(DiskError):
            compare_disks(*pair)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("form", "other"), [("qcow2", "vdi"), ("vmdk", "qed"), ("vhdx", "parallels"), ("raw", "qcow2")]
)
def test_formats_may_differ(tmp_path: Path, form: str, other: str) -> None:
    """The same guest in two formats; then one byte more in one of them."""
    raw = scribble(qemu_create(tmp_path / "x.raw", "raw", 9 * MIB), "raw", form, unit=4096, align=512, zeros=False)
    one = convert(raw, "raw", tmp_path / f"one.{form}", form)
    two = convert(raw, "raw", tmp_path / f"two.{other}", other)
    seen: list[int] = []
    assert imgtool.compare(one, two, progress=seen.append).identical
    assert sum(seen) == 9 * MIB
    data = bytearray(raw.read_bytes())
    data[5_000_000] ^= 1
    result = imgtool.compare(io.BytesIO(data), two, format="raw", other_format=other)
    assert result.differences == (Difference(5_000_000 // 512 * 512, 512),)


def test_references_are_followed_by_permission(tmp_path: Path) -> None:
    """An overlay equals its base where following is allowed."""
    base = scribble(qemu_create(tmp_path / "base.qcow2", "qcow2", 4 * MIB), "qcow2", "base")
    top = qemu_create(tmp_path / "top.qcow2", "qcow2", None, f"backing_file={base.name},backing_fmt=qcow2")
    with pytest.raises(NotFollowedError):
        imgtool.compare(top, base)
    assert imgtool.compare(top, base, follow=True).identical
