"""JUnit: a standard reader loads it, rejected files have failed, whatever is in a name is text."""

from __future__ import annotations

import io
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml

from imgtool.model.verdict import Verdict
from imgtool.render import junit
from imgtool.render.escape import terminal
from tests.render.samples import BACKING, FAILURES, SAMPLES, SNAPSHOTS, verdict, verdicts
from tests.render.snapshot import agrees


def loaded(*judged: Verdict) -> JUnitXml:
    """The document as junitparser reads it."""
    return JUnitXml.fromfile(io.BytesIO(junit.document(judged).encode()))


def test_snapshot(update: bool) -> None:
    """A document of every shape of verdict, byte by byte."""
    agrees("validate.junit.xml", junit.document(SAMPLES), update)


def test_a_standard_reader_loads_it() -> None:
    """Counts, names, failures, output."""
    document = loaded(*SAMPLES)
    (suite,) = document
    assert (document.tests, document.failures, document.errors, document.skipped) == (7, 4, 0, 0)
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (7, 4, 0, 0)
    cases = list(suite)
    assert [case.name for case in cases] == [terminal(one.path) for one in SAMPLES]
    assert [case.is_failure for case in cases] == [not one.accepted for one in SAMPLES]


def test_a_rejected_file_has_failed() -> None:
    """The failure's message names the codes, its text every finding with what to do."""
    (case,) = next(iter(loaded(verdict("a.img", BACKING, SNAPSHOTS, accepted=False))))
    (failure,) = case.result
    assert isinstance(failure, Failure)
    assert failure.message == "rejected by the policy default: IMG101 external-reference"
    assert failure.type == "rejected"
    assert failure.text is not None
    assert failure.text.splitlines()[0] == (
        "error: IMG101 external-reference at byte 8: backing file '/etc/passwd' (raw)"
    )
    assert failure.text.count("  what to do: ") == 2
    assert case.system_out is None


def test_a_clean_file_has_nothing_to_say() -> None:
    """No failure, no output."""
    (case,) = next(iter(loaded(verdict("a.img"))))
    assert case.is_passed
    assert case.system_out is None


def test_warnings_are_output() -> None:
    """An accepted file passes; what was seen is its system-out."""
    (case,) = next(iter(loaded(verdict("a.img", SNAPSHOTS, not_run=("ISO301",)))))
    assert case.is_passed
    assert case.system_out.startswith("warning: QCW030 qcow2-snapshots-present at byte 60: 2 snapshots")
    assert case.system_out.splitlines()[-1].startswith("incomplete: ")


def test_more_codes_than_a_line_holds() -> None:
    """The message names three and counts the rest."""
    found = [BACKING._replace(code=f"ZZZ00{number}", name="n") for number in range(5)]
    (case,) = next(iter(loaded(verdict("a", *found, accepted=False))))
    assert case.result[0].message == "rejected by the policy default: ZZZ000 n, ZZZ001 n, ZZZ002 n and 2 more"


def test_what_could_not_be_judged() -> None:
    """An error, not a failure: nothing was said about the file."""
    document = JUnitXml.fromfile(io.BytesIO(junit.document(SAMPLES[:1], FAILURES).encode()))
    assert (document.tests, document.failures, document.errors) == (3, 0, 2)
    (suite,) = document
    _, gone, denied = suite
    assert isinstance(gone.result[0], Error)
    assert (gone.name, gone.result[0].message) == ("gone.img", "gone.img: No such file or directory")
    assert denied.name == "a<b:\\x0a"


@given(st.lists(verdicts(), max_size=3))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_hostile_strings(judged: list[Verdict]) -> None:
    """Whatever names and messages hold: it is XML with the elements we wrote, and their text comes back."""
    root = ElementTree.fromstring(junit.document(judged).encode())
    cases = root.findall("./testsuite/testcase")
    assert [case.get("name") for case in cases] == [terminal(one.path) for one in judged]
    assert len(root.findall(".//failure")) == sum(not one.accepted for one in judged)
    assert {element.tag for element in root.iter()} <= {
        "testsuites",
        "testsuite",
        "testcase",
        "failure",
        "system-out",
    }
    for case, one in zip(cases, judged, strict=True):
        text = "".join(case.itertext())
        assert all(terminal(finding.message) in text for finding in one.findings)
