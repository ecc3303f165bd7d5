"""The rules of a conversion, run under the guard: a rule that fails is a finding that stops it."""

from __future__ import annotations

from imgtool.conversion.checks.losses import LOSSES
from imgtool.conversion.checks.outcome import OUTCOMES
from imgtool.conversion.planned import Finished, Planned
from imgtool.disks.recognise import Failure
from imgtool.findings.core import Finding
from imgtool.inspection.checks.general import rule_failed
from imgtool.inspection.guard import guarded_rules
from imgtool.limits import Limits


def before(planned: Planned, limits: Limits) -> tuple[Finding, ...]:
    """What the conversion would lose."""
    failures: list[Failure] = []
    found = guarded_rules(LOSSES, planned, limits, failures)
    return (*found, *(one for failure in failures for one in rule_failed(failure, limits)))


def after(finished: Finished, limits: Limits) -> tuple[Finding, ...]:
    """What is wrong with the target; and what inspecting it tells beside that, as notes of the answer."""
    failures: list[Failure] = []
    found = guarded_rules(OUTCOMES, finished, limits, failures)
    return (*found, *(one for failure in failures for one in rule_failed(failure, limits)))
