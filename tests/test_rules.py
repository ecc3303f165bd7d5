"""The rules: each is in the ledger, has a page, a sample that raises it and one close by that does not."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest

from imgtool.catalog import checks as of_catalogs
from imgtool.catalog import instance_checks as of_instances
from imgtool.containers import CONTAINERS
from imgtool.conversion import checks as of_conversions
from imgtool.detect.match import resolve
from imgtool.findings.core import Rule
from imgtool.findings.ledger import LEDGER
from imgtool.findings.ledger.published import Published
from imgtool.formats import FORMATS
from imgtool.inspection.checks import general
from imgtool.policy import checks as by_policy
from imgtool.volumes import VOLUMES
from tests.kit import Patch, codes, deep_codes, fixture, images, manifest, no_bug, patched, patches, report_of

#: Rules that no file alone can raise; each is raised by the test named here.
ELSEWHERE = {
    "IMG006": "tests/test_inspect.py::test_a_change_while_reading_is_found",
    "IMG007": "tests/test_streams.py::test_what_was_not_kept_is_named",
    **dict.fromkeys(
        (
            *("IMG010", "IMG011", "IMG012", "IMG013", "IMG014", "IMG203", "IMG204", "IMG205", "IMG206", "IMG207"),
            *("IMG302", "IMG401", "IMG501", "IMG502", "VMD502"),
        ),
        "tests/policy/test_checks.py",
    ),
    **{rule.code: "tests/conversion/test_checks.py" for rule in of_conversions.RULES},
    **{rule.code: "tests/catalog/test_checks.py" for rule in of_catalogs.RULES},
    **{rule.code: "tests/catalog/test_instance_upkeep.py" for rule in of_instances.RULES},
    "IMG103": "tests/test_validate.py::test_followed_references_must_hold",
    "IMG202": "tests/test_inspect.py::test_depth_is_told",
    "IMG301": "tests/test_inspect.py::test_expected_digest",
    "IMG901": "tests/test_inspect.py::test_a_failing_reader_is_a_finding",
    "IMG902": "tests/test_inspect.py::test_a_failing_rule_is_a_finding",
    "VHD202": "tests/oracle/test_check_vhd.py::test_the_cap_of_entries_is_told",
    "OVF301": "tests/containers/test_beside.py::test_a_file_of_another_size",
    "OVF302": "tests/containers/test_beside.py::test_a_file_that_is_not_there",
    "OVF303": "tests/containers/test_beside.py::test_a_changed_file",
    "OVF304": "tests/containers/test_beside.py::test_a_weak_manifest",
    "AMI302": "tests/containers/test_beside.py::test_a_changed_part",
    "AMI303": "tests/containers/test_beside.py::test_a_part_that_is_not_there",
    "AMI304": "tests/containers/test_beside.py::test_parts_of_another_size",
}

#: What an image's line in the manifest lists of codes: errors and warnings, notes, those of the deep check alone.
RAISED = ("codes", "notes", "deep")


def rule_of(published: Published) -> Rule[object]:
    """The rule at the ledger's place."""
    module, _, name = published.place.partition(":")
    found = getattr(import_module(module), name)
    assert isinstance(found, Rule)
    return found


@pytest.mark.parametrize("published", LEDGER, ids=lambda line: line.code)
def test_ledger_line(published: Published) -> None:
    """Code, name and place agree with the rule; the page has its parts."""
    rule = rule_of(published)
    assert (rule.code, rule.name) == (published.code, published.name)
    assert re.fullmatch(r"[A-Z]{3}\d{3}", rule.code)
    for part in ("What it checks:", "Why it matters:", "What to do:"):
        assert part in rule.page, f"{rule.code}: no {part!r}"


def test_codes_and_names_are_unique_and_complete() -> None:
    """No code or name twice; every rule that a registry runs is in the ledger."""
    assert len({line.code for line in LEDGER}) == len(LEDGER)
    assert len({line.name for line in LEDGER}) == len(LEDGER)
    own = (general.RULES, by_policy.RULES, of_conversions.RULES, of_catalogs.RULES, of_instances.RULES)
    run: set[Rule[Any]] = {rule for rules in own for rule in rules}
    for entry in (*FORMATS, *CONTAINERS, *VOLUMES):
        for place in (entry.checks, entry.table_checks):
            run |= set(resolve(place)) if place else set()
    assert {rule.code for rule in run} <= {line.code for line in LEDGER}


def test_registry_places_resolve() -> None:
    """Every "module:function" of the registries names something."""
    for entry in (*FORMATS, *CONTAINERS, *VOLUMES):
        places = (entry.reader, entry.checks, entry.disk, entry.tables, entry.table_checks)
        for place in (*places, *(signature.probe for signature in entry.signatures)):
            assert place is None or resolve(place) is not None
        assert (entry.tables is None) == (entry.table_checks is None)


@pytest.mark.parametrize("patch", patches(), ids=lambda patch: patch.name)
def test_patched_sample(patch: Patch) -> None:
    """The patched fixture raises its codes; the fixture itself raises none of them."""
    if patch.deep:
        assert set(patch.raises) <= deep_codes(patched(patch))
        assert not set(patch.raises) & deep_codes(fixture(patch.base))
        return
    report = report_of(patched(patch))
    no_bug(report)
    assert set(patch.raises) <= codes(report)
    assert not set(patch.raises) & codes(report_of(fixture(patch.base)))


def test_every_rule_has_a_sample() -> None:
    """Each code is raised by a patch, by a fixture's line in the manifest, or by a named test."""
    raised = {code for patch in patches() for code in patch.raises}
    raised |= {code for image in manifest()["image"] for key in RAISED for code in image.get(key, ())}
    missing = {line.code for line in LEDGER if line.place} - raised - set(ELSEWHERE)
    assert not missing


@pytest.mark.parametrize("name", images())
def test_notes_of_the_manifest(name: str) -> None:
    """Notes that a fixture is listed for are raised by it, and what only the deep check tells by that."""
    entry = next(image for image in manifest()["image"] if image["file"] == name)
    assert set(entry.get("notes", ())) <= codes(report_of(fixture(name)))
    if "deep" in entry:
        assert set(entry["deep"]) <= deep_codes(fixture(name))
