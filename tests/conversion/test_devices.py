"""Conversions onto a block device that holds something: nothing of that is in the guest's disk afterwards."""

from __future__ import annotations

import os
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import imgtool
from tests.kit import check_of, need, run
from tests.targets.kit import loop_device, small_room

MIB = 1 << 20

CASES: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("raw", {}, 3 * MIB + 512),
    ("raw", {"align": "4MiB"}, 9 * MIB + 1),
    ("raw", {"align": "4MiB", "engine": "qemu-img"}, 9 * MIB + 1),
    ("vdi", {"options": {"subformat": "static"}}, 9 * MIB + 129),
    ("vdi", {"options": {"subformat": "static"}, "align": "4MiB"}, 9 * MIB + 129),
    ("vdi", {"align": "4MiB"}, 9 * MIB + 129),
    ("qcow2", {"align": "4MiB"}, 9 * MIB + 129),
    ("qcow2", {"options": {"preallocation": "metadata"}, "align": "4MiB"}, 9 * MIB + 129),
    ("qcow2", {"options": {"preallocation": "full"}, "align": "4MiB"}, 9 * MIB + 129),
)


def source(folder: Path, size: int) -> Path:
    """A raw disk: bytes, a hole, bytes to its odd end."""
    chance, path = random.Random(size), folder / "source.raw"
    with open(path, "wb") as file:
        file.write(chance.randbytes(MIB))
        file.truncate(size)
        file.seek(size - 70_000)
        file.write(chance.randbytes(70_000))
    return path


@pytest.mark.parametrize("verify", ["content", "none"])
@pytest.mark.parametrize(("to", "how", "size"), CASES, ids=[f"{to}-{how}-{size}" for to, how, size in CASES])
def test_nothing_old_shows(to: str, how: dict[str, Any], size: int, verify: str, tmp_path: Path) -> None:
    """The guest sees the source, and zeros up to where the size was rounded to."""
    path = source(tmp_path, size)
    behind = tmp_path / "behind"
    behind.write_bytes(b"\xff" * (32 * MIB))
    with loop_device(behind) as device:
        made = imgtool.convert(path, device, to, force=True, verify=verify, **how)
        step = 4 * MIB if "align" in how else 512 if to != "raw" else 1
        assert made.virtual_size == -(-size // step) * step
        out = tmp_path / "out.raw"
        run(need("qemu-img"), "convert", "-f", to, "-O", "raw", device, str(out))
    whole = path.read_bytes().ljust(made.virtual_size, b"\0")
    with open(out, "rb") as file:
        assert file.read(len(whole)) == whole
    assert to == "raw" or os.path.getsize(out) == len(whole)


def test_preallocation_maps_what_was_added(tmp_path: Path) -> None:
    """metadata and full have every cluster of the rounded disk."""
    path = source(tmp_path, MIB)
    for kind in ("metadata", "full"):
        target = tmp_path / f"{kind}.qcow2"
        imgtool.convert(path, target, "qcow2", align="4MiB", options={"preallocation": kind})
        totals = check_of(target.read_bytes()).totals
        assert totals is not None
        assert totals.allocated_clusters == 64


@pytest.mark.parametrize("align", [-1, -1000, 1 << 63, "-512"])
def test_sizes_that_are_none(align: int | str, tmp_path: Path) -> None:
    """Nothing is cut off, and nothing overflows."""
    path = source(tmp_path, MIB)
    with pytest.raises(imgtool.UsageError):
        imgtool.convert(path, tmp_path / "out", "raw", align=align)
    with pytest.raises(imgtool.UsageError):
        imgtool.measure(path, "raw", align=align)
    assert os.listdir(tmp_path) == ["source.raw"]


def test_a_size_that_no_disk_has(tmp_path: Path) -> None:
    """The largest file there can be, rounded up."""
    with small_room(tmp_path, MIB) as room:
        with open(room / "source.raw", "wb") as file:
            file.truncate((1 << 63) - 1)
        for act in (imgtool.measure, partial(imgtool.convert, dst=room / "out")):
            with pytest.raises(imgtool.UsageError, match="align: the disk would have 9223372036854775808 bytes"):
                act(room / "source.raw", to="raw", align=512, policy="permissive")


def test_measuring_takes_no_time_that_a_header_says(tmp_path: Path) -> None:
    """The largest disk that a qcow2 can say it has, preallocated: computed, or refused."""
    path = tmp_path / "large.qcow2"
    run(
        need("qemu-img"),
        "create",
        "-q",
        "-f",
        "qcow2",
        "-o",
        "cluster_size=2M",
        str(path),
        str((1 << 61) - (1 << 22)),
    )
    how: dict[str, Any] = {"policy": "permissive"}
    told = imgtool.measure(path, "raw", options={"preallocation": "full"}, **how)
    assert told.required == (1 << 61) - (1 << 22)
    with pytest.raises(imgtool.UnsupportedError, match=r"at most 1073741824 clusters are preallocated"):
        imgtool.measure(path, "qcow2", options={"preallocation": "metadata", "cluster_size": "2M"}, **how)
