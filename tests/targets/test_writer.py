"""What writers share: where zeros are found."""

from __future__ import annotations

import random

import pytest

from imgtool.targets.writer import data_runs, is_zeros


def plainly(data: bytes, unit: int) -> list[tuple[int, int]]:
    """The runs of units that are not all zeros, one unit after the other."""
    found: list[tuple[int, int]] = []
    for start in range(0, len(data), unit):
        end = min(start + unit, len(data))
        if any(data[start:end]):
            if found and found[-1][1] == start:
                found[-1] = (found[-1][0], end)
            else:
                found.append((start, end))
    return found


@pytest.mark.parametrize("unit", [8, 512, 4096])
def test_runs_of_data(unit: int) -> None:
    """Any content, any length: bytes at the start, in the middle or at the end of a unit; a short last one."""
    chance = random.Random(unit)
    for _ in range(400):
        data = bytearray(chance.randrange(unit * 6))
        for _ in range(chance.randrange(4)):
            if data:
                at = chance.randrange(len(data)) // unit * unit + chance.choice((0, 1, 7, unit // 2, unit - 1))
                data[min(at, len(data) - 1)] = chance.randrange(256)
        assert data_runs(bytes(data), unit) == plainly(bytes(data), unit)


def test_runs_of_short_pieces() -> None:
    """Fewer than 8 bytes are a unit, too."""
    assert data_runs(b"", 512) == []
    assert data_runs(b"\0", 512) == []
    assert data_runs(b"\0\1", 512) == [(0, 2)]
    assert data_runs(bytes(515), 512) == []
    assert data_runs(bytes(514) + b"\1", 512) == [(512, 515)]
    assert data_runs(b"\1" + bytes(514), 512) == [(0, 512)]


def test_zeros() -> None:
    """A range of the data alone."""
    assert is_zeros(b"\1\0\0\1", 1, 3)
    assert not is_zeros(b"\1\0\0\1", 1, 4)
    assert is_zeros(b"\1", 1, 1)
