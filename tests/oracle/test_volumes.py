"""Partition tables against sfdisk, sgdisk and fdisk; file systems against blkid and what mkfs was asked for."""

from __future__ import annotations

import json
import os
import random
import re
from pathlib import Path

import pytest

import imgtool
from imgtool.model.volumes import FileSystem, PartitionTable
from tests.kit import faults, fixture, need, no_bug, run

pytestmark = pytest.mark.oracle

K, M, G = 1024, 1024**2, 1024**3
UUID = "3e6be9de-8139-4c49-9106-a43f08d823a6"

#: blkid's names where they are not ours.
TYPES = {
    "vfat": ("fat12", "fat16", "fat32"),
    "crypto_LUKS": ("luks",),
    "LVM2_member": ("lvm2",),
    "hfsplus": ("hfs+",),
    "zfs_member": ("zfs",),
    "linux_raid_member": ("mdraid",),
    "BitLocker": ("bitlocker",),
}


def sparse(path: Path, size: int) -> Path:
    """A file of `size` bytes without data."""
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def lay(part: Path, disk: Path) -> None:
    """Copy the data of `part` into `disk` from 1 MiB on, holes left as they are."""
    with open(part, "rb") as source, open(disk, "r+b") as target:
        position = 0
        while True:
            try:
                position = os.lseek(source.fileno(), position, os.SEEK_DATA)
            except OSError:
                return
            end = os.lseek(source.fileno(), position, os.SEEK_HOLE)
            target.seek(M + position)
            source.seek(position)
            target.write(source.read(end - position))
            position = end


def tool(name: str, *arguments: str, stdin: str | None = None) -> str:
    """What a program prints."""
    return run(need(name), *arguments, stdin=stdin.encode() if stdin is not None else None).decode()


def blkid(path: Path, *extra: str) -> dict[str, str]:
    """What blkid's low-level probe says."""
    lines = tool("blkid", "-p", "-o", "export", *extra, str(path)).splitlines()
    return {key: re.sub(r"\\(.)", r"\1", value) for key, _, value in (line.partition("=") for line in lines)}


def volumes_of(path: Path, allowed: frozenset[str] = frozenset()) -> imgtool.Report:
    """The report of an image that the tools themselves made: no bug, no faults but those allowed."""
    report = imgtool.inspect(path, checksums=())
    no_bug(report)
    assert faults(report) <= allowed, report.findings
    assert report.volumes is not None
    return report


def agrees(system: FileSystem, told: dict[str, str]) -> None:
    """Kind, label, UUID and version are blkid's."""
    assert system.kind in TYPES.get(told["TYPE"], (told["TYPE"],))
    # blkid writes bytes that are not ASCII as M-x
    if all(part not in told.get("LABEL", "") for part in ("M-", "^")):
        assert (system.label or "") == told.get("LABEL", "")
    if system.kind != "bitlocker":
        assert (system.uuid or "") == told.get("UUID", "")
    if told["TYPE"] == "vfat":
        assert system.kind == told["VERSION"].lower()
    elif "VERSION" in told and system.kind not in ("hfs+", "reiserfs"):
        assert system.version == told["VERSION"]


