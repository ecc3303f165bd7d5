"""The gate before a conversion: the source is judged by a policy on the very descriptor that is read afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from imgtool.conversion.request import Request
from imgtool.disks.links import Permission
from imgtool.disks.members import file_beside
from imgtool.disks.recognise import recognise
from imgtool.errors import RejectedError, UsageError
from imgtool.findings.core import SEVERITIES, Finding
from imgtool.inspection.conductor import examine
from imgtool.inspection.options import Options
from imgtool.inspection.validate import policy_named, verdict_on
from imgtool.limits import Limits
from imgtool.model.report import Report
from imgtool.model.verdict import Claims
from imgtool.policy import names
from imgtool.policy.policy import FAILED
from imgtool.sources.base import Source

_REFERENCE = re.compile(r"[A-Z]{3}1\d\d")
_SHOWN = 3


def judged(source: Source, request: Request, limits: Limits) -> Report:
    """The report of a source that the policy lets in. Raises RejectedError, which names what stands against it.

    References count as what they are, unless following them is allowed: then opening them decides.
    """
    policy = policy_named(request.policy)
    report = examine(source, source.name, Options(limits, max(1, policy.depth)))
    verdict = verdict_on(report, policy, Claims(_claim(request.format)), limits)
    bad = SEVERITIES[: SEVERITIES.index(policy.fail_on) + 1]
    against = [finding for finding in verdict.findings if finding.severity in bad]
    if request.follow is not False:
        against = [finding for finding in against if not _REFERENCE.fullmatch(finding.code)]
    linked = any(_REFERENCE.fullmatch(finding.code) for finding in against)
    cure = "; --follow opens what lies in the image's own folder" if linked else ""
    refuse(against, request.allow, f"{source.name}: rejected by the policy {policy.name}", cure)
    return report


def judged_beside(source: Source, report: Report, request: Request, limits: Limits, allowed: Permission) -> Report:
    """The report of an OVF descriptor with that of the disk beside it that is converted: judged as `source` was."""
    if report.container_format != "ovf" or request.format is not None:
        return report
    found = file_beside(source, recognise(source, limits).primary, request.member, limits, allowed)
    if found is None:
        return report
    name, beside = found
    with beside:
        return replace(report, members=(replace(judged(beside, request, limits), path=name),))


def refuse(against: Iterable[Finding], allow: tuple[str, ...] | None, what: str, cure: str = "") -> None:
    """Raise RejectedError for the findings that are not allowed. A failed check always counts. `cure`: what to do
    about them, before letting them through is offered."""
    left = [one for one in against if one.code.startswith(FAILED) or (allow is not None and one.code not in allow)]
    if not left:
        return
    told = "; ".join(f"{one.code} {one.name}: {one.message}" for one in left[:_SHOWN])
    more = f" (and {len(left) - _SHOWN} more)" if len(left) > _SHOWN else ""
    codes = ",".join(sorted({one.code for one in left if not one.code.startswith(FAILED)}))
    cure += f"; --if-unsafe allow:{codes} goes on all the same" if codes else ""
    raise RejectedError(f"{what}: {told}{more}{cure}", tuple(left))


def _claim(format: str | None) -> str | None:
    """The disk format that the caller says the source is, as a policy knows it."""
    if format is None:
        return None
    try:
        return names.disk_format(format)
    except UsageError:
        return None
