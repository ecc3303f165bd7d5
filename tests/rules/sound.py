"""What real tools make, by family: every format × option as the oracle's tests have them. Sound images, and those
that are not, with the one code that each must raise."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.kit import fixture, need, qemu_create, run
from tests.oracle import (
    disks_kit,
    test_compressed,
    test_disk_qcow2,
    test_iso,
    test_ova,
    test_parallels,
    test_qcow,
    test_qcow2,
    test_qed,
    test_vdi,
    test_vhd,
    test_vhdx,
    test_vmdk,
    test_volumes,
)

MIB = 1 << 20


class Made(NamedTuple):
    """An image that a tool makes. `raises`: the code for which `default` rejects it, empty where it is sound.
    `warns`: warnings that it may have."""

    name: str
    make: Callable[[Path], Path]
    raises: str = ""
    warns: frozenset[str] = frozenset()


def qcow2() -> Iterator[Made]:
    """Every pair of creation options, empty."""
    for case in dict.fromkeys((*test_qcow2.singly(), *test_qcow2.paired())):
        raises = {"aes": "QCW401", "luks": "IMG401"}.get(case.encryption, "")
        if case.backing != "none" or case.data_file != "none":
            raises = "IMG101"
        yield Made("-".join(case), partial(test_qcow2.make, case), raises)


def qcow2_filled() -> Iterator[Made]:
    """Every pair of options that changes what is in the clusters: written to, packed, resized, with snapshots."""
    for case in dict.fromkeys((*test_disk_qcow2.singly(), *test_disk_qcow2.paired())):
        raises = "IMG101" if case.backing != "none" or case.data_file != "none" else ""
        warns = frozenset({"QCW030"} if case.snapshots == "yes" else ())
        yield Made(test_disk_qcow2.name(case), partial(test_disk_qcow2.made, case), raises, warns)


def _extended_version_2(folder: Path) -> Path:
    """A version 2 image with header extensions, as some tools write them: unknown ones, then their end."""
    path = qemu_create(folder / "x", "qcow2", "1M", "compat=0.10")
    with path.open("r+b") as file:
        file.seek(72)
        file.write(struct.pack(">II8sII", 0x12345678, 5, b"hello", 0, 0))
    return path


def _bitmaps(folder: Path) -> Path:
    path = qemu_create(folder / "x", "qcow2", "3M")
    for name in ("first", "second"):
        run(need("qemu-img"), "bitmap", "--add", str(path), name)
    run(need("qemu-io"), "-f", "qcow2", "-c", "write -P 3 0 1M", str(path))
    return path


def qcow2_rare() -> Iterator[Made]:
    """What no option of qemu-img's gives."""
    yield Made("version 2 with extensions", _extended_version_2)
    yield Made("bitmaps", _bitmaps)
    for name in ("partitions-zstd.qcow2.gz", "extensions.qcow2.gz", "extended-l2-zstd.qcow2.gz"):
        yield Made(name, partial(_fixture, f"qcow2/{name}"))


def _fixture(name: str, folder: Path) -> Path:
    path = folder / "image"
    path.write_bytes(fixture(name))
    return path


def _created(form: str, size: int | str, options: tuple[str, ...], folder: Path) -> Path:
    return qemu_create(folder / f"image.{form}", form, size, *options)


def _filled(form: str, size: int, options: tuple[str, ...], folder: Path) -> Path:
    path = _created(form, size, options, folder)
    return disks_kit.scribble(path, form, options, count=16, align=512) if size >= 512 else path


def _converted(form: str, options: tuple[str, ...], folder: Path) -> Path:
    raw = folder / "source.raw"
    raw.write_bytes(b"text of a guest\n" * 40_000 + bytes(700_000) + bytes(range(256)) * 300)
    return disks_kit.convert(raw, "raw", folder / f"image.{form}", form, *options)


def _aes(folder: Path) -> Path:
    return qemu_create(folder / "x", "qcow", MIB, *test_qcow.AES, extra=test_qcow.SECRET)


def qcow() -> Iterator[Made]:
    """Version 1."""
    for size in test_qcow.SIZES:
        yield Made(f"{size}", partial(_created, "qcow", size, ()))
    yield Made("converted", partial(_converted, "qcow", ()))
    yield Made("written", partial(_filled, "qcow", 3 * MIB, ()))
    yield Made("aes", _aes, "QCW450")


def qed() -> Iterator[Made]:
    """No cloud serves it."""
    for cluster, table, wanted in test_qed.MATRIX:
        options = (f"cluster_size={cluster}", f"table_size={table}")
        size = min(wanted, test_qed.most(cluster, table))
        warns = frozenset({"QCW560"})
        yield Made(f"{cluster}-{table}-{size}", partial(_created, "qed", size, options), "IMG013", warns)


