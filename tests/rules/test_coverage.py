"""Every row of the list of checks is seen by rules, or by tests that are named; every rule has page and samples."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from imgtool.findings.ledger import LEDGER
from imgtool.findings.pages import page
from tests.kit import ROOT, codes, deep_codes, fixture, images, manifest, patches, report_of
from tests.test_rules import ELSEWHERE, RAISED

FAMILIES = {line.code[:3] for line in LEDGER}

#: Of what no file alone has: a conversion and a catalog have tables of their own.
ROOMS = {"CNV", "CAT"}

#: What each image of its format has: its neighbours are of another one.
OF_ALL = {"QCW560"}


class Row(NamedTuple):
    """A row: the families it is of, its paragraph, its first words, the codes and tests that see it."""

    of: tuple[str, ...]
    under: str
    begins: str
    rules: tuple[str, ...]
    tests: tuple[str, ...]


@cache
def rows() -> tuple[Row, ...]:
    """tests/rules/coverage.toml."""
    with open(Path(__file__).with_name("coverage.toml"), "rb") as file:
        told = tomllib.load(file)["row"]
    return tuple(
        Row(
            tuple(row["of"].split(", ")),
            row.get("under", ""),
            row["begins"],
            tuple(row.get("rules", ())),
            tuple(row.get("tests", ())),
        )
        for row in told
    )


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.begins[:60])
def test_row(row: Row) -> None:
    """Something sees it. Its rules are in the ledger, have a page and a sample; its tests are there."""
    assert row.rules or row.tests
    assert set(row.of) <= FAMILIES
    assert len(set(row.rules)) == len(row.rules)
    places = {line.code: line.place for line in LEDGER}
    for code in row.rules:
        assert places.get(code), f"{code} is not in the ledger"
        told = page(code)
        assert told is not None
        assert told.cure
        assert code in raised() or code in ELSEWHERE, f"{code} has no sample"
    for test in row.tests:
        assert is_there(test), test


@cache
def raised() -> frozenset[str]:
    """The codes that samples of the manifest raise."""
    found = {code for patch in patches() for code in patch.raises}
    found |= {code for image in manifest()["image"] for key in RAISED for code in image.get(key, ())}
    return frozenset(found)


@cache
def is_there(test: str) -> bool:
    """True for "file::function" where the file has that function."""
    place, _, name = test.partition("::")
    path = ROOT / place
    return path.is_file() and re.search(rf"^def {re.escape(name)}\(", path.read_text(), re.MULTILINE) is not None


@pytest.mark.parametrize("test", sorted({place for place in ELSEWHERE.values() if "::" in place}))
def test_tests_named_for_rules_are_there(test: str) -> None:
    """What no file alone raises, a test that exists raises."""
    assert is_there(test)


def test_rows_are_quoted_once() -> None:
    """No row twice; each family that files have findings of has rows."""
    assert len({(row.of, row.under, row.begins) for row in rows()}) == len(rows())
    assert {family for row in rows() for family in row.of} == FAMILIES - ROOMS


def test_codes_are_of_the_rows_families() -> None:
    """A row's codes are of its own format, of any image's, or of what the row says of other formats."""
    for row in rows():
        if row.of == ("IMG",):
            continue
        foreign = {code for code in row.rules if code[:3] not in (*row.of, "IMG")}
        assert not foreign - {"OVA308", "ZIP007"}, row.begins


def test_every_sample_has_a_neighbour() -> None:
    """For each code that a fixture's own line raises, another fixture of its folder does not raise it."""
    told: dict[str, set[str]] = {}
    for name in images():
        entry = next(image for image in manifest()["image"] if image["file"] == name)
        told[name] = deep_codes(fixture(name)) if "deep" in entry else codes(report_of(fixture(name)))
    patched = {code for patch in patches() for code in patch.raises}
    for code in raised() - patched:
        holders = [name for name in images() if code in told[name]]
        assert holders, code
        folders = {name.partition("/")[0] for name in (images() if code in OF_ALL else holders)}
        assert any(name.partition("/")[0] in folders and code not in told[name] for name in images()), code
