"""qcow, version 1, and QED, the deep check: totals, and what each wrong entry is called."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from imgtool.inspection.deep import check
from imgtool.limits import DEFAULT
from imgtool.model.tables import Check
from tests.kit import check_of, deep_codes, fixture

QED = "qed/clusters.qed.gz"
QCOW = "qcow/compressed.qcow"


def edited(name: str, at: int, text: str) -> bytes:
    """A fixture with bytes changed."""
    data = bytearray(fixture(name))
    data[at : at + len(text) // 2] = bytes.fromhex(text)
    return bytes(data)


def new(name: str, data: bytes) -> set[str]:
    """Codes of the format that the fixture itself does not raise."""
    found = deep_codes(data) - deep_codes(fixture(name))
    return {code for code in found if code.startswith("QCW")}


def messages(result: Check, code: str) -> list[str]:
    """What a rule says."""
    return [finding.message for finding in result.findings if finding.code == code]


def test_totals() -> None:
    """Nine clusters of data in QED; three of data and two compressed ones in qcow."""
    totals = check_of(fixture(QED)).totals
    assert totals is not None
    assert (totals.total_clusters, totals.allocated_clusters, totals.leaks) == (1280, 9, 0)
    assert (totals.image_end_offset, totals.corruptions, totals.check_errors) == (65536, 0, 0)
    totals = check_of(fixture(QCOW)).totals
    assert totals is not None
    assert (totals.allocated_clusters, totals.compressed_clusters) == (5, 2)
    assert (totals.image_end_offset, totals.corruptions, totals.check_errors) == (24598, 0, 0)


@pytest.mark.parametrize(
    ("at", "text", "expected"),
    [
        (32768, "0000000000000000", {"QCW360"}),  # nothing refers to 0x3000 any more
        (32768, "0100000000000000", {"QCW360"}),
        (32768, "0200000000000000", {"QCW069", "QCW360"}),
        (32768, "0010000000000000", {"QCW070", "QCW360"}),  # the L1 table
        (32768, "0080000000000000", {"QCW070", "QCW360"}),  # the L2 table itself
        (32768, "0000000000000080", {"QCW069", "QCW360"}),
        (4096, "0008000000000000", {"QCW069", "QCW360"}),
        (4104, "0080000000000000", {"QCW070", "QCW360"}),
        (4104, "00f0000000000000", {"QCW069", "QCW360"}),  # of two clusters the second is past the end
    ],
)
def test_qed(at: int, text: str, expected: set[str]) -> None:
    """One entry changed."""
    assert new(QED, edited(QED, at, text)) == expected


def test_qed_that_needs_a_check() -> None:
    """Its leaks are no news; what lies on something is."""
    data = bytearray(edited(QED, 32768, "0000000000000000"))
    data[16] |= 2
    assert new(QED, bytes(data)) == {"QCW068"}


@pytest.mark.parametrize(
    ("at", "text", "expected"),
    [
        (4104, "0000000000000000", set()),  # nothing counts what is lost
        (4104, "0000000000003001", {"QCW056"}),
        (4104, "0000000000000030", {"QCW056"}),
        (4104, "0000000000006200", {"QCW057"}),
        (4104, "0000000000001000", {"QCW058"}),  # the L2 table itself
        (4104, "0000000000002800", {"QCW058"}),  # into the cluster before
        (48, "0000000000000010", {"QCW056"}),
        (48, "0000000000100000", {"QCW057"}),
        (4120, "8000000000004000", {"QCW056"}),  # no length
        (4120, "80a8000000004000", {"QCW350"}),  # a byte less
        (4120, "80b0000000004ff0", {"QCW058", "QCW350"}),  # into the cluster behind
    ],
)
def test_qcow(at: int, text: str, expected: set[str]) -> None:
    """One entry changed."""
    assert new(QCOW, edited(QCOW, at, text)) == expected


def test_what_lies_on_what_is_named() -> None:
    """The guest's cluster and the table."""
    said = messages(check_of(edited(QED, 32768, "0010000000000000")), "QCW070")
    assert said == ["cluster 0 of the guest lies on the L1 table (1 clusters are used more than once)"]
    said = messages(check_of(edited(QCOW, 4104, "0000000000001000")), "QCW058")
    assert said == ["cluster 1 of the guest lies on an L2 table (1 such places)"]


def test_inflating_stops_at_its_cap() -> None:
    """A note says how many were inflated."""
    result = check(io.BytesIO(fixture(QCOW)), limits=DEFAULT._replace(table_inflated=64 * 1024))
    assert messages(result, "QCW351") == ["1 of 2 compressed clusters were inflated"]


def test_tables_in_holes(tmp_path: Path) -> None:
    """2^20 tables of 128 KiB that a file of 2 TiB has only holes for are not read."""
    head = struct.pack("<4sIIIQQQQQII", b"QED\0", 65_536, 2, 1, 0, 0, 0, 65_536, 1 << 30, 0, 0)
    entries = b"".join(struct.pack("<Q", number * 131_072 + (1 << 20)) for number in range(16_384))
    path = tmp_path / "a.qed"
    with open(path, "wb") as file:
        file.truncate(2 << 40)
        file.write(head)
        file.seek(65_536)
        file.write(entries)
    totals = check(path).totals
    assert totals is not None
    assert (totals.allocated_clusters, totals.corruptions) == (0, 0)
    assert totals.leaks == (2 << 40) // 65_536 - 3 - 2 * 16_384
