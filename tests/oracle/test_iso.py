"""ISO images against their tools' own listings: isoinfo, xorriso, udfinfo."""

from __future__ import annotations

import itertools
import random
import re
from pathlib import Path
from typing import NamedTuple

import pytest

import imgtool
from imgtool.formats.iso.facts import IsoFacts
from tests.kit import need, no_bug, run

pytestmark = pytest.mark.oracle

ISOHDPFX = "/usr/lib/ISOLINUX/isohdpfx.bin"

#: Notes that images of real tools may have: of hybrids, and of appended partitions that Joliet's tree leaves out.
ALLOWED = {"ISO002", "ISO011"}

NAMES = ("-V", "Some Volume", "-volset", "set", "-publisher", "publisher", "-p", "preparer", "-A", "application")
BIOS = ("-b", "bios.img", "-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4")
FLOPPY = ("-b", "floppy.img", "-c", "boot.cat")
DISK = ("-b", "disk.img", "-c", "boot.cat", "-hard-disk-boot")
UEFI = ("-eltorito-alt-boot", "-e", "efi.img", "-no-emul-boot")


class Case(NamedTuple):
    """A program ("xorriso" or "genisoimage") and its options."""

    tool: str
    options: tuple[str, ...]

    def __str__(self) -> str:
        return "_".join((self.tool, *(option.strip("-").rpartition("/")[2] for option in self.options)))[:100]


def _cases() -> list[Case]:
    """Every combination of names, trees, boot images and hybrids that the two tools make."""
    trees = (
        (),
        ("-J",),
        ("-R",),
        ("-J", "-R"),
        ("-iso-level", "3", "-r"),
        ("-iso-level", "4", "-J"),
        ("-no-pad", "-R"),
    )
    cases = []
    boots: tuple[tuple[str, ...], ...] = ((), BIOS, FLOPPY, DISK, (*BIOS, *UEFI), (*UEFI[1:],))
    for tree, names, boot in itertools.product(trees, ((), NAMES), boots):
        cases.append(Case("xorriso", (*tree, *names, *boot)))
        if not set(UEFI) & set(boot) or boot == (*BIOS, *UEFI):
            cases.append(Case("genisoimage", (*tree, *names, *boot)))
    for tree in trees:
        cases.append(Case("genisoimage", (*tree, "-udf")))
        cases.append(Case("genisoimage", (*tree, "-udf", *BIOS)))
        hybrid = ("-isohybrid-mbr", ISOHDPFX, *BIOS, "-boot-info-table")
        cases.append(Case("xorriso", (*tree, *hybrid)))
        for marks in (("-isohybrid-gpt-basdat",), ("-isohybrid-gpt-basdat", "-isohybrid-apm-hfsplus")):
            cases.append(Case("xorriso", (*tree, *hybrid, *UEFI, *marks)))
        cases.append(Case("xorriso", (*tree, "--protective-msdos-label")))
        cases.append(Case("xorriso", (*tree, "-append_partition", "2", "0xef", "{tree}/efi.img")))
        appended = ("-append_partition", "2", "0xef", "{tree}/efi.img", "-appended_part_as_gpt")
        cases.append(Case("xorriso", (*tree, *appended, "-partition_offset", "16")))
    return cases


CASES = _cases()


def _tree(folder: Path) -> Path:
    tree = folder / "tree"
    (tree / "sub folder").mkdir(parents=True)
    (tree / "hello.txt").write_text("hello\n")
    (tree / "sub folder" / "A longer name than 8.3.text").write_text("x\n" * 5000)
    # xorriso takes an image for isolinux' by these four bytes at 64, and a boot information table
    (tree / "bios.img").write_bytes(b"\xeb\xfe".ljust(64, b"\0") + b"\xfb\xc0\x78\x70" + bytes(4028))
    (tree / "efi.img").write_bytes(b"\xeb\x3c\x90" + bytes(65533))
    (tree / "floppy.img").write_bytes(bytes(1440 * 1024))
    table = bytes(446) + bytes.fromhex("80010100060f3f00010000000f000000") + bytes(48) + b"\x55\xaa"
    (tree / "disk.img").write_bytes(table + bytes(512 * 15))
    return tree


def make(case: Case, folder: Path) -> Path:
    """The image of a case."""
    tree, path = _tree(folder), folder / "image.iso"
    options = [option.replace("{tree}", str(tree)) for option in case.options]
    head = (need("xorriso"), "-as", "mkisofs") if case.tool == "xorriso" else (need("genisoimage"),)
    run(*head, "-quiet", *options, "-o", str(path), str(tree))
    return path


