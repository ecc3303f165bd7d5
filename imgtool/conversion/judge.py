"""The rules of a conversion, run under the guard: a rule that fails is a finding that stops it."""

from __future__ import annotations

from imgtool.conversion.checks import LOSSES, OUTCOMES
from imgtool.conversion.planned import Finished, Planned
from imgtool.disks.recognise import Failure
from imgtool.findings.core import SEVERITIES, Finding
from imgtool.inspection.checks.general import rule_failed
from imgtool.inspection.guard import guarded_rules
from imgtool.limits import Limits


def before(planned: Planned, limits: Limits) -> tuple[Finding, ...]:
    """What the conversion would lose, worst first."""
    failures: list[Failure] = []
    found = guarded_rules(LOSSES, planned, limits, failures)
    found += [one for failure in failures for one in rule_failed(failure, limits)]
    return tuple(sorted(found, key=lambda one: (SEVERITIES.index(one.severity), one.code)))


def after(finished: Finished, limits: Limits) -> tuple[Finding, ...]:
    """What is wrong with the target."""
    failures: list[Failure] = []
    found = guarded_rules(OUTCOMES, finished, limits, failures)
    return (*found, *(one for failure in failures for one in rule_failed(failure, limits)))
