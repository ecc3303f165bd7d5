"""qcow, version 1: facts against values known from its header."""

from __future__ import annotations

import struct

import pytest

from imgtool.formats.qcow.facts import QcowFacts
from tests.kit import codes, fixture, no_bug, report_of


def details(name: str) -> QcowFacts:
    """The facts of a fixture."""
    facts = report_of(fixture(name)).details
    assert isinstance(facts, QcowFacts)
    return facts


def test_plain() -> None:
    """Without a backing file qemu-img uses clusters of 4 KiB and L2 tables of 512 entries."""
    facts = details("qcow/plain.qcow")
    assert (facts.version, facts.cluster_size, facts.l2_bits, facts.virtual_size) == (1, 4096, 9, 1 << 20)
    assert (facts.l1_table_offset, facts.l1_size, facts.encryption) == (48, 1, "none")


def test_backing_file() -> None:
    """The name follows the header and is a reference."""
    report = report_of(fixture("qcow/backing.qcow"))
    assert report.references[0] == ("backing", "base.img", None, 48, 8)
    assert details("qcow/backing.qcow").cluster_size == 512


def test_aes() -> None:
    """Legacy AES is encryption, and an error."""
    report = report_of(fixture("qcow/aes.qcow"))
    assert report.encrypted
    assert codes(report) == {"QCW450"}


@pytest.mark.parametrize(("version", "form"), [(0, "qcow2"), (1, "qcow"), (2, "qcow2"), (3, "qcow2"), (4, "qcow2")])
def test_version_1_is_qcow_and_all_others_qcow2(version: int, form: str) -> None:
    """One magic, two formats: the version decides."""
    data = bytearray(fixture("qcow/plain.qcow"))
    struct.pack_into(">I", data, 4, version)
    report = report_of(bytes(data))
    no_bug(report)
    assert report.format == form
    assert [facet.name for facet in report.facets] == [form]


@pytest.mark.parametrize("size", [8, 47, 48, 55, 56, 560])
def test_cut(size: int) -> None:
    """Cut anywhere before the end of the L1 table it is a broken or truncated qcow, never raw."""
    report = report_of(fixture("qcow/plain.qcow")[:size])
    no_bug(report)
    assert report.format == "qcow"
    assert report.broken == (size < 48)
    assert report.virtual_size == (1 << 20 if size >= 48 else None)
    assert ("IMG002" in codes(report)) == (size < 56)


def test_l1_length_is_computed_without_limit() -> None:
    """The largest size and the smallest tables need more entries than a 64-bit table has bytes for."""
    facts = details("qcow/hostile-size-huge.qcow")
    assert facts.l1_size == 1 << 49
