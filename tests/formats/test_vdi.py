"""VDI: facts against values known from the headers' declaration."""

from __future__ import annotations

import struct

import pytest

from imgtool.formats.vdi.facts import OtherVdiFacts, VdiFacts
from tests.kit import codes, fixture, no_bug, report_of


def details(name: str) -> VdiFacts:
    """The facts of a fixture."""
    facts = report_of(fixture(name)).details
    assert isinstance(facts, VdiFacts)
    return facts


def test_dynamic() -> None:
    """qemu-img's dynamic image: a map of 1,024 entries after the header, no block yet."""
    facts = details("vdi/dynamic.vdi")
    assert (facts.image_type, facts.virtual_size, facts.cluster_size) == ("dynamic", 1 << 30, 1 << 20)
    assert (facts.map_offset, facts.data_offset) == (512, 512 + 1024 * 4)
    assert (facts.blocks, facts.blocks_allocated, facts.header_size) == (1024, 0, 0x180)
    assert facts.image_uuid
    assert facts.snapshot_uuid
    assert facts.link_uuid is facts.parent_uuid is None


def test_static_has_all_its_blocks() -> None:
    """A static image of 127 sectors has one block, allocated."""
    facts = details("vdi/static.vdi.gz")
    assert (facts.image_type, facts.virtual_size, facts.blocks, facts.blocks_allocated) == ("static", 65024, 1, 1)


def test_longer_header() -> None:
    """A header of 0x190 bytes adds a geometry; the comment is UTF-8."""
    facts = details("vdi/virtualbox.vdi.gz")
    assert facts.header_size == 0x190
    assert facts.geometry == (20, 4, 17, 512)
    assert facts.comment == "Böden & Keller"
    assert facts.creator == "Oracle VM VirtualBox Disk Image"


def test_uuids_are_mixed_endian() -> None:
    """The first three groups of a UUID are little-endian."""
    assert details("vdi/virtualbox.vdi.gz").image_uuid == "03020100-0504-0706-0809-0a0b0c0d0e0f"


def test_a_differencing_image_refers_to_its_parent() -> None:
    """Link and parent UUID are facts, the link is the reference."""
    report = report_of(fixture("vdi/differencing.vdi.gz"))
    (reference,) = report.references
    assert (reference.kind, reference.value) == ("parent", "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa")
    assert (reference.offset, reference.length) == (0x1A8, 16)
    assert isinstance(report.details, VdiFacts)
    assert report.details.parent_uuid == "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"


def test_another_version_is_broken() -> None:
    """Of version 0.2 only the version is told."""
    data = bytearray(fixture("vdi/dynamic.vdi"))
    struct.pack_into("<I", data, 0x44, 2)
    report = report_of(bytes(data))
    assert (report.format, report.broken, report.virtual_size) == ("vdi", True, None)
    assert isinstance(report.details, OtherVdiFacts)
    assert report.details.version == "0.2"


def test_a_damaged_signature_is_broken() -> None:
    """The line at the start tells of the format still; without a line there is none."""
    data = bytearray(fixture("vdi/dynamic.vdi"))
    data[0x40] ^= 1
    report = report_of(bytes(data))
    assert (report.format, report.broken, report.virtual_size) == ("vdi", True, None)
    assert report_of(bytes(64) + bytes(data[64:])).format == "raw"
    assert report_of(b"<<< ".ljust(len(data), b"\0")).format == "raw"


@pytest.mark.parametrize("size", [68, 71, 72, 455, 456, 511, 512, 4607, 4608])
def test_cut_dynamic(size: int) -> None:
    """Cut anywhere it is a broken or truncated VDI, and never raw; a map that is there in full is enough."""
    report = report_of(fixture("vdi/dynamic.vdi")[:size])
    no_bug(report)
    assert report.format == "vdi"
    assert report.broken == (size < 456)
    assert report.virtual_size == (1 << 30 if size >= 456 else None)
    assert ("IMG002" in codes(report)) == (size < 4608)


def test_a_last_block_may_be_short() -> None:
    """Of the last block only what the disk uses need be there."""
    data = fixture("vdi/static.vdi.gz")
    assert codes(report_of(data[: 1024 + 65024])) == set()
    assert "IMG002" in codes(report_of(data[: 1024 + 65023]))