#: Program, options ("{}" is the file), bytes of the file, our name, bytes of a block.
MKFS: list[tuple[str, tuple[str, ...], int, str, int | None]] = [
    ("mkfs.ext2", ("-q", "-L", "two", "-U", UUID, "{}"), 8 * M, "ext2", 1024),
    ("mkfs.ext3", ("-q", "-L", "three", "{}"), 16 * M, "ext3", 1024),
    ("mkfs.ext4", ("-q", "-L", "four", "-b", "4096", "{}"), 32 * M, "ext4", 4096),
    ("mkfs.ext4", ("-q", "-b", "2048", "-O", "^metadata_csum,^64bit", "{}"), 32 * M, "ext4", 2048),
    ("mkfs.ext4", ("-q", "-O", "^has_journal", "{}"), 32 * M, "ext4", 1024),
    ("mkfs.ext4", ("-q", "-O", "bigalloc,inline_data,casefold", "{}"), 600 * M, "ext4", 4096),
    ("mkfs.ext4", ("-q", "-E", "lazy_itable_init=1", "-N", "64", "-J", "size=4", "{}"), 1024 * G, "ext4", 4096),
    ("mke2fs", ("-q", "-O", "journal_dev", "{}"), 8 * M, "jbd", 1024),
    ("mkfs.xfs", ("-q", "-L", "xfs label", "-m", f"uuid={UUID}", "{}"), 320 * M, "xfs", 4096),
    ("mkfs.xfs", ("-q", "-m", "crc=0", "{}"), 320 * M, "xfs", 4096),
    ("mkfs.xfs", ("-q", "-b", "size=1024", "-s", "size=512", "{}"), 320 * M, "xfs", 1024),
    ("mkfs.xfs", ("-q", "-s", "size=4096", "{}"), 1024 * G, "xfs", 4096),
    ("mkfs.btrfs", ("-q", "-L", "butter", "-U", UUID, "{}"), 128 * M, "btrfs", 4096),
    ("mkfs.btrfs", ("-q", "--mixed", "{}"), 64 * M, "btrfs", 4096),
    ("mkfs.btrfs", ("-q", "--csum", "xxhash", "{}"), 128 * M, "btrfs", 4096),
    ("mkfs.f2fs", ("-q", "-l", "flash", "{}"), 64 * M, "f2fs", 4096),
    ("mkfs.f2fs", ("-q", "-O", "extra_attr,sb_checksum", "{}"), 128 * M, "f2fs", 4096),
    ("mkntfs", ("-F", "-q", "-Q", "-L", "nt label", "{}"), 16 * M, "ntfs", 4096),
    ("mkntfs", ("-F", "-q", "-Q", "-c", "512", "{}"), 16 * M, "ntfs", 512),
    ("mkntfs", ("-F", "-q", "-Q", "-c", "65536", "-s", "1024", "{}"), 64 * M, "ntfs", 65536),
    ("mkntfs", ("-F", "-q", "-Q", "-c", "1048576", "{}"), 64 * M, "ntfs", 1048576),
    ("mkntfs", ("-F", "-q", "-Q", "-s", "4096", "{}"), 64 * M, "ntfs", 4096),
    ("mkfs.exfat", ("-L", "ex label", "{}"), 16 * M, "exfat", 4096),
    ("mkfs.exfat", ("-c", "128K", "{}"), 256 * M, "exfat", 131072),
    ("mkfs.fat", ("-F12", "-n", "TWELVE", "{}"), 2 * M, "fat12", 2048),
    ("mkfs.fat", ("-F12", "-S4096", "{}"), 4 * M, "fat12", None),
    ("mkfs.fat", ("-F16", "-n", "SIXTEEN", "-i", "DEADBEEF", "{}"), 32 * M, "fat16", 2048),
    ("mkfs.fat", ("-F32", "-n", "THIRTY TWO", "{}"), 64 * M, "fat32", 512),
    ("mkfs.fat", ("-F32", "-s8", "-f1", "-R64", "{}"), 600 * M, "fat32", 4096),
    ("mkfs.fat", ("{}",), 1440 * K, "fat12", 512),
    ("mkfs.fat", ("-a", "-s1", "-F16", "{}"), 4 * M, "fat16", 512),
    ("mkswap", ("-L", "swappy", "-U", UUID, "{}"), M, "swap", 4096),
    ("mkswap", ("-p", "65536", "{}"), 4 * M, "swap", 65536),
    ("mkswap", ("-p", "16384", "{}"), 4 * M, "swap", 16384),
    ("mkudffs", ("--label=disc", "-b", "2048", "{}"), 8 * M, "udf", 2048),
    ("mkudffs", ("--label=disc", "-b", "512", f"--uuid={UUID.replace('-', '')[:16]}", "{}"), 8 * M, "udf", 512),
    ("mkudffs", ("--utf8", "--label=Größe ✓", "-b", "4096", "{}"), 16 * M, "udf", 4096),
    ("mkfs.minix", ("-1", "{}"), M, "minix", 1024),
    ("mkfs.minix", ("-2", "-n", "14", "{}"), M, "minix", 1024),
    ("mkfs.minix", ("-3", "{}"), M, "minix", 1024),
]  # fmt: skip


