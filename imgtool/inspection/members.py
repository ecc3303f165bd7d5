"""Members of containers, each with its own nested report: windows where the bytes lie as they are,
bounded streams where they must be decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from imgtool.containers.member import ContainerFacts, Member
from imgtool.inspection.options import Budget, Options
from imgtool.inspection.streams import examine_stream
from imgtool.model.facts import Facts
from imgtool.model.report import Report
from imgtool.model.values import Embedded
from imgtool.sources.base import Source
from imgtool.sources.memory import Window


class Examine(Protocol):
    """The conductor's `examine`, passed in: members are where it recurses."""

    def __call__(
        self,
        source: Source,
        path: str,
        options: Options,
        *,
        streamed: bool = False,
        level: int = 0,
        budget: Budget | None = None,
    ) -> Report: ...


def embedded_members(embedded: tuple[Embedded, ...], source: Source) -> tuple[Member, ...]:
    """Parts of a file that are formats of their own, as members."""
    return tuple(
        Member(part.name, part.length, offset=part.offset, source=_window(source, part)) for part in embedded
    )


def _window(source: Source, part: Embedded) -> Callable[[], Source]:
    return lambda: Window(source, part.offset, part.length, part.name)


def nested_reports(
    facts: Facts, source: Source, options: Options, level: int, budget: Budget, examine: Examine
) -> tuple[tuple[Report, ...], bool]:
    """The reports of all members, and whether a limit kept some from being looked into."""
    members = embedded_members(facts.embedded, source)
    total = len(members)
    if isinstance(facts, ContainerFacts):
        members = (*members, *facts.members)
        total += facts.members_total
    if not members:
        return (), False
    within = level < options.depth
    reports = []
    for member in members[: options.limits.nested_reports]:
        look = within and budget.take()
        reports.append(member_report(member, options, look, level + 1, budget, examine))
    looked = within and len(reports) == total and budget.left >= 0
    return tuple(reports), options.depth > 0 and not looked


def member_report(
    member: Member, options: Options, look: bool, level: int, budget: Budget, examine: Examine
) -> Report:
    """The report of one member; only its name and size where it is not looked into."""
    if look and member.source is not None:
        return examine(member.source(), member.name, options, level=level, budget=budget)
    if look and member.stream is not None and not options.planning:
        chunks = member.stream() if options.whole else _first(member.stream(), options.limits.wrapper_probe)
        return examine_stream(chunks, member.name, options, examine, level=level, budget=budget).report
    return Report(path=member.name, size=member.size, checksums={})


def _first(chunks: Iterator[bytes], most: int) -> Iterator[bytes]:
    """The first `most` bytes of a stream, in whole chunks."""
    for chunk in chunks:
        yield chunk
        most -= len(chunk)
        if most <= 0:
            return
