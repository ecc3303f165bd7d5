"""The deep check: every table of an image, by its format's own walk, judged by its table rules."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from functools import partial

from imgtool.containers import CONTAINERS
from imgtool.detect.match import resolve
from imgtool.disks.links import Permission, open_link, permission
from imgtool.disks.members import disk_members
from imgtool.disks.recognise import Failure, Reading, guarded, recognise
from imgtool.findings.core import SEVERITIES, Finding
from imgtool.formats import FORMATS
from imgtool.inspection.api import Input, open_input
from imgtool.inspection.checks import ends
from imgtool.inspection.checks.general import reader_failed, rule_failed, structure_malformed
from imgtool.inspection.conductor import examine
from imgtool.inspection.ending import ending_of
from imgtool.inspection.guard import guarded_rules
from imgtool.inspection.options import Options
from imgtool.limits import DEFAULT, Limits
from imgtool.model.report import Report
from imgtool.model.tables import Check, TableFacts, Totals
from imgtool.policy.judge import flattened
from imgtool.sources.base import RangeError, Source
from imgtool.sources.file import FileSource
from imgtool.structs.view import Unreadable


def check(
    path_or_fileobj: Input,
    *,
    follow: bool | str | os.PathLike[str] = False,
    device: bool = False,
    limits: Limits = DEFAULT,
) -> Check:
    """Check every table of an image, and of the disks inside a container: a Check, whatever is in the file.

    `follow`: whether the files beside an OVF descriptor or a bundle manifest may be opened, to verify their digests:
    True for those in its own folder, a path for those below that folder. Reads tables whole, never repairs. Raises
    InputError when the input cannot be read at all.
    """
    path = os.fsdecode(path_or_fileobj) if isinstance(path_or_fileobj, (str, os.PathLike)) else None
    with open_input(path_or_fileobj, device) as source:
        report = examine(source, source.name, Options(limits))
        totals, found = check_tables(source, limits, told=report, allowed=permission(follow, path))
    findings = tuple(sorted((*flattened(report), *found), key=lambda one: SEVERITIES.index(one.severity)))
    clean = not any(finding.severity != "note" for finding in findings)
    return Check(report.path, report.format, clean, totals, findings)


def check_tables(
    source: Source,
    limits: Limits,
    inside: str = "",
    level: int = 0,
    told: Report | None = None,
    allowed: Permission = Permission(),  # noqa: B008 - a frozen value
) -> tuple[Totals | None, list[Finding]]:
    """Totals and findings of all tables of `source`; of a container, the findings of its disks. `level` counts the
    containers around it: a wrapper may hold itself. `told`: its report, where there is one: what has no tables by it
    is not decoded again. `allowed`: which files beside it may be opened."""
    recognised = recognise(source, limits)
    failures: list[Failure] = []
    totals: Totals | None = None
    found: list[Finding] = []
    for reading in recognised.readings:
        facts = _walk(_followed(reading, source, allowed, limits), source, limits, failures)
        if facts is not None:
            totals = totals or facts.totals
            found += guarded_rules(resolve(reading.entry.table_checks or ""), facts, limits, failures)
            ending = ending_of(facts, source, limits)
            found += guarded_rules(ends.RULES, ending, limits, failures) if ending is not None else ()
    for failure in failures:
        found += (reader_failed if ":" in failure.where else rule_failed)(failure, limits)
    found = [finding._replace(member=inside) if inside else finding for finding in found]
    if level >= limits.depth:
        return totals, found
    reports = _members(told)
    plain = frozenset(name for name, report in reports.items() if _has_no_tables(report))
    for name, member in disk_members(source, recognised.primary, limits, leave=plain):
        where = f"{inside} → {name}" if inside else name
        found += _member_tables(member, limits, where, level + 1, reports.get(name))
    return totals, found


def _members(told: Report | None) -> dict[str, Report]:
    """The reports of members by their names, where a name is that of one alone."""
    reports = told.members if told is not None else ()
    times = Counter(report.path for report in reports)
    return {report.path: report for report in reports if times[report.path] == 1}


def _has_no_tables(report: Report) -> bool:
    """True where all that the content is was seen, and no format of it has tables."""
    if report.partial or report.broken or report.container_format != "bare":
        return False
    with_tables = {
        entry.name for entry in (*FORMATS, *CONTAINERS) if entry.tables is not None or entry.kind != "format"
    }
    known = {entry.name for entry in FORMATS} - with_tables
    return report.format in known and not with_tables & {facet.name for facet in report.facets}


def _member_tables(member: Source, limits: Limits, inside: str, level: int, told: Report | None) -> list[Finding]:
    """The findings of a disk in a container; where its bytes cannot be had (they do not decode), that."""
    try:
        return check_tables(member, limits, inside, level, told)[1]
    except RangeError as error:
        fault = str(error).removeprefix(f"{member.name}: ")
        return [structure_malformed.at(f"its tables cannot be read: {fault}")._replace(member=inside)]


def _followed(reading: Reading, source: Source, allowed: Permission, limits: Limits) -> Reading:
    """The reading of a container with a way to open the files that it refers to, where that is allowed."""
    facts = reading.facts
    if reading.entry.kind != "container" or not allowed.folders or not isinstance(source, FileSource):
        return reading
    from imgtool.containers.member import ContainerFacts

    if not isinstance(facts, ContainerFacts):
        return reading
    below = allowed.below(source)
    beside = partial(open_link, image_path=source.name, allowed=below, most=limits.chain_depth)
    return reading._replace(facts=replace(facts, beside=beside))


def _walk(reading: Reading, source: Source, limits: Limits, failures: list[Failure]) -> TableFacts | None:
    """The facts of a format's tables; None where it has no walk, or its header does not hold. The reader's guard."""
    entry, facts = reading.entry, reading.facts
    if entry.tables is None or facts.broken:
        return None
    place = entry.tables
    try:
        walked: TableFacts | None = guarded(place, lambda: resolve(place)(source, facts, limits), failures)
    except Unreadable:
        return None
    return walked