def _sample(cases: list[tuple[str, tuple[str, ...], int, str, int | None]]) -> list[object]:
    """One case of each kind, seeded, runs by default; the others are in the full run."""
    chosen: dict[str, int] = {}
    for index in random.Random(2).sample(range(len(cases)), len(cases)):
        chosen.setdefault(cases[index][3], index)
    return [
        pytest.param(
            *case,
            id=f"{case[3]}-{index}",
            marks=[] if index in chosen.values() and case[2] <= G else [pytest.mark.full],
        )
        for index, case in enumerate(cases)
    ]


@pytest.mark.parametrize(("program", "options", "size", "kind", "block"), _sample(MKFS))
def test_filesystem(
    tmp_path: Path, program: str, options: tuple[str, ...], size: int, kind: str, block: int | None
) -> None:
    """A file system alone, and the same in a partition: as blkid has it, of the size it was made for."""
    path = sparse(tmp_path / "image", size)
    tool(program, *(option.replace("{}", str(path)) for option in options))
    told = blkid(path)
    if kind != "udf":  # a UDF as a whole is the format iso
        report = volumes_of(path)
        assert report.volumes is not None
        (system,) = report.volumes.filesystems
        check(system, told, kind, size, block)
    disk = sparse(tmp_path / "disk", size + 4 * M)
    tool("sfdisk", "-q", str(disk), stdin=f"label: gpt\nstart=2048, size={size // 512}\n")
    lay(path, disk)
    report = volumes_of(disk)
    assert report.volumes is not None
    inside = report.volumes.tables[0].partitions[0].filesystem
    assert inside is not None
    check(inside, told, kind, size, block)


