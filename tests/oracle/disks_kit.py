"""Guests with patterns in images of any format, and imgtool's disks of them compared with qemu-img's.

The same disk as `qemu-img convert -O raw`: all bytes in order, and 1,000 random ranges. The same map as
`qemu-img map --output=json`, range by range, after these differences of presentation were taken out:

- qemu looks through allocated blocks for holes of the host's file and calls them `zero` and `data` at once; they
  are data here (how a file system stores a block is no property of the image).
- qemu rounds the size of a raw image up to whole sectors: what lies past the true size is cut off.
- A format's driver may not tell an offset (vhdx), or say `present` of what is not allocated (vdi, vpc): a test
  names such a key in `ignore`, with its reason. Neighbours that only differed in it are one range then.
- qemu tells an offset of what is not `present` where its cluster is allocated (qcow2 subclusters): it is dropped.
- Where guest bytes lie in the file one after the other, holes of the file are holes of the disk here. qemu says so
  of raw files only; for others (a fixed VHD, a flat extent) a test puts "holes" into `ignore`: they are data then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import imgtool.disks.open as disks
from imgtool.render.maps import qemu_json
from imgtool.sources.disk import Disk
from tests.kit import need, qemu_info, run

PAIRS = 1000
WHOLE = 64 << 20  #: disks up to this many bytes are compared byte by byte, larger ones where either has data
PIECE = 1 << 20


class Row(NamedTuple):
    """One range of a map, with the keys of qemu-img's; a key that is not compared is None."""

    start: int
    length: int
    depth: int | None
    present: bool | None
    zero: bool | None
    data: bool | None
    offset: int | None


def scribble(
    path: Path,
    form: str,
    seed: object,
    *,
    count: int = 32,
    unit: int = 65_536,
    zeros: bool = True,
    discards: bool = True,
    compressed: bool = False,
    align: int = 1,
    options: tuple[str, ...] = (),
) -> Path:
    """Random writes through qemu-io, near edges more often than not; the same for the same seed.

    `unit`: bytes of a cluster (compressed writes cover whole ones). `zeros`, `discards`, `compressed`: whether such
    requests are made too. `align`: what places and lengths are multiples of. `options`: further ones of qemu-io.
    """
    chance = Random(repr((form, seed)))
    size = int(qemu_info(path, form)["virtual-size"])
    noise = path.with_name(path.name + ".noise")
    noise.write_bytes(chance.randbytes(30_000) + b"the same words again, " * 1_600)
    kinds = ["bytes", "bytes", "noise", "noise", "noise"]
    kinds += ["write -z", "write -z -u"] * zeros + ["discard"] * discards + ["packed"] * (2 * compressed)
    commands: list[str] = []
    for _ in range(count):
        start, length = _place(chance, size, unit, align)
        kind = chance.choice(kinds)
        if kind == "packed":
            start = start // unit * unit
            length = min(unit, size - start)
            kind = f"write -c -s {noise}" if chance.random() < 0.7 else f"write -c -P {chance.randrange(256)}"
        elif kind == "bytes":
            kind = f"write -P {chance.randrange(256)}"
        elif kind == "noise":
            kind = f"write -s {noise}"
        if length > 0:
            commands += ["-c", f"{kind} {start} {length}"]
    run(need("qemu-io"), "-f", form, "-d", "unmap", *options, *commands, str(path))
    return path


