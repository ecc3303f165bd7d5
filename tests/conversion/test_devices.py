"""Conversions onto a block device: nothing that it held is in the guest's disk then, and it is not the source."""

from __future__ import annotations

import os
import random
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import imgtool
from imgtool.sources.behind import Piece, Thing, overlap, pieces, thing
from tests.conversion.fault_kit import IMGTOOL
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


# --- what lies behind a device


@pytest.mark.parametrize("dry", [False, True])
def test_the_source_behind_a_loop_device(dry: bool, tmp_path: Path) -> None:
    """The file of a device is no target of the device, nor the device one of the file, whatever the file's name."""
    path = source(tmp_path, 2 * MIB)
    before = path.read_bytes()

    def refused(src: str | Path, dst: str | Path, told: str, **how: Any) -> None:
        command = ["convert", os.fspath(src), "--to", "qcow2", "-o", os.fspath(dst), "--force", "--device"]
        if not dry:
            with pytest.raises(imgtool.OutputError, match=told):
                imgtool.convert(src, dst, "qcow2", force=True, device=True, if_unsafe="allow", **how)
        elif not how:
            done = subprocess.run([*IMGTOOL, *command, "--dry-run"], capture_output=True, text=True, check=False)
            assert (done.returncode, told in done.stderr) == (5, True)

    with loop_device(path) as device, loop_device(path) as other:
        itself = "is the source itself; name another target"
        path = path.rename(tmp_path / "renamed.raw")
        refused(path, device, itself)
        refused(device, path, itself)
        refused(device, other, itself)
        overlay = tmp_path / "overlay.qcow2"
        run(need("qemu-img"), "create", "-q", "-f", "qcow2", "-b", path.name, "-F", "raw", str(overlay))
        refused(overlay, device, "is a file that the source refers to", follow=True)
    assert path.read_bytes() == before


def test_windows_of_one_file_that_lie_apart(tmp_path: Path) -> None:
    """One loop device is written from another, where they are other bytes of the file."""
    path = tmp_path / "both"
    path.write_bytes(b"a" * MIB + b"b" * MIB)
    half = str(MIB)
    with loop_device(path, "--sizelimit", half) as first, loop_device(path, "--offset", half) as second:
        imgtool.convert(first, second, "raw", force=True, device=True)
        with pytest.raises(imgtool.OutputError, match="is the source itself"):
            imgtool.convert(path, second, "raw", force=True)
    assert path.read_bytes() == b"a" * 2 * MIB


def sysfs(folder: Path) -> dict[str, Thing]:
    """A made-up tree: vdz with two partitions; a group of volumes dm-0, dm-1 on the second; loop0 over a file, from
    byte 512 on, with a partition; loop1 over vdz; md0, which is a member of itself."""
    devices = {"vdz": 0, "vdz/vdz1": 1, "vdz/vdz2": 2, "dm-0": 3, "dm-1": 4, "loop0": 5, "loop0/loop0p1": 6}
    devices |= {"loop1": 7, "md0": 8}
    (folder / "dev" / "block").mkdir(parents=True)
    (folder / "file").write_bytes(b"")
    for name, minor in devices.items():
        place = folder / "devices" / name
        place.mkdir(parents=True)
        (place / "dev").write_text(f"240:{minor}\n")
        (folder / "dev" / "block" / f"240:{minor}").symlink_to(place)
    for name, start, size in (("vdz/vdz1", 8, 8), ("vdz/vdz2", 16, 8), ("loop0/loop0p1", 1, 2)):
        for key, value in (("partition", 1), ("start", start), ("size", size)):
            (folder / "devices" / name / key).write_text(f"{value}\n")
    for name, member in (("dm-0", "vdz/vdz2"), ("dm-1", "vdz/vdz2"), ("md0", "md0")):
        slaves = folder / "devices" / name / "slaves"
        slaves.mkdir()
        (slaves / Path(member).name).symlink_to(folder / "devices" / member)
    for name, file, offset in (("loop0", folder / "file", 512), ("loop1", folder / "gone (deleted)", 0)):
        (folder / "devices" / name / "loop").mkdir()
        for key, text in (("backing_file", str(file)), ("offset", str(offset)), ("sizelimit", "0")):
            (folder / "devices" / name / "loop" / key).write_text(f"{text}\n")
    named: dict[str, Thing] = {Path(name).name: ("device", os.makedev(240, at), 0) for name, at in devices.items()}
    return named | {"file": thing(os.stat(folder / "file"))}


def test_what_is_behind_a_device(tmp_path: Path) -> None:
    """The pieces, with their bounds; no circle is walked twice, and a file that is gone is none."""
    named = sysfs(tmp_path)
    walk = partial(pieces, sysfs=str(tmp_path), nodes=str(tmp_path / "none"))
    vdz, file = named["vdz"], named["file"]
    assert walk(named["vdz1"]) == (Piece(named["vdz1"]), Piece(vdz, 4096, 8192))
    on_vdz2 = (Piece(named["vdz2"], mapped=True), Piece(vdz, 8192, 12288, mapped=True))
    assert walk(named["dm-0"]) == (Piece(named["dm-0"]), *on_vdz2)
    loop0 = Piece(named["loop0"], 512, 1536)
    assert walk(named["loop0p1"]) == (Piece(named["loop0p1"]), loop0, Piece(file, 1024, 2048))
    assert walk(named["loop1"]) == (Piece(named["loop1"]),)
    assert walk(named["md0"]) == (Piece(named["md0"]), Piece(named["md0"], mapped=True))
    assert walk(file) == (Piece(file),)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("vdz", "vdz", True),
        ("vdz", "vdz1", True),
        ("vdz1", "vdz2", False),
        ("dm-0", "dm-1", False),
        ("dm-0", "vdz2", True),
        ("dm-0", "vdz", True),
        ("dm-0", "vdz1", False),
        ("loop0p1", "file", True),
        ("loop0", "file", True),
        ("vdz", "file", False),
    ],
)
def test_what_has_bytes_in_common(one: str, other: str, both: bool, tmp_path: Path) -> None:
    """A whole and its parts; not parts that lie beside each other."""
    named = sysfs(tmp_path)
    first, second = (pieces(named[name], sysfs=str(tmp_path), nodes="none") for name in (one, other))
    assert overlap(first, second) is both
    assert overlap(second, first) is both