def check(system: FileSystem, told: dict[str, str], kind: str, size: int, block: int | None) -> None:
    """A file system against blkid and what was asked for: its size is the room it had, less a tail."""
    agrees(system, told)
    assert system.kind == kind
    if block is not None:
        assert system.block_size == block
    assert system.size is not None
    assert size - max(8 * M, size // 64) <= system.size <= size
    if kind in ("ext2", "ext3", "ext4", "xfs", "btrfs", "exfat", "swap"):
        assert system.size == size


PACKED: list[tuple[str, tuple[str, ...], str]] = [
    ("mksquashfs", ("[]", "{}", "-quiet", "-comp", comp), "squashfs") for comp in ("gzip", "xz", "zstd", "lz4", "lzo")
]  # fmt: skip
PACKED += [
    ("mkfs.erofs", ("{}", "[]"), "erofs"),
    ("mkfs.erofs", ("-zlz4hc", "-U", UUID, "{}", "[]"), "erofs"),
    ("mkfs.cramfs", ("-n", "crammed", "[]", "{}"), "cramfs"),
]


@pytest.mark.parametrize(("program", "options", "kind"), PACKED)
def test_packed_filesystem(tmp_path: Path, program: str, options: tuple[str, ...], kind: str) -> None:
    """Read-only file systems: as blkid has them, with every compression."""
    path, tree = tmp_path / "image", tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(bytes(100_000))
    tool(program, *(option.replace("{}", str(path)).replace("[]", str(tree)) for option in options))
    report = volumes_of(path)
    assert report.volumes is not None
    (system,) = report.volumes.filesystems
    agrees(system, blkid(path))
    assert system.kind == kind
    assert system.size is not None
    assert 0 < system.size <= path.stat().st_size


@pytest.mark.parametrize(("version", "extra"), [("luks1", ()), ("luks2", ("--label", "lock label"))])
def test_luks_in_a_partition(tmp_path: Path, version: str, extra: tuple[str, ...]) -> None:
    """A LUKS volume inside a partition is named with UUID and label."""
    path, disk = sparse(tmp_path / "luks", 20 * M), sparse(tmp_path / "disk", 24 * M)
    fast = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
    tool("cryptsetup", "luksFormat", "-q", "--type", version, *fast, *extra, str(path), "-", stdin="pass")
    tool("sfdisk", "-q", str(disk), stdin=f"label: gpt\nstart=2048, size={20 * M // 512}\n")
    lay(path, disk)
    report = volumes_of(disk)
    assert report.volumes is not None
    system = report.volumes.tables[0].partitions[0].filesystem
    assert system is not None
    agrees(system, blkid(path))


def test_superblocks_from_their_specifications(tmp_path: Path) -> None:
    """blkid names what the collection's partitions are, with the same label and UUID."""
    disk = tmp_path / "zoo"
    disk.write_bytes(fixture("volumes/zoo.raw.gz"))
    report = volumes_of(disk)
    assert report.volumes is not None
    seen = set()
    for partition in report.volumes.tables[0].partitions:
        # this blkid is older than bcachefs' present magic, and wants a whole BitLocker volume
        if partition.name in ("bcachefs", "bitlocker"):
            continue
        assert partition.filesystem is not None
        path = sparse(tmp_path / "one", 64 * M)  # blkid wants some room behind a superblock
        with open(path, "r+b") as file:
            file.write(fixture("volumes/zoo.raw.gz")[partition.start : partition.start + partition.length])
        agrees(partition.filesystem, blkid(path))
        seen.add(partition.name)
    assert len(seen) == 10


def table_of(path: Path, allowed: frozenset[str] = frozenset()) -> PartitionTable:
    """The first table of an image."""
    report = volumes_of(path, allowed)
    assert report.volumes is not None
    return report.volumes.tables[0]


def same_as_sfdisk(path: Path, table: PartitionTable) -> None:
    """Every partition is sfdisk's: start, size, type, UUID, name, flags."""
    told = json.loads(tool("sfdisk", "--json", str(path)))["partitiontable"]
    assert {"dos": "mbr"}.get(told["label"], told["label"]) == table.kind
    assert (table.id or "0x00000000") == told["id"].lower()
    assert len(table.partitions) == len(told["partitions"])
    ours = {partition.number: partition for partition in table.partitions}
    for theirs in told["partitions"]:
        partition = ours[int(re.sub(r".*?(\d+)$", r"\1", theirs["node"]))]
        assert partition.start == theirs["start"] * 512
        assert partition.length == theirs["size"] * 512
        if table.kind == "gpt":
            assert partition.type == theirs["type"].lower()
            assert partition.uuid == theirs["uuid"].lower()
            assert (partition.name or "") == theirs.get("name", "")
        else:
            assert partition.type == f"0x{int(theirs['type'], 16):02x}"
            assert ("boot" in partition.flags) == theirs.get("bootable", False)


SCRIPTS: dict[str, str] = {
    "dos-one": "label: dos\n,,83,*\n",
    "dos-four": "label: dos\nlabel-id: 0xdeadbeef\n,4M,b\n,4M,7\n,4M,82\n,,83\n",
    "dos-logical": "label: dos\n,4M,83\n,,5\n,2M,83\n,2M,82\n,2M,83,*\n,,8e\n",
    "dos-lba-extended": "label: dos\n,4M,c\n,,f\n,1M,83\n,,7\n",
    "dos-no-gap": "label: dos\nstart=1,size=100,type=83\nstart=101,size=100,type=83\n",
    "dos-logical-deleted": "label: dos\n,,5\n" + ",1M,83\n" * 12,
    "gpt-one": "label: gpt\n,,L\n",
    "gpt-named": 'label: gpt\nsize=4M,type=U,name="EFI"\nsize=4M,type=S\ntype=L,name="Größe und ✓ mit 36 Zeichen"\n',
    "gpt-attributes": 'label: gpt\nsize=4M,attrs="RequiredPartition LegacyBIOSBootable GUID:48,60,63"\n',
    "gpt-128": "label: gpt\ngrain: 4096\n" + "size=64K\n" * 128,
    "gpt-long-table": "label: gpt\ntable-length: 512\n,4M\n,4M\n",
    "gpt-short-table": "label: gpt\ntable-length: 4\n,4M\n",
    "gpt-gaps": "label: gpt\n3:start=8192,size=100\n7:start=4096,size=100\n",
    "gpt-first-lba": "label: gpt\nfirst-lba: 34\nstart=34,size=64\n",
}


def _matrix(names: list[str], sizes: list[int], step: int = 1) -> list[object]:
    """Every `step`-th name with one size, taking turns; the other pairs are in the full run."""
    return [
        pytest.param(
            name,
            size,
            id=f"{name}-{size}",
            marks=[] if column == row % len(sizes) and row % step == 0 else [pytest.mark.full],
        )
        for row, name in enumerate(names)
        for column, size in enumerate(sizes)
    ]


@pytest.mark.parametrize(
    ("script", "size"), _matrix(list(SCRIPTS), [32 * M, 32 * M + 512 * 7, 1024 * G, 7 * 1024 * G])
)
def test_sfdisk(tmp_path: Path, script: str, size: int) -> None:
    """Every table that sfdisk lays is listed as sfdisk lists it, without a fault."""
    text = SCRIPTS[script]
    if size > 2 * 1024 * G and text.startswith("label: dos"):
        text = text.replace("\n,,5", "\n,2G,5").replace("\n,,f", "\n,3G,f").replace(",,", ",1G,")
    path = sparse(tmp_path / "disk", size)
    tool("sfdisk", "-q", "--no-reread", str(path), stdin=text)
    same_as_sfdisk(path, table_of(path))


SGDISK: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "plain": (("-n", "1:0:+4M", "-n", "2:0:0"), frozenset()),
    "aligned-1": (("-a", "1", "-n", "1:34:100", "-n", "5:101:200"), frozenset()),
    "long-table": (("-S", "1024", "-n", "1:0:+1M"), frozenset()),
    "short-table": (("-S", "4", "-n", "1:0:+1M"), frozenset()),
    "moved-table": (("-j", "2048", "-n", "1:4096:+1M"), frozenset()),
    "attributes": (("-n", "1:0:+1M", "-A", "1:set:2", "-A", "1:set:63"), frozenset()),
    "hybrid": (("-n", "1:0:+1M", "-n", "2:0:+1M", "-h", "1:2"), frozenset({"PRT010"})),
    "hybrid-last": (("-n", "1:0:+1M", "-n", "2:0:+1M", "-h", "2:EE"), frozenset({"PRT010"})),
}