def vmdk() -> Iterator[Made]:
    """Every subformat × option × size; the stream of qemu-img has no footer."""
    for case in test_vmdk.cases():
        warns = frozenset({"VMD501"} if case.subformat == "streamOptimized" else ())
        raises = "" if case.subformat in ("monolithicSparse", "streamOptimized") else "IMG101"
        yield Made("-".join(map(str, case)), partial(_created, "vmdk", case.size, case.options()), raises, warns)
    for subformat, zeroed in itertools.product(test_vmdk.SUBFORMATS, ("on", "off")):
        options = (f"subformat={subformat}", f"zeroed_grain={zeroed}")
        if "Flat" in subformat and zeroed == "on":
            continue
        warns = frozenset({"VMD501"} if subformat == "streamOptimized" else ())
        raises = "" if subformat in ("monolithicSparse", "streamOptimized") else "IMG101"
        yield Made(f"converted-{subformat}-{zeroed}", partial(_converted, "vmdk", options), raises, warns)
        if subformat != "streamOptimized":
            yield Made(f"written-{subformat}-{zeroed}", partial(_filled, "vmdk", 5 * MIB, options), raises, warns)
    yield Made("footer", partial(_fixture, "vmdk/stream-footer.vmdk.gz"))
    yield Made("lone extent", partial(_fixture, "vmdk/split-sparse-extent.vmdk.gz"), "VMD009")


