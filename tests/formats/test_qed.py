"""QED: facts against values known from its specification."""

from __future__ import annotations

import pytest

from imgtool.formats.qed.facts import QedFacts
from tests.kit import codes, fixture, no_bug, report_of


def details(name: str) -> QedFacts:
    """The facts of a fixture."""
    facts = report_of(fixture(name)).details
    assert isinstance(facts, QedFacts)
    return facts


def test_plain() -> None:
    """Clusters of 4 KiB, tables of two, the L1 table after the header."""
    facts = details("qed/plain.qed.gz")
    assert (facts.cluster_size, facts.table_size, facts.header_size) == (4096, 2, 1)
    assert (facts.l1_table_offset, facts.virtual_size, facts.features) == (4096, 1 << 20, ())
    assert not facts.dirty


def test_raw_backing_file() -> None:
    """The name is a reference; its format is raw where it must not be probed."""
    report = report_of(fixture("qed/backing-raw.qed.gz"))
    (reference,) = report.references
    assert reference[:3] == ("backing", "base.img", "raw")
    assert details("qed/backing-raw.qed.gz").features == ("backing-file", "backing-format-no-probe")


def test_unknown_bits_are_named_by_number() -> None:
    """An unknown feature is shown as such; an unknown compatible one is no fault."""
    data = bytearray(fixture("qed/plain.qed.gz"))
    data[16 + 5] = 0x01
    data[24] = 0x02
    report = report_of(bytes(data))
    assert isinstance(report.details, QedFacts)
    assert report.details.features == ("unknown-40",)
    assert report.details.compat_features == ("unknown-1",)
    assert codes(report) == {"IMG007", "QCW063", "QCW560"}


@pytest.mark.parametrize("size", [4, 63, 64, 4095, 4096, 12287, 12288])
def test_cut(size: int) -> None:
    """Cut anywhere before the end of the L1 table it is a broken or truncated QED, never raw."""
    report = report_of(fixture("qed/plain.qed.gz")[:size])
    no_bug(report)
    assert report.format == "qed"
    assert report.broken == (size < 64)
    assert report.virtual_size == (1 << 20 if size >= 64 else None)
    assert ("IMG002" in codes(report)) == (size < 12288)
