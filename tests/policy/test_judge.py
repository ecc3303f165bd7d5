"""Report and policy → verdict: severities, thresholds, selection, members, what could not be seen."""

from __future__ import annotations

from dataclasses import replace

from imgtool.findings.core import Finding
from imgtool.model.report import Report
from imgtool.model.values import Reference
from imgtool.model.verdict import Claims
from imgtool.policy.builtin import builtin
from imgtool.policy.judge import judge
from imgtool.policy.policy import Policy

ERROR = Finding("QCW101", "qcow2-backing-name-misplaced", "error", "one")
WARNING = Finding("IMG008", "not-whole-sectors", "warning", "two")
NOTE = Finding("IMG007", "not-read-from-stream", "note", "three", "refcount table")
FAILED = Finding("IMG902", "rule-failed", "error", "four")
NONE = Policy("none")


def report(*findings: Finding, **more: object) -> Report:
    """A report with findings."""
    plain = Report(path="a", size=1, format="qcow2", container_format="bare", checksums={}, findings=findings)
    return replace(plain, **more)  # type: ignore[arg-type] # the fields that a test names


def test_the_threshold() -> None:
    """Errors reject; warnings where the policy says so; notes never."""
    assert judge(report(WARNING), NONE, Claims()).accepted
    assert not judge(report(ERROR), NONE, Claims()).accepted
    strict = NONE._replace(fail_on="warning")
    assert not judge(report(WARNING), strict, Claims()).accepted
    assert judge(report(NOTE), strict, Claims()).accepted


def test_severities_are_the_policys() -> None:
    """What a policy moves is moved in the verdict, and stays in the report as the rule has it; worst first."""
    policy = NONE._replace(severities=(("IMG008", "error"), ("QCW", "note"), ("IMG007", "off")))
    verdict = judge(report(NOTE, ERROR, WARNING), policy, Claims())
    assert [(one.code, one.severity) for one in verdict.findings] == [("IMG008", "error"), ("QCW101", "note")]
    assert [one.severity for one in verdict.report.findings] == ["note", "error", "warning"]


def test_selection() -> None:
    """Codes, beginnings and names are selected or ignored; a failed check counts whatever is said of it."""
    whole = report(ERROR, WARNING, FAILED)
    codes = [one.code for one in judge(whole, NONE, Claims(), select=("IMG0",)).findings]
    assert codes == ["IMG902", "IMG008"]
    codes = [one.code for one in judge(whole, NONE, Claims(), ignore=("IMG", "QCW101")).findings]
    assert codes == ["IMG902"]
    assert not judge(whole, NONE, Claims(), ignore=("IMG", "QCW101")).accepted
    off = NONE._replace(severities=(("IMG", "off"), ("QCW", "off")))
    assert [one.code for one in judge(whole, off, Claims()).findings] == ["IMG902"]
    assert judge(report(WARNING), NONE, Claims(), ignore=("not-whole-sectors",)).findings == ()


def test_findings_of_members_carry_their_path() -> None:
    """However deep."""
    deep = report(ERROR, path="c")
    whole = report(members=(report(members=(deep,), path="b"),))
    assert [one.member for one in judge(whole, NONE, Claims()).findings] == ["b → c"]


def test_allowed_references_are_notes() -> None:
    """Of the kinds that the policy allows; the others stay errors."""
    backing = Finding("IMG101", "external-reference", "error", "x", "backing")
    extent = backing._replace(field="extent")
    parent = Finding("VMD101", "vmdk-has-parent", "error", "x", "parentCID")
    policy = NONE._replace(allow_references=("backing",), follow_references=("parent",))
    told = judge(report(backing, extent, parent), policy, Claims())
    assert [one.severity for one in told.findings] == ["error", "error", "note"]
    verdict = judge(report(backing, extent, parent), policy, Claims(), followed=True)
    assert [(one.code, one.field, one.severity) for one in verdict.findings] == [
        ("IMG101", "extent", "error"),
        ("IMG101", "backing", "note"),
        ("VMD101", "parentCID", "note"),
    ]


def test_what_could_not_be_seen() -> None:
    """A stream's lost structure, a reference, a key: incomplete, with the codes of the rules that look there."""
    assert not judge(report(), NONE, Claims()).incomplete
    lost = judge(report(NOTE), NONE, Claims())
    assert lost.incomplete
    assert {"QCW001", "PRT001"} <= set(lost.not_run)
    assert not any(code.startswith(("VHD", "IMG")) for code in lost.not_run)
    for hidden in (report(encrypted=True), report(references=(Reference("backing", "b"),))):
        verdict = judge(hidden, NONE._replace(encrypted=True, allow_references=("backing",)), Claims())
        assert verdict.incomplete
        assert "PRT001" in verdict.not_run
        assert "QCW001" not in verdict.not_run
    followed = judge(report(references=(Reference("backing", "b"),)), NONE, Claims(), followed=True)
    assert not followed.incomplete
    deep = judge(report(WARNING._replace(code="IMG202", name="nested-too-deep")), NONE, Claims())
    assert (deep.incomplete, deep.not_run) == (True, ())


def test_incomplete_rejects_where_the_policy_says_so() -> None:
    """Under strict what rules could not see is a no; under default it is said."""
    hidden = report(NOTE)
    assert judge(hidden, builtin("default"), Claims()).accepted
    assert not judge(hidden, builtin("strict"), Claims()).accepted


def test_containers_that_a_policy_does_not_look_into() -> None:
    """Only failed checks count there; the claimed container decides, else the one that is there."""
    policy = NONE._replace(inspected=("bare",))
    assert not judge(report(ERROR), policy, Claims()).accepted
    assert judge(report(ERROR, container_format="ova"), policy, Claims()).accepted
    assert judge(report(ERROR), policy, Claims(container_format="ova")).accepted
    assert not judge(report(ERROR, container_format="ova"), policy, Claims(container_format="bare")).accepted
    assert not judge(report(FAILED, container_format="ova"), policy, Claims()).accepted