def vhd() -> Iterator[Made]:
    """Every subformat × size, and written to."""
    for subformat, force, size in test_vhd.MATRIX:
        options = (f"subformat={subformat}", f"force_size={force}")
        yield Made(f"{subformat}-{force}-{size}", partial(_created, "vpc", size, options))
        if size == 10_000_000:
            yield Made(f"written-{subformat}-{force}", partial(_filled, "vpc", size // 512 * 512, options))
            yield Made(f"converted-{subformat}-{force}", partial(_converted, "vpc", options))


def vhdx() -> Iterator[Made]:
    """Every option together, and written to."""
    for subformat, block, log, zero, size in test_vhdx.MATRIX:
        state = f"block_state_zero={zero}"
        options = (f"subformat={subformat}", f"block_size={block}M", f"log_size={log}M", state)
        name = f"{subformat}-{block}-{log}-{zero}-{size}"
        yield Made(name, partial(_created, "vhdx", size, options))
        if log == 1 and block in (1, 8) and size == 1000:
            yield Made(f"written-{name}", partial(_filled, "vhdx", 9 * MIB, options))
            yield Made(f"converted-{name}", partial(_converted, "vhdx", options))


def vdi() -> Iterator[Made]:
    """Dynamic and static."""
    for size, static in itertools.product(test_vdi.SIZES, ("on", "off")):
        if static == "on" and size > 1 << 30:
            continue
        yield Made(f"{static}-{size}", partial(_created, "vdi", size, (f"static={static}",)))
        if size < 1 << 30:
            yield Made(f"written-{static}-{size}", partial(_filled, "vdi", size, (f"static={static}",)))
    yield Made("converted", partial(_converted, "vdi", ()))


def parallels() -> Iterator[Made]:
    """Clusters × sizes, and written to."""
    for cluster, size in itertools.product(test_parallels.CLUSTERS, test_parallels.SIZES):
        if size // cluster > 1 << 21:
            continue
        options = (f"cluster_size={cluster}",)
        yield Made(f"{cluster}-{size}", partial(_created, "parallels", size, options))
        if size == 1 << 20:
            yield Made(f"written-{cluster}", partial(_filled, "parallels", size, options))
            yield Made(f"converted-{cluster}", partial(_converted, "parallels", options))


def _luks(cipher: str, folder: Path) -> Path:
    from tests.oracle.test_luks import qemu_luks

    assert qemu_luks(folder / "x", MIB, cipher_alg=cipher)
    return folder / "x"


def _luks2(kind: str, folder: Path) -> Path:
    from tests.oracle.test_luks import QUICK, formatted

    return formatted(folder / "x", kind, *QUICK)


def luks() -> Iterator[Made]:
    """Nobody sees what is inside."""
    yield Made("qemu", partial(_luks, "aes-256"), "IMG401")
    yield Made("luks1", partial(_luks2, "luks1"), "IMG401")
    yield Made("luks2", partial(_luks2, "luks2"), "IMG401")


def iso() -> Iterator[Made]:
    """Every combination of trees, names, boot images and hybrids that xorriso and genisoimage make."""
    for case in test_iso.CASES:
        yield Made(str(case), partial(test_iso.make, case))


def _system(program: str, options: tuple[str, ...], size: int, folder: Path) -> Path:
    path = test_volumes.sparse(folder / "image", size)
    test_volumes.tool(program, *(option.replace("{}", str(path)) for option in options))
    return path


def _in_partition(label: str, program: str, options: tuple[str, ...], size: int, folder: Path) -> Path:
    system = _system(program, options, size, folder)
    disk = test_volumes.sparse(folder / "disk", size + 4 * MIB)
    test_volumes.tool("sfdisk", "-q", str(disk), stdin=f"label: {label}\nstart=2048, size={size // 512}\n")
    test_volumes.lay(system, disk)
    return disk


def filesystems() -> Iterator[Made]:
    """File systems without a partition table, and in a partition of either table."""
    for number, (program, options, size, kind, _) in enumerate(test_volumes.MKFS):
        yield Made(f"{kind}-{number}", partial(_system, program, options, size))
        for label in ("gpt", "dos"):
            place = partial(_in_partition, label, program, options, size)
            yield Made(f"{kind}-{number}-{label}", place)
    yield Made("zoo", partial(_fixture, "volumes/zoo.raw.gz"))


def _sfdisk(script: str, size: int, folder: Path) -> Path:
    path = test_volumes.sparse(folder / "disk", size)
    test_volumes.tool("sfdisk", "-q", "--no-reread", str(path), stdin=script)
    return path


def _sgdisk(options: tuple[str, ...], size: int, folder: Path) -> Path:
    path = test_volumes.sparse(folder / "disk", size)
    test_volumes.tool("sgdisk", *options, str(path))
    return path


#: Formats and options that a partitioned disk is converted to.
AROUND: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("qcow2", ("cluster_size=512",)),
    ("qcow2", ()),
    ("vpc", ("force_size=on", "subformat=fixed")),
    ("vpc", ("force_size=on",)),
    ("vmdk", ()),
    ("vdi", ()),
    ("vdi", ("static=on",)),
    ("vhdx", ()),
    ("parallels", ("cluster_size=4096",)),
    ("qcow", ()),
)


def _wrapped(make: Callable[[Path], Path], form: str, options: tuple[str, ...], folder: Path) -> Path:
    return disks_kit.convert(make(folder), "raw", folder / "wrapped", form, *options)


def tables() -> Iterator[Made]:
    """Partition tables of sfdisk and sgdisk, bare and inside formats."""
    for (name, script), size in itertools.product(test_volumes.SCRIPTS.items(), (32 * MIB, 1 << 40)):
        yield Made(f"sfdisk-{name}-{size}", partial(_sfdisk, script, size))
    for (name, (options, warns)), size in itertools.product(test_volumes.SGDISK.items(), (32 * MIB, 3 << 40)):
        yield Made(f"sgdisk-{name}-{size}", partial(_sgdisk, options, size), "", warns)
    for (form, options), script in itertools.product(AROUND, ("gpt-named", "dos-logical")):
        bare = partial(_sfdisk, test_volumes.SCRIPTS[script], 32 * MIB)
        yield Made(f"{form}-{'-'.join(options)}-{script}", partial(_wrapped, bare, form, options))


def _packed(command: str, folder: Path) -> Path:
    source = _fixture("qcow2/version2.qcow2", folder)
    if "x.zip" in command:
        run("sh", "-c", f"cd '{folder}' && {command} {source.name}")
        return folder / "x.zip"
    path = folder / "packed"
    path.write_bytes(run(*command.split(), str(source)))
    return path


def wrappers() -> Iterator[Made]:
    """Compressors and archivers with each of their options."""
    for command in (*test_compressed.SINGLE, *test_compressed.ZIP, *test_compressed.SEVEN):
        yield Made(command, partial(_packed, command))


def _ova(form: str, row: tuple[str, str, tuple[str, ...], str], folder: Path) -> Path:
    from fixtures.recipes.ova import descriptor

    qemu, _, options, uri = row
    disk = qemu_create(folder / "disk.img", qemu, 3 * MIB, *options)
    file = f'<File ovf:href="disk.img" ovf:id="f" ovf:size="{disk.stat().st_size}"/>'
    place = '<Disk ovf:capacity="3" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk1" ovf:fileRef="f" '
    (folder / "x.ovf").write_text(descriptor(file, f'{place} ovf:format="{uri}"/>'))
    run(need("tar"), f"--format={form}", "-cf", str(folder / "x.ova"), "-C", str(folder), "x.ovf", "disk.img")
    return folder / "x.ova"


def appliances() -> Iterator[Made]:
    """OVAs of every disk format, in each format of GNU tar."""
    for form, row in itertools.product(("gnu", "ustar", "posix"), test_ova.DISKS):
        warns = frozenset({"VMD501"} if "streamOptimized" in str(row) else ())
        yield Made(f"{form}-{row[0]}-{'-'.join(row[2])}", partial(_ova, form, row), "", warns)


FAMILIES: dict[str, Callable[[], Iterator[Made]]] = {
    family.__name__: family
    for family in (
        *(qcow2, qcow2_filled, qcow2_rare, qcow, qed, vmdk, vhd, vhdx, vdi, parallels, luks, iso),
        *(filesystems, tables, wrappers, appliances),
    )
}
