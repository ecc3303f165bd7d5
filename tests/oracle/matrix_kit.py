"""Sources and targets of the conversion matrix: a disk in everything that is read, and all that is written."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

from fixtures.recipes.ova import descriptor
from tests.kit import need, run
from tests.oracle.disks_kit import convert
from tests.oracle.write_kit import MIB, source

#: What a guest may hold; `odd` is no whole number of sectors, to its last byte.
CONTENTS = ("patterned", "sparse", "empty", "odd", "text", "random")

#: Makes an image in a folder of its own out of the raw file there.
Build = Callable[[Path], Path]


class Source(NamedTuple):
    """An image that is read. `form`: its family in the sample. `words`: what `imgtool.convert` must be told."""

    name: str
    form: str
    build: Build
    words: Mapping[str, Any] = {}


class Target(NamedTuple):
    """What is written. `told`: what `qemu-img info` says, by the path in its JSON; `words`: further arguments."""

    engine: str
    to: str
    options: Mapping[str, str] = {}
    told: Mapping[str, Any] = {}
    words: Mapping[str, Any] = {}

    @property
    def name(self) -> str:
        """The target in a word."""
        more = {**self.options, **self.words}
        return "-".join((self.engine, self.to, *(f"{name}={value}" for name, value in more.items())))


def guest(path: Path, content: str) -> Path:
    """A raw file with that content."""
    if content != "odd":
        return source(path, content, 3 * MIB, seed=2)  # patterned: data, holes and zeros in turn
    source(path, "patterned", 2 * MIB + 1000)
    with open(path, "r+b") as file:
        file.seek(-3, 2)
        file.write(b"end")
    return path


# --- sources ------------------------------------------------------------------------------------------------------


def by_qemu(form: str, *options: str, extra: tuple[str, ...] = ()) -> Build:
    """As `qemu-img convert` writes it."""
    return lambda folder: convert(folder / "disk.raw", "raw", folder / f"image.{form}", form, *options, extra=extra)


def wrapped(program: str, ending: str, inner: Build | None = None) -> Build:
    """Compressed by a program; the raw file itself, or an image of it."""

    def build(folder: Path) -> Path:
        content = inner(folder) if inner is not None else folder / "disk.raw"
        path = content.with_name(content.name + ending)
        path.write_bytes(run(need(program), "-c", "-1", stdin=content.read_bytes()))
        return path

    return build


def packed_qcow(folder: Path) -> Path:
    """A qcow whose clusters are compressed. QEMU 7.2 writes it all, then fails at an empty write that ends it."""
    path = folder / "image.qcow"
    command = [need("qemu-img"), "convert", "-c", "-f", "raw", "-O", "qcow", str(folder / "disk.raw"), str(path)]
    subprocess.run(command, capture_output=True, check=False)
    return path


def iso(folder: Path) -> Path:
    """A disc that holds the disk as a file; its own bytes are what a guest sees, so it takes the disk's place."""
    path = folder / "image.iso"
    run(need("genisoimage"), "-quiet", "-J", "-R", "-o", str(path), str(folder / "disk.raw"))
    (folder / "disk.raw").unlink()
    os.link(path, folder / "disk.raw")
    return path