@pytest.mark.parametrize(("case", "size"), _matrix(list(SGDISK), [32 * M, 33 * M + 512, 3 * 1024 * G], step=3))
def test_sgdisk(tmp_path: Path, case: str, size: int) -> None:
    """Every table that sgdisk lays is listed as sgdisk lists it, hybrids with their warning."""
    options, allowed = SGDISK[case]
    path = sparse(tmp_path / "disk", size)
    tool("sgdisk", *options, str(path))
    table = table_of(path, allowed)
    lines = re.findall(r"^ +(\d+) +(\d+) +(\d+) ", tool("sgdisk", "-p", str(path)), re.MULTILINE)
    assert lines
    assert [
        (str(p.number), str(p.start // 512), str((p.start + p.length) // 512 - 1)) for p in table.partitions
    ] == lines
    assert table.hybrid == case.startswith("hybrid")


@pytest.mark.parametrize("label", ["g", "o"])
def test_4096_byte_sectors(tmp_path: Path, label: str) -> None:
    """Tables of fdisk for sectors of 4,096 bytes, with a file system in the first partition."""
    path, system = sparse(tmp_path / "disk", 64 * M), sparse(tmp_path / "ext4", 8 * M)
    primary = "p\n" if label == "o" else ""
    text = f"{label}\nn\n{primary}1\n256\n+8M\nn\n{primary}2\n\n+8M\nw\n"
    tool("fdisk", "-b", "4096", str(path), stdin=text)
    tool("mkfs.ext4", "-q", str(system))
    lay(system, path)
    table = table_of(path)
    assert table.sector_size == 4096
    assert table.partitions[0].start == M
    told = re.findall(r"^\S+[12] +(\d+) +(\d+) ", tool("fdisk", "-b", "4096", "-l", str(path)), re.MULTILINE)
    assert [(str(p.start // 4096), str((p.start + p.length) // 4096 - 1)) for p in table.partitions] == told
    assert table.partitions[0].filesystem is not None


def test_resized_images(tmp_path: Path) -> None:
    """An enlarged image has its backup not at the end, a shrunk one none; sgdisk -e cures the first."""
    path = sparse(tmp_path / "disk", 32 * M)
    tool("sgdisk", "-n", "1:0:+1M", str(path))
    with open(path, "r+b") as file:
        file.truncate(40 * M)
    table_of(path, frozenset({"PRT007"}))
    assert faults(imgtool.inspect(path, checksums=())) == {"PRT007"}
    tool("sgdisk", "-e", str(path))
    table_of(path)
    with open(path, "r+b") as file:
        file.truncate(30 * M)
    assert faults(imgtool.inspect(path, checksums=())) == {"PRT005"}


def test_isohybrid(tmp_path: Path) -> None:
    """A hybrid ISO image: tables named, nothing of them more than a note."""
    tree, path = tmp_path / "tree", tmp_path / "image.iso"
    (tree / "isolinux").mkdir(parents=True)
    for part in ("isolinux.bin", "isohdpfx.bin"):
        (tree / "isolinux" / part).write_bytes(Path("/usr/lib/ISOLINUX", part).read_bytes())
    efi = sparse(tree / "efi.img", 2880 * K)
    tool("mkfs.fat", "-F12", str(efi))
    tool(
        "xorriso", "-as", "mkisofs", "-quiet", "-o", str(path), "-isohybrid-mbr", "/usr/lib/ISOLINUX/isohdpfx.bin",
        "-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4",
        "-boot-info-table", "-eltorito-alt-boot", "-e", "efi.img", "-no-emul-boot", "-isohybrid-gpt-basdat",
        "-isohybrid-apm-hfsplus", str(tree),
    )  # fmt: skip
    report = volumes_of(path)
    assert report.format == "iso"
    assert report.disk_formats == ("iso", "raw")
    assert {"iso", "gpt", "mbr"} <= {facet.name for facet in report.facets}
    assert report.volumes is not None
    assert report.volumes.boot is not None
    assert (report.volumes.boot.bios, report.volumes.boot.efi) == (True, True)
    assert report.volumes.boot.loader == "isolinux"


def test_a_hybrid_image_is_one_in_every_disk(tmp_path: Path) -> None:
    """A hybrid ISO image converted to a disk format: its tables overlap by design there, too."""
    raw = tmp_path / "hybrid.iso"
    raw.write_bytes(fixture("iso/isohybrid.iso.gz"))
    for form, options in (("qcow2", ()), ("vdi", ()), ("vpc", ("-o", "subformat=fixed,force_size=on"))):
        path = tmp_path / f"image.{form}"
        run(need("qemu-img"), "convert", "-f", "raw", "-O", form, *options, str(raw), str(path))
        report = imgtool.inspect(path, checksums=())
        no_bug(report)
        assert faults(report) == set(), (form, report.findings)