def inspected(path: Path) -> tuple[imgtool.Report, IsoFacts]:
    """Report and facts of an image: no errors, and of this format's and the general rules only notes."""
    report = imgtool.inspect(path, checksums=())
    no_bug(report)
    assert report.format == "iso"
    assert isinstance(report.details, IsoFacts)
    ours = [finding for finding in report.findings if finding.code[:3] in ("ISO", "IMG")]
    assert not {finding.code for finding in ours} - ALLOWED, ours
    assert {finding.severity for finding in ours} <= {"note"}, ours
    assert not [finding for finding in report.findings if finding.severity == "error"]
    assert not report.broken
    assert not report.partial
    return report, report.details


def check_isoinfo(path: Path, facts: IsoFacts) -> None:
    """Everything that `isoinfo -d` says of the descriptors."""
    told = run(need("isoinfo"), "-d", "-i", str(path)).decode("latin-1")
    said = dict(re.findall(r"^\s*([A-Z][\w ]+?)(?: is)?: (.*)$", told, re.MULTILINE))
    for key, value in (
        ("System id", facts.system_id),
        ("Volume id", facts.volume_id),
        ("Volume set id", facts.volume_set_id),
        ("Publisher id", facts.publisher_id),
        ("Data preparer id", facts.preparer_id),
        ("Application id", facts.application_id),
        ("Copyright File id", facts.copyright_file),
        ("Volume set size", str(facts.volume_set_size)),
        ("Volume set sequence number", str(facts.volume_sequence_number)),
        ("Logical block size", str(facts.logical_block_size)),
        ("Volume size", str(facts.volume_space_size)),
    ):
        assert said[key].strip() == value, key
    level = re.search(r"Joliet with UCS level (\d) found", told)
    assert facts.joliet == (int(level[1]) if level else None)
    assert (facts.rock_ridge is not None) == ("Rock Ridge signatures version" in told)
    catalog = re.search(r"boot catalog is in sector (\d+)", told)
    assert (facts.el_torito.catalog_offset if facts.el_torito else None) == (
        int(catalog[1]) * 2048 if catalog else None
    )


def check_xorriso(path: Path, facts: IsoFacts) -> None:
    """Every boot image, and what the system area is, as xorriso reports them."""
    command = (need("xorriso"), "-indev", str(path), "-report_el_torito", "plain", "-report_system_area", "plain")
    told = run(*command).decode("latin-1")
    images = re.findall(
        r"^El Torito boot img :\s+\d+\s+(\S+)\s+([yn])\s+(\S+)\s+0x(\w+)\s+0x(\w+)\s+(\d+)\s+(\d+)",
        told,
        re.MULTILINE,
    )
    media = {"none": "no-emulation", "hd": "hard-disk", "fd1.2": "floppy-1.2M", "fd1.4": "floppy-1.44M"}
    wanted = [
        (platform.lower(), bootable == "y", media[emulation], int(segment, 16), int(kind, 16), int(count), int(lba))
        for platform, bootable, emulation, segment, kind, count, lba in images
    ]
    found = [
        (
            entry.platform,
            entry.bootable,
            entry.media,
            entry.load_segment,
            entry.system_type,
            entry.sector_count,
            entry.load_rba,
        )
        for entry in (facts.el_torito.entries if facts.el_torito else ())
    ]
    assert found == wanted
    summary = re.search(r"^System area summary: (.*)$", told, re.MULTILINE)
    words = set(summary[1].split()) if summary else set()
    contents = set(facts.system_area.contents)
    assert ("mbr" in contents) == ("MBR" in words)
    assert ("gpt" in contents) == ("GPT" in words)
    assert ("apm" in contents) == ("APM" in words)
    assert (facts.system_area.isohybrid == "isolinux") == ("isohybrid" in words)


def check_case(case: Case, folder: Path) -> None:
    """One image, all listings."""
    path = make(case, folder)
    report, facts = inspected(path)
    assert report.virtual_size == report.size == path.stat().st_size
    check_isoinfo(path, facts)
    check_xorriso(path, facts)
    assert facts.volume_size is not None
    assert facts.volume_size <= path.stat().st_size
    assert (facts.udf is not None) == ("-udf" in case.options)
    if facts.udf is not None:
        assert (facts.udf.revision, facts.udf.logical_volume_id) == ("1.02", facts.volume_id)
        assert not facts.udf.bad_tags


@pytest.mark.parametrize("case", random.Random(9660).sample(CASES, 24), ids=str)
def test_sample(case: Case, tmp_path: Path) -> None:
    """A seeded sample of the matrix."""
    check_case(case, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matrix(case: Case, tmp_path: Path) -> None:
    """Every case of the matrix."""
    check_case(case, tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        ("-hfsplus",),
        ("-mips-boot", "bios.img"),
        ("-iso-level", "2", "-joliet-long", "-J"),
    ],
    ids=str,
)
def test_other_options_of_xorriso(options: tuple[str, ...], tmp_path: Path) -> None:
    """What else xorriso writes has no error and nothing unknown."""
    inspected(make(Case("xorriso", options), tmp_path))


