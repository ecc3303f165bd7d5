"""Digests that a container says its members have: what the one pass over the file found of them, judged."""

from __future__ import annotations

from collections.abc import Mapping

from imgtool.containers import CONTAINERS
from imgtool.detect.match import resolve
from imgtool.disks.recognise import Failure
from imgtool.findings.core import Finding
from imgtool.ingest.ranges import Range
from imgtool.inspection.checks.general import rule_failed
from imgtool.inspection.guard import guarded_rules
from imgtool.limits import Limits
from imgtool.model.report import Report


def wanted_ranges(report: Report) -> tuple[Range, ...]:
    """The ranges of the file whose digests its container states; none for anything else."""
    if report.container_format in (None, "bare"):
        return ()
    from imgtool.containers.integrity import ranges_of

    return ranges_of(report.details)


def integrity_findings(report: Report, found: Mapping[Range, str], limits: Limits) -> list[Finding]:
    """The findings over the digests of members, of which `found` were computed."""
    ranges = wanted_ranges(report)
    if not ranges:
        return []
    from imgtool.containers.integrity import judged
    from imgtool.containers.member import ContainerFacts

    facts = report.details
    assert isinstance(facts, ContainerFacts)
    entry = next(entry for entry in CONTAINERS if entry.name == facts.format)
    failures: list[Failure] = []
    findings = guarded_rules(resolve(entry.table_checks or ""), judged(facts, found), limits, failures)
    for failure in failures:
        findings += rule_failed(failure, limits)
    return findings
