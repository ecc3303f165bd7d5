"""dmg, bochs, cloop, asif: facts known from the makers and the notes on the formats."""

from __future__ import annotations

import struct

import pytest

from imgtool.formats.asif.facts import AsifFacts
from imgtool.formats.bochs.facts import BochsFacts
from imgtool.formats.cloop.facts import CloopFacts
from imgtool.formats.dmg.facts import DmgFacts
from tests.kit import codes, fixture, no_bug, report_of


def test_dmg_trailer() -> None:
    """Version 4, a property list before the trailer, the size of the disk in sectors."""
    data = fixture("dmg/zlib.dmg")
    report = report_of(data)
    assert (report.format, report.container_format, report.virtual_size) == ("dmg", "bare", 64 * 512)
    facts = report.details
    assert isinstance(facts, DmgFacts)
    assert (facts.kind, facts.version, facts.flags, facts.variant) == ("udif", 4, ("flattened",), "device")
    assert facts.plist is not None
    assert data[facts.plist.offset :].startswith(b"<?xml")
    assert facts.plist.offset + facts.plist.length == len(data) - 512
    assert facts.data_checksum_type == "crc32"
    assert not report.findings


def test_dmg_cut_is_undetectable() -> None:
    """Without its trailer a dmg bears no mark: it is raw. A trailer alone still tells the size."""
    data = fixture("dmg/zlib.dmg")
    assert report_of(data[:-1]).format == "raw"
    alone = report_of(data[-512:])
    assert (alone.format, alone.virtual_size) == ("dmg", 64 * 512)
    assert "OTH002" in codes(alone)


def test_encrypted_dmg() -> None:
    """An encrypted image says so, and that its size is not known; a cut header is a broken dmg."""
    data = fixture("dmg/encrypted.dmg.gz")
    report = report_of(data)
    assert (report.format, report.encrypted, report.virtual_size) == ("dmg", True, None)
    assert isinstance(report.details, DmgFacts)
    assert report.details.encryption is not None
    assert (report.details.encryption.key_bits, report.details.encryption.data_size) == (256, 8192)
    cut = report_of(data[:60])
    assert (cut.format, cut.broken) == ("dmg", True)
    older = report_of(bytes(4096) + b"cdsaencr")
    assert (older.format, older.encrypted) == ("dmg", True)
    assert "OTH401" in codes(older)


def test_bochs_versions() -> None:
    """Version 2 by bximage (10 MB as cylinders of 16 heads, 63 sectors), version 1 with its size at 84."""
    growing = report_of(fixture("bochs/growing.bochs"))
    assert (growing.format, growing.virtual_size) == ("bochs", 20 * 16 * 63 * 512)
    assert isinstance(growing.details, BochsFacts)
    assert (growing.details.version, growing.details.subtype) == ("2", "Growing")
    assert (growing.details.catalog, growing.details.extent_size) == (1024, 16384)
    first = report_of(fixture("bochs/version-1.bochs"))
    assert first.virtual_size == 1 << 20
    assert not growing.findings
    assert not first.findings


@pytest.mark.parametrize("cut", [22, 83, 84, 95])
def test_bochs_cut_in_its_header(cut: int) -> None:
    """Cut within its header it is a broken bochs disk."""
    report = report_of(fixture("bochs/growing.bochs")[:cut])
    assert (report.format, report.broken) == ("bochs", True)


def test_bochs_cut_behind_its_header() -> None:
    """Cut within its catalog the disk's size is still the header's."""
    report = report_of(fixture("bochs/growing.bochs")[:600])
    assert report.virtual_size == 10321920
    assert "OTH023" in codes(report)


def test_cloop() -> None:
    """Blocks of 64 KiB by default; data behind the table, to the end of the file."""
    data = fixture("cloop/plain.cloop")
    report = report_of(data)
    assert (report.format, report.virtual_size) == ("cloop", 1 << 20)
    facts = report.details
    assert isinstance(facts, CloopFacts)
    assert (facts.version, facts.block_size, facts.num_blocks) == ("2.0", 65536, 16)
    assert (facts.data_offset, facts.data_end) == (136 + 17 * 8, len(data))
    assert not report.findings


def test_cloop_cut() -> None:
    """Cut in its header: broken. Cut in its table or data: truncated, the size still the header's."""
    data = fixture("cloop/plain.cloop")
    for cut in (128, 135):
        assert report_of(data[:cut]).broken
    for cut in (136, 200, 272, 1000):
        report = report_of(data[:cut])
        assert report.virtual_size == 1 << 20
        assert codes(report) & {"IMG002", "OTH043"}


def test_a_shell_script_is_no_cloop() -> None:
    """A script whose comment begins like cloop's is raw."""
    report = report_of(b"#!/bin/sh\n#Version of the day\necho hello\n".ljust(4096, b"\n"))
    assert report.format == "raw"


def test_asif() -> None:
    """The disk that the notes show: 1 GB, chunks of 1 MiB, room to grow to 4 PiB."""
    report = report_of(fixture("asif/blank.asif.gz"))
    assert (report.format, report.virtual_size) == ("asif", 1_000_000_000)
    facts = report.details
    assert isinstance(facts, AsifFacts)
    assert (facts.chunk_size, facts.block_size, facts.max_size) == (1 << 20, 512, 4 << 50)
    assert [entry.sequence for entry in facts.directories] == [1, 2]
    assert not report.findings


def test_asif_cut() -> None:
    """Cut in its header it is broken; behind it the size is still the header's."""
    data = fixture("asif/blank.asif.gz")
    for cut in (8, 100, 107):
        assert report_of(data[:cut]).broken
    assert report_of(data[:108]).virtual_size == 1_000_000_000


@pytest.mark.parametrize("name", ["bochs/growing.bochs", "cloop/plain.cloop", "dmg/zlib.dmg", "asif/blank.asif.gz"])
def test_every_number_at_its_extremes(name: str) -> None:
    """Each word of each header as 0, all ones, and the sign bit: a report each time."""
    data = fixture(name)
    start, length = (len(data) - 512, 512) if name.startswith("dmg") else (0, 144)
    for at in range(start, start + length, 4):
        for value in (0, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFF):
            changed = bytearray(data)
            struct.pack_into(">I", changed, at, value)
            no_bug(report_of(bytes(changed)))