def _place(chance: Random, size: int, unit: int, align: int) -> tuple[int, int]:
    """Offset and length of one request: anywhere, at the ends, about the edge of a cluster."""
    near = chance.choice(("any", "edge", "edge", "first", "last"))
    most = max(1, min(4 * unit, 1 << 20))
    length = chance.choice((1, 512, 4096, unit, chance.randrange(1, most + 1), 2 * unit))
    length = min(length, 2 << 20)
    start = chance.randrange(max(1, size))
    if near == "edge":
        start = start // unit * unit + chance.choice((0, 0, -512, 512, -1))
    elif near != "any":
        start = 0 if near == "first" else size - length
    start = min(max(0, start), size) // align * align
    length = -(-length // align) * align
    return start, min(length, (size - start) // align * align)


def convert(
    source: Path, source_form: str, path: Path, form: str, *options: str, extra: tuple[str, ...] = ()
) -> Path:
    """`qemu-img convert`; `options` as for -o, `extra` further arguments (-c, -S 0, -l snapshot)."""
    chosen = ("-o", ",".join(options)) if options else ()
    run(need("qemu-img"), "convert", "-f", source_form, "-O", form, *chosen, *extra, str(source), str(path))
    return path


def guest(path: Path, form: str, *extra: str) -> Path:
    """What qemu-img says a guest sees of an image: a raw file beside it."""
    return convert(path, form, path.with_name(path.name + ".guest"), "raw", extra=extra)


def check(
    path: Path,
    form: str,
    *,
    name: str | None = None,
    follow: bool = False,
    snapshot: str | None = None,
    ignore: Collection[str] = (),
    mapped: bool = True,
    seed: object = 0,
) -> None:
    """Bytes and map of an image of qemu's format `form` as qemu-img has them. Fails where they differ.

    `name`: imgtool's name of the format, the same when not given. `ignore`: keys of the map not compared.
    """
    raw = guest(path, form, *(("-l", f"snapshot.name={snapshot}") if snapshot is not None else ()))
    try:
        with disks.open_disk(path, format=name or form, follow=follow, snapshot=snapshot) as disk:
            same_bytes(disk, raw, seed)
            if mapped and snapshot is None:
                same_map(disk, path, form, ignore)
    finally:
        raw.unlink()


def same_bytes(disk: Disk, raw: Path, seed: object = 0, pairs: int = PAIRS) -> None:
    """Fail where the disk differs from a raw file: in order, then at random ranges."""
    with open(raw, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        assert -(-disk.size // 512) * 512 == -(-size // 512) * 512, f"size {disk.size}, the other {size}"
        for start, length in _in_order(disk, file.fileno(), size):
            _same_range(disk, file.fileno(), start, length)
        chance = Random(repr(("pairs", seed)))
        known = [extent.start for extent, _ in zip(disk.extents(), range(10_000), strict=False)] or [0]
        for _ in range(pairs):
            start = chance.randrange(disk.size + 1)
            if chance.random() < 0.7:
                start = max(
                    0, chance.choice(known) + chance.choice((0, -1, 1, -512, chance.randrange(-70_000, 70_000)))
                )
            length = chance.choice((0, 1, 2, 511, 512, 4097, chance.randrange(70_000), chance.randrange(200_000)))
            _same_range(disk, file.fileno(), start, length)


def _same_range(disk: Disk, fd: int, start: int, length: int) -> None:
    got = disk.read_at(start, length)
    length = max(0, min(length, disk.size - start))
    expected = os.pread(fd, length, start)
    expected += bytes(length - len(expected))
    if got != expected:
        at = next((index for index, pair in enumerate(zip(got, expected, strict=False)) if pair[0] != pair[1]), None)
        raise AssertionError(
            f"read_at({start}, {length}) gave {len(got)} bytes; first difference "
            + ("in length" if at is None else f"at {start + at}: {got[at]:#x}, the other {expected[at]:#x}")
        )


def _in_order(disk: Disk, fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Pieces of the whole disk; of a large one those where either side has data."""
    if disk.size <= WHOLE:
        yield from ((start, PIECE) for start in range(0, disk.size, PIECE))
        return
    pieces = {
        at // PIECE
        for start, length in _held(fd, size)
        for at in (*range(start, start + length, PIECE), start + length - 1)
    }
    for start, length in disk.data_extents():
        pieces.update(range(start // PIECE, (start + length - 1) // PIECE + 1))
    for piece in sorted(pieces):
        yield piece * PIECE, PIECE


def _held(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The runs of a file that are no holes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError:
            return
        end = min(size, os.lseek(fd, start, os.SEEK_HOLE))
        yield start, end - start


def same_map(disk: Disk, path: Path, form: str, ignore: Collection[str] = ()) -> None:
    """Fail where the map of the disk differs from qemu-img's."""
    told = json.loads(run(need("qemu-img"), "map", "-f", form, "-U", "--output=json", str(path)))
    theirs = rows(told, disk.size, ignore)
    ours = rows(json.loads("".join(qemu_json(disk.extents()))), disk.size, ignore)
    for index, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        assert one == other, f"range {index}: {one}, qemu-img {other}"
    assert len(ours) == len(theirs)


def rows(told: list[dict[str, Any]], size: int, ignore: Collection[str] = ()) -> list[Row]:
    """A map of qemu-img's shape, brought to one form (see above). It must tile the disk."""
    found: list[Row] = []
    for one in told:
        length = min(one["length"], size - one["start"])
        if length <= 0:
            continue
        values = {key: one.get(key) for key in ("depth", "present", "zero", "data", "offset")}
        if "holes" in ignore and one.get("offset") is not None:
            values["data"] = True
        values["zero"] = one["zero"] and not values["data"]
        values["offset"] = values["offset"] if values["present"] else None
        values.update({key: None for key in ignore if key in values})
        row = Row(one["start"], length, **values)
        assert row.start == (found[-1].start + found[-1].length if found else 0), f"gap or overlap at {row.start}"
        if found and _lies_on(found[-1], row):
            last = found.pop()
            row = last._replace(length=last.length + length)
        found.append(row)
    assert sum(row.length for row in found) == size
    return found


def _lies_on(last: Row, row: Row) -> bool:
    if last[2:6] != row[2:6]:
        return False
    if last.offset is None or row.offset is None:
        return last.offset is row.offset
    return last.offset + last.length == row.offset
