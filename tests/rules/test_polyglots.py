"""Content that is two things at once: every pair of formats, marks in every hiding place; and pairs that are fine."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

import imgtool
from fixtures.recipes import vhd
from imgtool.detect.registry import Signature
from imgtool.formats import FORMATS, RAW
from imgtool.volumes import TABLES
from tests.kit import fixture, no_bug
from tests.policy.kit import errors
from tests.policy.test_checks import SAMPLES
from tests.rules.disguises import vmdk

#: Fixtures with their own mark at the start and room for another one behind it.
BASES = (
    "qcow2/version2.qcow2",
    "qcow/plain.qcow",
    "qed/plain.qed.gz",
    "vhd/dynamic-exact.vhd",
    "vhdx/dynamic.vhdx.gz",
    "vmdk/monolithic-sparse.vmdk.gz",
    "vdi/dynamic.vdi",
    "parallels/plain.hds.gz",
    "luks/luks1.luks.gz",
    "iso/plain.iso.gz",
    "ova/small.ova.gz",
    "docker/save-modern.tar",
    "compressed/named.gzip",
    "ari/newc.cpio",
)

#: Marks that alone make no format: they are looked for behind a damaged header, and must hold themselves; a line that
#: a shell script may have.
WEAK = {b"SKUL\xba\xbe", b"head", b"#!/bin/sh\n#V"}


def verdict(data: bytes, **options: object) -> imgtool.Verdict:
    """The verdict of `default`, in which no guard caught anything."""
    told = imgtool.validate(io.BytesIO(data), **options)  # type: ignore[arg-type] # options of validate
    no_bug(told.report)
    return told


def marks() -> list[tuple[str, Signature]]:
    """Every mark of a disk format that is bytes at a place other than the very start."""
    return [
        (entry.name, signature)
        for entry in FORMATS
        for signature in entry.signatures
        if signature.magic not in {b"", *WEAK} and signature.offset != 0
    ]


def stamped(data: bytes, signature: Signature) -> bytes:
    """The data with a mark where it belongs; zeros where it has no such place."""
    size = len(data)
    if signature.offset < 0:
        data = data + bytes(-size % 512) + bytes(512)
        at = len(data) + signature.offset
    else:
        data = data.ljust(signature.offset + 4096, b"\0")
        at = signature.offset
    return data[:at] + signature.magic + data[at + len(signature.magic) :]


PAIRS = [(base, name, mark) for base in BASES for name, mark in marks() if name != base.partition("/")[0]]


@pytest.mark.parametrize(("base", "name", "signature"), PAIRS, ids=lambda value: str(value)[:40])
def test_a_second_mark(base: str, name: str, signature: Signature) -> None:
    """Any file with the mark of a second format is rejected, or so broken by it that it is for that."""
    told = verdict(stamped(fixture(base), signature))
    assert not told.accepted, (told.report.format, told.findings)


@pytest.mark.parametrize("entry", [entry for entry in FORMATS if entry is not RAW], ids=lambda entry: entry.name)
def test_a_mark_alone(entry: object) -> None:
    """A raw disk with the bare mark of a format is that format, broken, and never raw: whatever is claimed."""
    for signature in getattr(entry, "signatures", ()):
        if signature.magic not in {b"", *WEAK} and signature.probe is None:
            data = stamped(bytes(1 << 20), signature)
            told = verdict(data, disk_format="raw")
            assert not told.accepted, (signature, told.report.format)
            assert {"IMG010", "IMG004"} & set(errors(told))


@pytest.mark.parametrize("base", [name for name in BASES if name not in ("iso/plain.iso.gz",)])
def test_a_partition_table_in_a_header(base: str) -> None:
    """A file that its format's readers open, and that a reader of raw disks boots."""
    data = bytearray(fixture(base).ljust(4 << 20, b"\0"))
    slot = bytes.fromhex("80feffff83feffff0100000002000000")
    data[446:462], data[510:512] = slot, b"\x55\xaa"
    assert not verdict(bytes(data)).accepted


@pytest.mark.parametrize("head", ["# a note\n", "\n\n\n", "# x\r\n\r\n   \n", "#" * 500 + "\n", "\t \n"])
def test_a_descriptor_behind_comments(head: str) -> None:
    """Where a reader of VMDK descriptors finds one, imgtool does: in a raw disk, too, and whatever is claimed."""
    text = vmdk(extent=b"/etc/passwd", head=head.encode())
    for data in (text, text.ljust(1 << 20, b"\0")):
        told = verdict(data, disk_format="raw")
        assert told.report.format == "vmdk"
        assert {"IMG010", "IMG101", "IMG102"} <= set(errors(told))