@pytest.mark.parametrize(
    "options",
    [
        ("-hfs",),
        ("-alpha-boot", "bios.img"),
        ("-mips-boot", "bios.img"),
        ("-r", "-z"),
        ("-ucs-level", "1", "-J"),
        ("-b", "bios.img", "-no-emul-boot", "-no-boot", "-c", "boot.cat"),
    ],
    ids=str,
)
def test_other_options_of_genisoimage(options: tuple[str, ...], tmp_path: Path) -> None:
    """What else genisoimage writes has no error and nothing unknown."""
    inspected(make(Case("genisoimage", options), tmp_path))


def test_two_sessions(tmp_path: Path) -> None:
    """An image that xorriso wrote in two sessions describes the whole."""
    tree, path = _tree(tmp_path), tmp_path / "image.iso"
    xorriso = need("xorriso")
    run(xorriso, "-outdev", str(path), "-map", str(tree), "/one", "-commit", "-map", str(tree), "/two", "-commit")
    _, facts = inspected(path)
    check_isoinfo(path, facts)


_UDF = [
    (media, block, revision)
    for media in ("hd", "dvd", "dvdram", "dvdrw", "dvdr", "cdr", "cdrw", "worm", "mo", "bdr")
    for block in (512, 1024, 2048, 4096, 8192, 16384, 32768)
    for revision in ("1.02", "1.50", "2.01", "2.50", "2.60")
]


def check_udf(media: str, block: int, revision: str, path: Path) -> bool:
    """One UDF volume against udfinfo; False where mkudffs makes no such volume."""
    import subprocess

    with open(path, "wb") as file:
        file.truncate(64 << 20)
    chosen = (f"--media-type={media}", f"--blocksize={block}", f"--udfrev={revision}", "--label=Ein Name ✓")
    if subprocess.run([need("mkudffs"), *chosen, str(path)], capture_output=True, check=False).returncode:
        return False
    report, facts = inspected(path)
    # udfinfo ends with 1 where a write-once volume has no allocation table yet
    listing = subprocess.run([need("udfinfo"), str(path)], capture_output=True, check=False).stdout.decode()
    told = dict(line.split("=", 1) for line in listing.splitlines() if "=" in line and not line.startswith("start="))
    assert facts.kind == "udf"
    assert facts.udf is not None
    assert facts.udf.sound_recognition
    assert not facts.udf.bad_tags
    assert report.label == told["label"] == told["lvid"] == facts.udf.logical_volume_id == "Ein Name ✓"
    assert facts.udf.volume_id == told["vid"]
    assert facts.udf.volume_set_id == told["fullvsid"]
    assert facts.udf.block_size == facts.udf.logical_block_size == int(told["blocksize"])
    # udfinfo's udfrev is what a reader must know, which 2.60 lowers to 2.50 where there is no need of more
    assert facts.udf.revision in (told["udfrev"], told["udfwriterev"])
    assert (facts.udf.application_id, facts.udf.implementation_id) == (told["appid"], told["impid"])
    anchors = [
        int(start) * block for start in re.findall(r"^start=(\d+), blocks=1, type=ANCHOR$", listing, re.MULTILINE)
    ]
    assert sorted(facts.udf.anchors) == anchors
    spaces = re.findall(r"^start=(\d+), blocks=(\d+), type=PSPACE$", listing, re.MULTILINE)
    assert [(part.offset, part.length) for part in facts.udf.partitions] == [
        (int(start) * block, int(blocks) * block) for start, blocks in spaces
    ]
    return True


@pytest.mark.parametrize(("media", "block", "revision"), random.Random(167).sample(_UDF, 20))
def test_udf_sample(media: str, block: int, revision: str, tmp_path: Path) -> None:
    """A seeded sample of media, block sizes and revisions."""
    check_udf(media, block, revision, tmp_path / "image.udf")


def test_udf_boot_areas(tmp_path: Path) -> None:
    """A hard disk's volume with an MBR in front says so."""
    path = tmp_path / "image.udf"
    with open(path, "wb") as file:
        file.truncate(16 << 20)
    run(need("mkudffs"), "--media-type=hd", "--blocksize=512", "--bootarea=mbr", str(path))
    _, facts = inspected(path)
    assert facts.system_area.contents == ("mbr",)


@pytest.mark.full
def test_udf_matrix(tmp_path: Path) -> None:
    """Every medium, block size and revision that mkudffs makes; it refuses about half of them."""
    made = [check_udf(*combination, tmp_path / "image.udf") for combination in _UDF]
    assert sum(made) > len(made) // 3
