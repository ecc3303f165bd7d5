"""Disks of raw files, against qemu-img convert and map."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.oracle.disks_kit import check, scribble

pytestmark = pytest.mark.oracle

SIZES = (0, 1, 511, 512, 513, 4_096, 1_000_001, 9 << 20)


@pytest.mark.parametrize("size", SIZES)
def test_raw(tmp_path: Path, size: int) -> None:
    """Written here and there, with the holes of its file; odd sizes."""
    path = tmp_path / "disk.raw"
    with open(path, "wb") as file:
        file.truncate(size // 512 * 512)
    if size >= 512:
        scribble(path, "raw", size, unit=4096, zeros=False, discards=False)
    os.truncate(path, size)
    check(path, "raw", seed=size)


def test_sparse_raw_of_8_tib(tmp_path: Path) -> None:
    """A few blocks far apart."""
    path = tmp_path / "disk.raw"
    with open(path, "wb") as file:
        file.truncate(8 << 40)
    scribble(path, "raw", "large", unit=4096, zeros=False, discards=False)
    check(path, "raw")
