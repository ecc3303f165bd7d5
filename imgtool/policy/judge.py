"""Report and policy → verdict. Pure: nothing is read, nothing is raised for what is in an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imgtool.findings.core import SEVERITIES, Finding
from imgtool.model.report import Report
from imgtool.model.verdict import Claims, Verdict
from imgtool.policy.asked import claimed
from imgtool.policy.policy import FAILED, Policy, selects
from imgtool.policy.unseen import unseen

#: The rules that tell of a reference by its kind, which is their finding's field or theirs alone.
_REFERENCE = "IMG101"
_PARENT_OF_VMDK = "VMD101"


def judge(
    report: Report,
    policy: Policy,
    claims: Claims,
    found: Iterable[Finding] = (),
    *,
    select: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    followed: bool = False,
    not_run: tuple[str, ...] = (),
) -> Verdict:
    """The verdict on a report. `found` are findings beside the report's own: of the policy's rules, of tables.

    `select`, `ignore`: selectors as in a policy; what is not selected, or ignored, does not count and is not shown.
    `followed`: references were opened and hold. `not_run`: codes of rules that could not run at all.
    """
    findings = tuple(_effective((*flattened(report), *found), policy, select, ignore, followed))
    if not _is_inspected(report, policy, claims):
        findings = tuple(finding for finding in findings if finding.code.startswith(FAILED))
    findings = tuple(sorted(findings, key=lambda one: SEVERITIES.index(one.severity)))
    incomplete, missed = unseen(report, followed)
    missed = tuple(sorted({*missed, *not_run}))
    incomplete = incomplete or bool(missed)
    bad = SEVERITIES[: SEVERITIES.index(policy.fail_on) + 1]
    rejected = any(finding.severity in bad for finding in findings) or (incomplete and not policy.incomplete)
    return Verdict(report.path, not rejected, incomplete, missed, policy.name, claims, findings, report)


def _is_inspected(report: Report, policy: Policy, claims: Claims) -> bool:
    if policy.inspected is None:
        return True
    name = claimed(claims).container or report.container_format
    return name in policy.inspected


def _effective(
    findings: Iterable[Finding], policy: Policy, select: tuple[str, ...], ignore: tuple[str, ...], followed: bool
) -> Iterator[Finding]:
    """The findings that count, with the severities that the policy gives them. A failed check always counts."""
    kinds = (*policy.allow_references, *(policy.follow_references if followed else ()))
    for finding in findings:
        code, name = finding.code, finding.name
        if code.startswith(FAILED):
            yield finding
            continue
        if select and not any(selects(one, code, name) for one in select):
            continue
        if any(selects(one, code, name) for one in ignore):
            continue
        level = "note" if _names_one_of(kinds, finding) else policy.level(finding)
        if level != "off":
            yield finding._replace(severity=level) if level != finding.severity else finding


def _names_one_of(kinds: tuple[str, ...], finding: Finding) -> bool:
    """True for a finding that tells of a reference of one of the kinds."""
    kind = "parent" if finding.code == _PARENT_OF_VMDK else finding.field if finding.code == _REFERENCE else None
    return kind in kinds


def flattened(report: Report, inside: str = "") -> Iterator[Finding]:
    """The findings of a report and of its members, each with the path of its member."""
    for finding in report.findings:
        yield finding._replace(member=inside) if inside else finding
    for member in report.members:
        yield from flattened(member, f"{inside} → {member.path}" if inside else member.path)
