"""The deep check of qcow, version 1, which `qemu-img check` does not know: what QEMU makes is clean, and whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgtool.inspection.deep import check
from tests.kit import qemu_create
from tests.oracle.check_kit import codes
from tests.oracle.disks_kit import convert, scribble

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("size", [512, 5 << 20, (5 << 20) + 512, 1 << 40])
def test_clean(tmp_path: Path, size: int) -> None:
    """Empty, written at random, compressed here and there, converted: nothing found, and nothing left over."""
    path = qemu_create(tmp_path / "a.qcow", "qcow", size)
    for step in range(2):
        if step:
            scribble(path, "qcow", size, count=12, unit=4096, zeros=False, discards=False, align=512, compressed=True)
        result = check(path)
        assert not codes(result), result.findings
        assert result.totals is not None
        assert (result.totals.corruptions, result.totals.check_errors) == (0, 0)
        assert result.totals.image_end_offset is not None
        assert result.totals.image_end_offset - path.stat().st_size < 4096
    if size < 1 << 30:
        other = check(convert(path, "qcow", tmp_path / "b.qcow", "qcow"))
        assert not codes(other), other.findings


def test_backing(tmp_path: Path) -> None:
    """The name of a backing file lies between the header and the L1 table."""
    qemu_create(tmp_path / "base.raw", "raw", "1M")
    path = qemu_create(tmp_path / "a.qcow", "qcow", None, extra=("-b", "base.raw", "-F", "raw"))
    scribble(path, "qcow", 0, count=4, unit=4096, zeros=False, discards=False, align=512)
    assert codes(check(path)) == {"IMG101"}
