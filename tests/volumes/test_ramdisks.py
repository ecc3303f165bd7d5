"""Initial ramdisks: every cpio format, chains, and packed ones."""

from __future__ import annotations

import pytest

import imgtool
from imgtool.limits import DEFAULT
from imgtool.volumes.ramdisks.facts import RamdiskFacts
from tests.kit import codes, fixture, no_bug, report_of

NAMES = ("bin", "bin/sh", "etc", "etc/hostname", "init")


def facts(report: imgtool.Report) -> RamdiskFacts:
    """The facts of a ramdisk."""
    assert isinstance(report.details, RamdiskFacts)
    return report.details


@pytest.mark.parametrize("form", ["newc", "crc", "odc", "binary"])
def test_cpio_formats(form: str) -> None:
    """The entries are those that were packed."""
    report = report_of(fixture(f"ari/{form}.cpio"))
    assert (report.format, report.container_format, report.virtual_size) == ("ari", "ari", None)
    told = facts(report)
    assert (told.names, told.entries, told.complete, told.compression) == (NAMES, 5, True, "none")
    assert [part.kind for part in told.segments] == [form]
    assert report.findings == ()


def test_microcode_before_the_main_part() -> None:
    """The early archive names the makers of processors; the main part is told by its compression."""
    told = facts(report_of(fixture("ari/microcode-zstd.img")))
    assert told.microcode == ("AuthenticAMD", "GenuineIntel")
    assert told.compression == "zstd"
    assert [(part.kind, part.offset, part.holds) for part in told.segments] == [
        ("newc", 0, "cpio"),
        ("zstd", 3072, "cpio"),
    ]
    told = facts(report_of(fixture("ari/microcode-plain.img")))
    assert (told.compression, told.entries, len(told.segments)) == ("none", 10, 2)


@pytest.mark.parametrize("name", ["packed.gzip", "packed.xz", "packed.lz4", "packed.lzma", "packed.bz2"])
def test_packed(name: str) -> None:
    """A compressed cpio is ari in ari."""
    report = report_of(fixture(f"ari/{name}"))
    assert (report.format, report.container_format, report.virtual_size) == ("ari", "ari", None)
    assert facts(report.members[0]).names == NAMES
    assert report.findings == ()


def test_uimage() -> None:
    """A uImage of type ramdisk is ari, not aki."""
    report = report_of(fixture("ari/ramdisk.uimage"))
    assert report.format == "ari"
    assert [facet.name for facet in report.facets] == ["ari"]
    assert facts(report).compression == "gzip"


@pytest.mark.parametrize("name", ["newc.cpio", "crc.cpio", "odc.cpio", "binary.cpio"])
def test_truncated(name: str) -> None:
    """Cut before its trailer at any place: a finding, and still ari."""
    data = fixture(f"ari/{name}")
    trailer = data.index(b"TRAILER!!!")
    for cut in range(7, trailer, 13):
        report = report_of(data[:cut])
        no_bug(report)
        binary = name == "binary.cpio" and cut < 32  # its mark is only believed with a name behind it
        assert binary or (report.format == "ari" and codes(report) & {"IMG002", "IMG004"})


def test_entries_are_capped() -> None:
    """No more entries than the cap are walked, and the report says that there may be more."""
    report = report_of(fixture("ari/newc.cpio"), limits=DEFAULT._replace(ramdisk_entries=3))
    assert (facts(report).entries, facts(report).complete) == (3, False)


def test_hexadecimal_is_strict() -> None:
    """Signs, blanks and underscores, which int() takes, are no digits of a header."""
    data = bytearray(fixture("ari/newc.cpio"))
    data[94:102] = b"     +04"
    report = report_of(bytes(data))
    assert {"IMG003", "IMG004"} <= codes(report)
