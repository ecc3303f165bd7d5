"""Parallels: facts against values known from its specification."""

from __future__ import annotations

import struct

import pytest

from imgtool.formats.parallels.facts import ParallelsFacts
from tests.kit import codes, fixture, no_bug, report_of


def details(data: bytes) -> ParallelsFacts:
    """The facts of an image."""
    facts = report_of(data).details
    assert isinstance(facts, ParallelsFacts)
    return facts


def test_plain() -> None:
    """qemu-img writes the second magic, and data from the first whole cluster on."""
    report = report_of(fixture("parallels/plain.hds.gz"))
    facts = details(fixture("parallels/plain.hds.gz"))
    assert (report.format, report.disk_formats, report.virtual_size) == ("parallels", ("ploop",), 1 << 20)
    assert (facts.extended, facts.cluster_size, facts.bat_entries, facts.data_offset) == (True, 4096, 256, 4096)
    assert facts.in_use == "not kept"


def test_old_magic_computes_the_data_offset() -> None:
    """Where the header gives none, data begin on the sector after the table; the mark says it was closed."""
    facts = details(fixture("parallels/old-magic.hds"))
    assert (facts.extended, facts.data_offset, facts.in_use) == (False, 512, "closed")


def test_old_magic_has_32_bits_of_size() -> None:
    """The upper half does not count, and is a warning."""
    data = bytearray(fixture("parallels/old-magic.hds"))
    data[40] = 1
    report = report_of(bytes(data))
    assert report.virtual_size == 4 * 4096
    assert codes(report) == {"PAR006"}


def test_format_extension() -> None:
    """Its checksum holds, the bitmap is listed, an unknown feature is named by its number."""
    extension = details(fixture("parallels/extension.hds")).extension
    assert extension is not None
    assert (extension.offset, extension.checksum_holds) == (4096, True)
    first, second = extension.features
    assert first.bitmap == ("00010203-0405-0607-0809-0a0b0c0d0e0f", 65536, 4096, 2)
    assert (second.name, second.flags, second.length) == ("unknown-0x0000000000001234", ("transit",), 3)


def test_a_feature_that_crosses_the_cluster() -> None:
    """It is named, and what follows is not read."""
    data = bytearray(fixture("parallels/extension.hds"))
    struct.pack_into("<I", data, 4120 + 16, 0xFFFFFFF0)
    report = report_of(bytes(data))
    no_bug(report)
    assert "IMG003" in codes(report)
    assert isinstance(report.details, ParallelsFacts)
    assert report.details.extension is not None
    assert report.details.extension.features == ()


@pytest.mark.parametrize("size", [16, 63, 64, 127, 128, 4096, 4119, 4120, 8191, 8192])
def test_cut(size: int) -> None:
    """Cut before the end of the table or in the extension it is broken or truncated, never raw."""
    report = report_of(fixture("parallels/extension.hds")[:size])
    no_bug(report)
    assert report.format == "parallels"
    assert report.broken == (size < 64)
    assert report.virtual_size == (65536 if size >= 64 else None)
    assert ("IMG002" in codes(report)) == (size < 8192)