def test_a_descriptor_in_an_iso() -> None:
    """The system area of an ISO image is free: what stands in it is found."""
    data = bytearray(fixture("iso/plain.iso.gz"))
    text = vmdk(extent=b"/etc/passwd")
    data[: len(text)] = text
    told = verdict(bytes(data))
    assert {"IMG001", "IMG101"} <= set(errors(told))


@pytest.mark.parametrize("size", [1 << 20, 34816])
@pytest.mark.parametrize("inner", ["qcow2/version2.qcow2", "vmdk/flat-descriptor.vmdk", "ova/small.ova.gz"])
def test_an_image_in_a_fixed_vhd(inner: str, size: int) -> None:
    """A fixed VHD begins with the guest's bytes: as a raw file they are another image."""
    data = fixture(inner).ljust(-(-max(size, len(fixture(inner))) // 512) * 512, b"\0")
    disk = vhd.Disk(2, len(data), b"win ", (65535, 16, 255), (1 << 64) - 1)
    told = verdict(data + vhd.footer(disk))
    assert "IMG001" in errors(told), told.findings


@pytest.mark.parametrize("comment", [b"", b"a comment", b"x" * 65_535])
@pytest.mark.parametrize("base", BASES[:9])
def test_an_archive_behind(base: str, comment: bytes) -> None:
    """A zip archive behind an image is found by its end, whatever its comment."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("disk.img", b"x" * 512)
        archive.comment = comment
    told = verdict(fixture(base) + packed.getvalue())
    assert "IMG001" in errors(told), told.findings


def test_an_image_inside_the_guest(tmp_path: Path) -> None:
    """The guest's first bytes are those of an image: a warning, since only a raw copy of it is in danger."""
    from tests.oracle.disks_kit import convert

    raw = tmp_path / "raw"
    raw.write_bytes(fixture("qcow2/version2.qcow2").ljust(1 << 20, b"\0"))
    for form in ("qcow2", "vmdk", "vdi", "vhdx", "qcow", "parallels"):
        told = imgtool.validate(convert(raw, "raw", tmp_path / form, form))
        found = {finding.code: finding.severity for finding in told.findings}
        assert found.get("IMG015") == "warning", form
        assert told.accepted or form == "qed"


@pytest.mark.parametrize(
    ("name", "facets"),
    [
        ("iso/isohybrid.iso.gz", {"iso", "mbr", "gpt"}),
        ("volumes/gpt-hybrid.raw.gz", {"gpt", "mbr", "raw"}),
        ("volumes/fat12.raw.gz", {"fat12", "raw"}),
        ("vhd/fixed.vhd.gz", {"vhd", "raw"}),
        ("aki/bzimage.img", {"aki"}),
    ],
)
def test_pairs_that_go_together(name: str, facets: set[str]) -> None:
    """Each thing that the content is, is told; none of it is an error."""
    told = verdict(fixture(name))
    assert facets <= {facet.name for facet in told.report.facets}
    assert told.accepted


def test_every_facet_is_told() -> None:
    """Never just one label: both names of a polyglot are among the facets."""
    told = verdict(fixture("compressed/polyglot-qcow2-zip.qcow2"))
    assert {"qcow2", "compressed"} <= {facet.name for facet in told.report.facets}
    assert {entry.name for entry in TABLES} == {"gpt", "mbr", "apm"}


CONTAINERS = ("bare", "ova", "ovf", "docker", "ami", "aki", "ari", "compressed")


@pytest.mark.parametrize("name", SAMPLES)
def test_wrong_containers_in_all_pairs(name: str) -> None:
    """A claimed container that is not there is an error, as a disk format is (see the tests of policies)."""
    actual = imgtool.inspect(io.BytesIO(fixture(name)), ()).container_format
    for claim in CONTAINERS:
        told = verdict(fixture(name), container_format=claim, policy="permissive")
        honest = claim == actual or (claim == "ami" and "ami" in told.report.disk_formats)
        assert ("IMG011" in errors(told)) != honest, (claim, actual)
        assert told.accepted or not honest or name.startswith("docker")
