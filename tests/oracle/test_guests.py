"""Looking inside: what is told of a guest's disk is the same in every format, in containers, and from a pipe."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

import imgtool
from tests.kit import codes, deriving, fixture, need, no_bug, qemu_create, report_of, run
from tests.oracle.disks_kit import convert
from tests.test_golden import plain, stream_of

pytestmark = pytest.mark.oracle

FORMS = (
    ("qcow2", ()),
    ("qcow2", ("cluster_size=512",)),
    ("qcow2", ("extended_l2=on",)),
    ("vmdk", ()),
    ("vmdk", ("subformat=streamOptimized",)),
    ("vdi", ()),
    ("vdi", ("static=on",)),
    ("vhdx", ()),
    ("vpc", ("force_size=on",)),
    ("vpc", ("subformat=fixed", "force_size=on")),
    ("parallels", ()),
    ("qed", ()),
    ("qcow", ()),
)

GUESTS = ("gpt", "mbr", "gpt-hybrid", "gpt-4096", "apm", "ext4", "fat32", "squashfs")

#: Rules over the whole file, which a container of it does not share.
WHOLE = ("IMG", "QCW", "VMD", "VHD", "VHX", "VDI", "PAR")


def inside(report: imgtool.Report) -> set[tuple[str, str]]:
    """Findings about what is inside."""
    return {(one.code, one.message) for one in report.findings if not one.code.startswith(WHOLE)}


@pytest.mark.parametrize("guest", GUESTS)
def test_the_same_in_every_format(tmp_path: Path, guest: str) -> None:
    """Partitions, file systems, boot facts, their findings, and the label."""
    raw = tmp_path / "x.raw"
    raw.write_bytes(fixture(f"volumes/{guest}.raw.gz"))
    expected = imgtool.inspect(raw, ())
    assert expected.volumes is not None
    assert expected.volumes.tables or expected.volumes.filesystems
    for form, options in FORMS:
        packed = ("-c",) if "subformat=streamOptimized" in options else ()
        path = convert(raw, "raw", tmp_path / f"x.{form}", form, *options, extra=packed)
        report = imgtool.inspect(path, ())
        no_bug(report)
        assert report.volumes == expected.volumes, (form, options)
        assert inside(report) == inside(expected), (form, options)
        assert report.label == expected.label
        assert "IMG007" not in codes(report)
        assert not report.partial
        assert imgtool.inspect(path, (), depth=0).volumes is None
        with open(path, "rb") as file:
            piped = plain(imgtool.inspect(stream_of(file.read()), ()))
        assert piped["volumes"] == plain(report)["volumes"], (form, options)


def test_compressed_and_wrapped(tmp_path: Path) -> None:
    """Compressed clusters; and a compressed file around them."""
    raw = tmp_path / "x.raw"
    raw.write_bytes(fixture("volumes/gpt.raw.gz"))
    expected = imgtool.inspect(raw, ())
    for option in ("compression_type=zlib", "compression_type=zstd"):
        path = convert(raw, "raw", tmp_path / "x.qcow2", "qcow2", option, extra=("-c",))
        assert imgtool.inspect(path, ()).volumes == expected.volumes
        (member,) = report_of(gzip.compress(path.read_bytes()), checksums=("sha256",)).members
        assert member.volumes == expected.volumes


def test_an_overlay_shows_its_own_part_only(tmp_path: Path) -> None:
    """What lies in the base is not looked for; the base itself is told of."""
    raw = tmp_path / "x.raw"
    raw.write_bytes(fixture("volumes/gpt.raw.gz"))
    base = convert(raw, "raw", tmp_path / "base.qcow2", "qcow2")
    top = qemu_create(tmp_path / "top.qcow2", "qcow2", None, "backing_file=base.qcow2,backing_fmt=qcow2")
    assert imgtool.inspect(base, ()).volumes == imgtool.inspect(raw, ()).volumes
    report = imgtool.inspect(top, ())
    assert report.volumes is None
    assert codes(report) == {"IMG101"}


def test_what_is_encrypted_is_not_looked_into(tmp_path: Path) -> None:
    """No key, no look."""
    secret = ("--object", "secret,id=s,data=x")
    options = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"
    place = (str(tmp_path / "x.qcow2"), "1M")
    done = deriving(need("qemu-img"), "create", "-q", "-f", "qcow2", *secret, "-o", options, *place)
    assert done.returncode == 0, done.stderr
    report = imgtool.inspect(tmp_path / "x.qcow2", ())
    assert report.encrypted
    assert report.volumes is None
    assert "IMG007" not in codes(report)


def test_far_places_of_a_stream(tmp_path: Path) -> None:
    """A GPT whose backup lies at the end of 1 TiB, behind more data than is kept of a stream."""
    raw = tmp_path / "x.raw"
    with open(raw, "wb") as file:
        file.truncate(1 << 40)
    run(need("sgdisk"), "-n", "1:2048:+100G", "-t", "1:8300", "-c", "1:far", str(raw))
    path = convert(raw, "raw", tmp_path / "x.qcow2", "qcow2")
    run(need("qemu-io"), "-f", "qcow2", "-c", "write -P 7 1G 24M", "-c", "write -P 7 500G 64k", str(path))
    whole = imgtool.inspect(path, ())
    assert whole.volumes is not None
    (partition,) = whole.volumes.tables[0].partitions
    assert (partition.start, partition.length, partition.name) == (1 << 20, 100 << 30, "far")
    with open(path, "rb") as file:
        piped = imgtool.inspect(stream_of(file.read()), ())
    first, second = plain(piped), plain(whole)
    assert first["volumes"] == second["volumes"]
    assert first["findings"] == second["findings"]


def test_a_table_that_lies_about_the_guest() -> None:
    """Sector 0 behind an entry that does not hold: a finding, and the facts of the header."""
    data = bytearray(fixture("qcow2/plain.qcow2"))
    table = int.from_bytes(data[40:48], "big")
    data[table : table + 8] = (0x8000_0000_0000_0001).to_bytes(8, "big")
    report = imgtool.inspect(io.BytesIO(bytes(data)), ())
    no_bug(report)
    assert report.virtual_size is not None
    assert report.volumes is None
    assert "IMG003" in codes(report)
