"""The conductor: detect → read → look inside → findings, over any Source.

It knows no format: the registries name the readers and the rules. Nothing here raises for what is in an
image; InputError passes where the bytes cannot be read at all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imgtool.detect.match import resolve
from imgtool.detect.registry import Match
from imgtool.disks.recognise import WHOLE, Failure, Reading, recognise
from imgtool.findings.core import SEVERITIES, Finding
from imgtool.inspection.checks.general import RULES, reader_failed, rule_failed
from imgtool.inspection.compose import compose, facet_names, too_large
from imgtool.inspection.guard import guarded_rules, guarded_survey
from imgtool.inspection.options import Budget, Options
from imgtool.inspection.subject import NOTHING_NESTED, Nested, Subject
from imgtool.limits import Limits
from imgtool.model.facts import Facts
from imgtool.model.report import Report
from imgtool.model.values import Facet, Problem, Structure
from imgtool.sources.base import Source
from imgtool.sources.memory import Window
from imgtool.structs.view import View

if TYPE_CHECKING:
    from imgtool.volumes.survey import Survey


def examine(
    source: Source,
    path: str,
    options: Options,
    *,
    streamed: bool = False,
    level: int = 0,
    budget: Budget | None = None,
) -> Report:
    """The report of `source`, without digests. `level` counts the containers around it."""
    limits = options.limits
    budget = budget or Budget(options, source.size)
    peeked, found, readings, primary, views, failures = recognise(source, limits)
    survey, inside = _survey(primary, peeked, options, views, failures)
    nested = _members(primary, peeked, options, level, budget)
    primary, readings = _looked_into(primary, readings, nested)
    facets = _facets(readings, primary, found, survey, peeked.size)
    volumes = survey.volumes if survey is not None else None
    whole = compose(primary, volumes, nested.reports, facet_names(facets))
    subject = Subject(
        path,
        peeked.size,
        streamed,
        found,
        readings,
        primary,
        facets,
        tuple(reference for reading in readings for reference in reading.facts.references),
        _problems(views, nested, too_large(primary, whole, limits)),
        tuple(failures),
        nested.too_deep,
        inside,
    )
    findings = _findings(subject, survey, limits, failures)
    return Report(
        path=path,
        size=peeked.size,
        allocated=peeked.allocated,
        streamed=streamed,
        format=whole.format,
        container_format=whole.container_format,
        disk_formats=whole.disk_formats,
        virtual_size=whole.virtual_size,
        checksums={},
        encrypted=whole.encrypted,
        broken=primary.facts.broken,
        partial=primary.facts.partial or bool(subject.problems),
        label=whole.label,
        facets=facets,
        references=subject.references,
        details=primary.facts if type(primary.facts).__name__ != "Facts" else None,
        volumes=volumes,
        members=nested.reports,
        findings=findings,
        structures=_structures(views) if options.structures else (),
    )


def _problems(views: list[View], nested: Nested, more: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """What could not be read, once each; what lies in a file that was not followed its reference tells."""
    noted = (problem for view in views for problem in view.problems if problem.kind != "elsewhere")
    return tuple(dict.fromkeys((*noted, *nested.problems, *more)))


def _survey(
    primary: Reading,
    source: Source,
    options: Options,
    views: list[View],
    failures: list[Failure],
) -> tuple[Survey | None, tuple[tuple[str, int], ...]]:
    """What lies inside the guest's bytes, where that was asked for and they can be read without a key; and marks of
    disk formats in them."""
    entry, facts, limits = primary.entry, primary.facts, options.limits
    if options.depth <= 0 or (facts.flat is None and (entry.disk is None or facts.broken or facts.encrypted)):
        return None, ()

    def guest() -> Source:
        if facts.flat is not None:
            return source if facts.flat == (0, source.size) else Window(source, *facts.flat)
        disk: Source = resolve(entry.disk or "")(source, facts, limits, (), None)
        return disk

    return guarded_survey(guest, primary, limits, views, failures) or (None, ())


def _members(primary: Reading, source: Source, options: Options, level: int, budget: Budget) -> Nested:
    """Nested reports of the members of a container and of what is embedded."""
    if primary.entry.kind != "container" and not primary.facts.embedded:
        return NOTHING_NESTED
    from imgtool.inspection.members import nested_reports

    return nested_reports(primary.facts, source, options, level, budget, examine)


def _looked_into(
    reading: Reading, readings: tuple[Reading, ...], nested: Nested
) -> tuple[Reading, tuple[Reading, ...]]:
    """A container's reading with what came of its members and what they are, and all readings with it."""
    if not nested.reports or reading.entry.kind != "container":
        return reading, readings
    from imgtool.containers.member import ContainerFacts, Inside

    facts = reading.facts
    if not isinstance(facts, ContainerFacts):
        return reading, readings
    insides = tuple(
        Inside(one.path, one.format, one.container_format, one.virtual_size, not (one.broken or one.partial))
        for one in nested.reports
        if one.format is not None
    )
    told = reading._replace(facts=replace(facts, decoded=nested.decoded, insides=insides))
    return told, (told, *readings[1:])


def _facets(
    readings: tuple[Reading, ...],
    primary: Reading,
    found: tuple[Match, ...],
    survey: Survey | None,
    size: int,
) -> tuple[Facet, ...]:
    facets = [Facet(reading.entry.name, reading.offset, reading.facts.broken) for reading in readings]
    if survey is not None and primary.facts.flat is not None:
        facets.extend(survey.facets)
    else:
        flat = primary.facts.flat is not None
        others = (match for match in found if match.entry.kind not in WHOLE)
        facets.extend(Facet(one.entry.name, one.offset) for one in others if flat or one.signature.offset >= 0)
    if primary.facts.flat is not None and primary.entry.name in ("raw", "vhd") and size:
        facets.append(Facet("raw", 0))
    return tuple(dict.fromkeys(facets))


def _findings(
    subject: Subject, survey: Survey | None, limits: Limits, failures: list[Failure]
) -> tuple[Finding, ...]:
    found = guarded_rules(RULES, subject, limits, failures)
    for reading in subject.readings:
        if reading.entry.checks and type(reading.facts) is not Facts:
            found += guarded_rules(resolve(reading.entry.checks), reading.facts, limits, failures)
    for entry, facts in survey.facts if survey is not None else ():
        if entry.checks:
            found += guarded_rules(resolve(entry.checks), facts, limits, failures)
    for failure in failures:
        owner = reader_failed if ":" in failure.where else rule_failed
        found.extend(owner(failure, limits))
    found.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return tuple(found[: limits.findings])


def _structures(views: list[View]) -> tuple[Structure, ...]:
    return tuple(structure for view in views for structure in view.structures())
