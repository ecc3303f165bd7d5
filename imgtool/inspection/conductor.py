"""The conductor: detect → read → look inside → findings, over any Source.

It knows no format: the registries name the readers and the rules. Nothing here raises for what is in an
image; InputError passes where the bytes cannot be read at all.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from imgtool.containers import CONTAINERS
from imgtool.detect.match import Index, build_index, matches, resolve
from imgtool.detect.registry import Match, Windows
from imgtool.findings.core import SEVERITIES, Finding
from imgtool.formats import FORMATS, RAW
from imgtool.inspection.checks.general import RULES, reader_failed, rule_failed
from imgtool.inspection.compose import compose, facet_names
from imgtool.inspection.guard import guarded_read, guarded_rules, guarded_survey
from imgtool.inspection.options import Budget, Options
from imgtool.inspection.subject import NOTHING_NESTED, Failure, Nested, Reading, Subject
from imgtool.limits import Limits
from imgtool.model.facts import Facts
from imgtool.model.report import Report
from imgtool.model.values import Facet, Structure
from imgtool.sources.base import Source
from imgtool.sources.memory import Peeked, Window
from imgtool.structs.view import View
from imgtool.volumes import VOLUMES

if TYPE_CHECKING:
    from imgtool.containers.member import Decoded
    from imgtool.volumes.survey import Survey

#: Kinds of entries whose readers are asked for the whole source.
_WHOLE = frozenset({"format", "container", "kernel", "ramdisk"})


@lru_cache(maxsize=1)
def signature_index() -> Index:
    """All signatures of the three registries."""
    return build_index((*FORMATS, *CONTAINERS, *VOLUMES))


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
    peeked = Peeked(source, limits.head, limits.tail)
    budget = budget or Budget(options, peeked.size)
    found = tuple(matches(Windows(peeked.head, peeked.tail, peeked.size), signature_index()))
    failures: list[Failure] = []
    views: list[View] = []
    readings = _readings(found, peeked, limits, views, failures)
    primary = _primary(readings) if readings else _raw(peeked, limits, views)
    survey = _survey(primary, peeked, options, views, failures)
    nested = _members(primary, peeked, options, level, budget)
    if nested.decoded:
        primary, readings = _decoded(primary, readings, nested.decoded)
    facets = _facets(readings, primary, found, survey, peeked.size)
    subject = Subject(
        path,
        peeked.size,
        streamed,
        found,
        readings,
        primary,
        facets,
        tuple(reference for reading in readings for reference in reading.facts.references),
        tuple(dict.fromkeys((*(problem for view in views for problem in view.problems), *nested.problems))),
        tuple(failures),
        nested.too_deep,
    )
    findings = _findings(subject, survey, limits, failures)
    volumes = survey.volumes if survey is not None else None
    whole = compose(primary, volumes, nested.reports, facet_names(facets))
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


def _readings(
    found: tuple[Match, ...], source: Source, limits: Limits, views: list[View], failures: list[Failure]
) -> tuple[Reading, ...]:
    readings = []
    for match in found:
        if match.entry.kind not in _WHOLE:
            continue
        view = View(source, limits)
        facts = guarded_read(match.entry, view, failures)
        if facts is not None:
            views.append(view)
            readings.append(Reading(match.entry, facts, match.offset))
    return tuple(readings)


def _primary(readings: tuple[Reading, ...]) -> Reading:
    """What the file is called: the best by rank. But one whose own mark lies behind the guest's bytes (a fixed
    VHD) is what it is, whatever these begin like."""
    for reading in readings:
        flat = reading.facts.flat
        if flat is not None and not reading.facts.broken and 0 < flat[0] + flat[1] <= reading.offset:
            return reading
    return readings[0]


def _raw(source: Source, limits: Limits, views: list[View]) -> Reading:
    view = View(source, limits)
    views.append(view)
    return Reading(RAW, resolve(RAW.reader)(view, limits), 0)


def _survey(
    primary: Reading,
    source: Source,
    options: Options,
    views: list[View],
    failures: list[Failure],
) -> Survey | None:
    """What lies inside the guest's bytes, where they lie in the file as they are and were asked for."""
    flat = primary.facts.flat
    if flat is None or options.depth <= 0:
        return None
    window = source if flat == (0, source.size) else Window(source, *flat)
    view = View(window, options.limits)
    views.append(view)
    return guarded_survey(view, primary.entry.name, failures)


def _members(primary: Reading, source: Source, options: Options, level: int, budget: Budget) -> Nested:
    """Nested reports of the members of a container and of what is embedded."""
    if primary.entry.kind != "container" and not primary.facts.embedded:
        return NOTHING_NESTED
    from imgtool.inspection.members import nested_reports

    return nested_reports(primary.facts, source, options, level, budget, examine)


def _decoded(
    reading: Reading, readings: tuple[Reading, ...], decoded: tuple[Decoded, ...]
) -> tuple[Reading, tuple[Reading, ...]]:
    """A container's reading with what came of the members that were decoded, and all readings with it."""
    from imgtool.containers.member import ContainerFacts

    facts = reading.facts
    if not isinstance(facts, ContainerFacts):
        return reading, readings
    told = reading._replace(facts=replace(facts, decoded=decoded))
    return told, (told, *readings[1:])


def _facets(
    readings: tuple[Reading, ...],
    primary: Reading,
    found: tuple[Match, ...],
    survey: Survey | None,
    size: int,
) -> tuple[Facet, ...]:
    facets = [Facet(reading.entry.name, reading.offset, reading.facts.broken) for reading in readings]
    if survey is not None:
        facets.extend(survey.facets)
    elif primary.facts.flat is not None:
        facets.extend(Facet(match.entry.name, match.offset) for match in found if match.entry.kind not in _WHOLE)
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