def snapshots(folder: Path) -> Path:
    """The disk in a snapshot; what came later is another content."""
    path = by_qemu("qcow2")(folder)
    size = -(-(folder / "disk.raw").stat().st_size // 512) * 512
    run(need("qemu-img"), "snapshot", "-c", "first", str(path))
    run(need("qemu-io"), "-f", "qcow2", "-c", f"write -P 77 0 {size}", str(path))
    return path


def chain(folder: Path) -> Path:
    """An overlay over a base that differs in its middle."""
    path, base = folder / "image.qcow2", folder / "base.raw"
    data = (folder / "disk.raw").read_bytes()
    data = data.ljust(-(-len(data) // 512) * 512, b"\0")
    base.write_bytes(data[:MIB] + b"\7" * MIB + data[2 * MIB :])
    run(need("qemu-img"), "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", str(path))
    (folder / "middle").write_bytes(data[MIB : 2 * MIB])
    run(need("qemu-io"), "-f", "qcow2", "-c", f"write -q -s {folder / 'middle'} {MIB} {MIB}", str(path))
    return path


def appliance(*disks: str) -> Build:
    """An OVA of these disks; the last holds the guest's bytes, the others another content."""

    def build(folder: Path) -> Path:
        whole = by_qemu("vmdk", "subformat=streamOptimized")(folder)
        other = convert(Path("/dev/null"), "raw", folder / "other.qcow2", "qcow2")
        for name in disks:
            (folder / name).write_bytes((whole if name == disks[-1] else other).read_bytes())
        files = "".join(
            f'<File ovf:href="{name}" ovf:id="f{index}" ovf:size="{(folder / name).stat().st_size}"/>'
            for index, name in enumerate(disks)
        )
        rows = "".join(
            f'<Disk ovf:capacity="4" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk{index + 1}" '
            f'ovf:fileRef="f{index}" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html"/>'
            for index in range(len(disks))
        )
        (folder / "x.ovf").write_text(descriptor(files, rows))
        run(need("tar"), "--format=ustar", "-cf", str(folder / "x.ova"), "-C", str(folder), "x.ovf", *disks)
        return folder / "x.ova"

    return build


FOLLOW: dict[str, Any] = {"follow": True}
QED: dict[str, Any] = {"if_unsafe": "allow:IMG013"}  # clouds do not take it

SOURCES = (
    Source("raw", "raw", lambda folder: folder / "disk.raw"),
    Source("qcow2-v2", "qcow2", by_qemu("qcow2", "compat=0.10")),
    Source("qcow2-v3", "qcow2", by_qemu("qcow2", "cluster_size=4K")),
    Source("qcow2-zlib", "qcow2", by_qemu("qcow2", extra=("-c",))),
    Source("qcow2-zstd", "qcow2", by_qemu("qcow2", "compression_type=zstd", "cluster_size=16K", extra=("-c",))),
    Source("qcow2-extended", "qcow2", by_qemu("qcow2", "extended_l2=on", "cluster_size=128K")),
    Source("qcow2-snapshot", "qcow2", snapshots, {"snapshot": "first"}),
    Source("qcow2-chain", "qcow2", chain, FOLLOW),
    Source("qcow", "qcow", by_qemu("qcow")),
    Source("qcow-zlib", "qcow", packed_qcow),
    Source("qed", "qed", by_qemu("qed"), QED),
    Source("vmdk-sparse", "vmdk", by_qemu("vmdk", "zeroed_grain=on")),
    Source("vmdk-stream", "vmdk", by_qemu("vmdk", "subformat=streamOptimized")),
    Source("vmdk-flat", "vmdk", by_qemu("vmdk", "subformat=monolithicFlat"), FOLLOW),
    Source("vmdk-split", "vmdk", by_qemu("vmdk", "subformat=twoGbMaxExtentSparse"), FOLLOW),
    Source("vmdk-split-flat", "vmdk", by_qemu("vmdk", "subformat=twoGbMaxExtentFlat"), FOLLOW),
    Source("vhd-chs", "vhd", by_qemu("vpc")),
    Source("vhd-dynamic", "vhd", by_qemu("vpc", "force_size=on")),
    Source("vhd-fixed", "vhd", by_qemu("vpc", "subformat=fixed", "force_size=on")),
    Source("vhdx-dynamic", "vhdx", by_qemu("vhdx", "block_size=1M")),
    Source("vhdx-fixed", "vhdx", by_qemu("vhdx", "subformat=fixed")),
    Source("vdi-dynamic", "vdi", by_qemu("vdi")),
    Source("vdi-static", "vdi", by_qemu("vdi", "static=on")),
    Source("parallels", "parallels", by_qemu("parallels")),
    Source("iso", "iso", iso),
    Source("ova", "ova", appliance("disk1.vmdk")),
    Source("ova-member", "ova", appliance("other1.qcow2", "disk1.vmdk"), {"member": "disk1.vmdk"}),
    Source("raw.gz", "wrapped", wrapped("gzip", ".gz")),
    Source("qcow2.xz", "wrapped", wrapped("xz", ".xz", by_qemu("qcow2"))),
    Source("vmdk.zst", "wrapped", wrapped("zstd", ".zst", by_qemu("vmdk"))),
    Source("vhd.bz2", "wrapped", wrapped("bzip2", ".bz2", by_qemu("vpc", "subformat=fixed", "force_size=on"))),
    Source("vdi.lz4", "wrapped", wrapped("lz4", ".lz4", by_qemu("vdi"))),
)

# --- targets ------------------------------------------------------------------------------------------------------


def data(**told: Any) -> dict[str, Any]:
    """What stands under format-specific/data."""
    return {f"format-specific/data/{name.replace('_', '-')}": value for name, value in told.items()}


def kind(subformat: str, cluster: int, *, compressed: bool = False) -> dict[str, Any]:
    """What is said of a vmdk."""
    extent = {"format-specific/data/extents/0/cluster-size": cluster}
    if compressed:
        extent["format-specific/data/extents/0/compressed"] = True
    return {**data(create_type=subformat), **extent}


STREAM = "streamOptimized"

NATIVE = (
    Target("native", "raw"),
    Target("native", "raw", {"preallocation": "full"}),
    Target("native", "qcow2", told=data(compat="1.1", compression_type="zlib", refcount_bits=16)),
    Target("native", "qcow2", {"cluster_size": "512", "refcount_bits": "1"}, {"cluster-size": 512}),
    Target("native", "qcow2", {"cluster_size": "2M", "lazy_refcounts": "on"}, data(lazy_refcounts=True)),
    Target("native", "qcow2", {"preallocation": "metadata"}, {"cluster-size": 65536}),
    Target("native", "qcow2", told=data(compression_type="zlib"), words={"compress": "zlib", "level": 1}),
    Target("native", "qcow2", {"deflate_window": "4k", "cluster_size": "4K"}, words={"compress": "zlib"}),
    Target("native", "qcow2", told=data(compression_type="zstd"), words={"compress": "zstd"}),
    Target("native", "vhd", told={"cluster-size": 2 * MIB}),
    Target("native", "vhd", {"block_size": "512K"}, {"cluster-size": MIB // 2}),
    Target("native", "vhd", {"subformat": "fixed"}, words={"align": "1MiB"}),
    Target("native", "vdi", told={"cluster-size": MIB}),
    Target("native", "vdi", {"subformat": "static"}),
    Target("native", "vmdk", told=kind("monolithicSparse", 65536)),
    Target("native", "vmdk", {"subformat": STREAM}, kind(STREAM, 65536, compressed=True)),
    Target("native", "vmdk", {"subformat": STREAM, "grain_size": "8K", "level": "1"}, kind(STREAM, 8192)),
)
FOREIGN = (
    Target("qemu-img", "raw"),
    Target("qemu-img", "qcow2", {"compat": "0.10"}, data(compat="0.10")),
    Target("qemu-img", "qcow2", {"extended_l2": "on"}, data(extended_l2=True)),
    Target("qemu-img", "qcow2", {"preallocation": "full"}),
    Target("qemu-img", "qcow2", words={"compress": "zlib"}, told=data(compression_type="zlib")),
    Target("qemu-img", "qcow2", {"cluster_size": "128K"}, {"cluster-size": 131072}, {"compress": "zstd"}),
    Target("qemu-img", "qcow", told={"cluster-size": 4096}),
    Target("qemu-img", "qed", words={"if_unsafe": "allow:IMG013"}),
    Target("qemu-img", "vhd", told={"cluster-size": 2 * MIB}),
    Target("qemu-img", "vhd", {"subformat": "fixed"}),
    Target("auto", "vhdx", told={"cluster-size": 8 * MIB}),
    Target("qemu-img", "vhdx", {"subformat": "fixed", "block_size": "1M"}),
    Target("qemu-img", "vdi", told={"cluster-size": MIB}),
    Target("qemu-img", "vdi", {"static": "on"}),
    Target("qemu-img", "vmdk", told=data(create_type="monolithicSparse")),
    Target("qemu-img", "vmdk", {"subformat": STREAM}, data(create_type=STREAM)),
    Target("auto", "parallels"),
)
TARGETS = NATIVE + FOREIGN

#: By itself: QEMU's timing of a key's derivation fails on a busy machine, and is tried again until it does not.
LUKS = Target("auto", "luks", {"iter-time": "10"}, {"encrypted": True})

Case = tuple[Source, str, Target]

MATRIX: tuple[Case, ...] = tuple(product(SOURCES, CONTENTS, TARGETS))


def named(case: Case) -> str:
    """A case as pytest shows it."""
    return f"{case[0].name}-{case[1]}-{case[2].name}"


def _pairs(case: Case) -> Iterator[object]:
    """What a case covers: two properties at a time, of the source, the content and the target."""
    made, content, target = case
    yield from combinations((f"from {made.form}", f"of {content}", f"to {target.to}"), 2)
    yield f"engine {target.engine}", made.form
    yield made.name
    yield target.name


def sample(seed: int) -> list[Case]:
    """Cases that cover all pairs of formats and contents, every source and every target: the same for a seed."""
    chance = random.Random(seed)
    cases = list(MATRIX)
    chance.shuffle(cases)
    left = {pair for case in MATRIX for pair in _pairs(case)}
    found: list[Case] = []
    for wanted in range(len(list(_pairs(MATRIX[0]))), 0, -1):
        for case in cases:
            new = left.intersection(_pairs(case))
            if len(new) >= wanted:
                found.append(case)
                left -= new
    assert not left
    return found
