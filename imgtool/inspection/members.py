"""Members of containers, each with its own nested report: windows where the bytes lie as they are,
bounded streams where they must be decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from imgtool.codecs.decode import Decoding
from imgtool.codecs.feed import CodecError
from imgtool.containers.member import ContainerFacts, Decoded, Member
from imgtool.inspection.options import Budget, Options
from imgtool.inspection.streams import examine_stream
from imgtool.inspection.subject import Nested
from imgtool.model.facts import Facts
from imgtool.model.report import Report
from imgtool.model.values import Embedded, Problem, ProblemKind
from imgtool.sources.base import NotHeldError, Source
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
) -> Nested:
    """The reports of all members; of those without bytes to look into, only names and sizes."""
    members = embedded_members(facts.embedded, source)
    total = len(members)
    if isinstance(facts, ContainerFacts):
        members = (*members, *facts.members)
        total += facts.members_total
    if not members:
        return Nested()
    within = level < options.depth
    reports: list[Report] = []
    decoded: list[Decoded] = []
    problems: list[Problem] = []
    asked = 0
    for member in members:
        bare = member.source is None and member.stream is None
        asked += not bare
        if asked > options.limits.nested_reports or (bare and not budget.name()):
            break
        look = not bare and within and budget.take()
        if look and member.source is not None:
            reports.append(_windowed(member, member.source, options, level + 1, budget, examine, problems))
        elif look and member.stream is not None and not options.planning:
            intake = _Intake(member, member.stream(), options, budget)
            reports.append(_streamed(intake, options, level + 1, budget, examine))
            decoded.append(intake.outcome())
            problems += [intake.fault] if intake.fault is not None else []
        else:
            reports.append(_unread(member))
    looked = (within or not asked) and len(reports) == total and budget.left >= 0
    reports = [_released(report) for report in reports]
    return Nested(tuple(reports), tuple(decoded), tuple(problems), options.depth > 0 and not looked)


def _released(report: Report) -> Report:
    """A nested report without what only the rules of its container needed."""
    details = report.details
    return replace(report, details=details.released()) if isinstance(details, ContainerFacts) else report


def _unread(member: Member, partial: bool = False) -> Report:
    return Report(path=member.name, size=member.size, checksums={}, partial=partial)


def _windowed(
    member: Member,
    source: Callable[[], Source],
    options: Options,
    level: int,
    budget: Budget,
    examine: Examine,
    problems: list[Problem],
) -> Report:
    """The report of a member whose bytes lie in the container as they are."""
    try:
        return examine(source(), member.name, options, level=level, budget=budget)
    except NotHeldError as error:
        message = f"{member.name}: {error}"
        problems.append(Problem("not-read", member.name, message, error.offset, error.length))
        return _unread(member, partial=True)


class _Intake:
    """The decoded bytes of a member, as far as they are taken. How that ended is known afterwards."""

    def __init__(self, member: Member, chunks: Iterator[bytes], options: Options, budget: Budget) -> None:
        self.member = member
        self.came = 0
        self.whole = False
        self.fault: Problem | None = None
        self._chunks = chunks
        self._most = None if options.whole else options.limits.wrapper_probe
        self._budget = budget

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._chunks:
                self.came += len(chunk)
                yield chunk
                if not self._budget.spend(len(chunk)):
                    kind: ProblemKind = "cap" if self._most is None else "not-read"
                    self._stop(kind, "no more may be decoded below one input")
                    return
                if self._most is not None and self.came >= self._most and self.came != self.member.size:
                    return
            self.whole = True
        except CodecError as error:
            self._stop(error.reason, error.message, error.offset)

    def _stop(self, kind: ProblemKind, message: str, offset: int | None = None) -> None:
        message = f"{message} ({self.came} bytes of {self.member.name!r} came out)"
        self.fault = Problem(kind, self.member.name, message, offset)

    def size(self, came: int) -> int | None:
        """The size of the content: all that came, else what the wrapper declares, else unknown."""
        declared = self.member.size
        return came if self.whole else declared if declared is not None and declared >= came else None

    def outcome(self) -> Decoded:
        """What came of it."""
        chunks, name = self._chunks, self.member.name
        if not isinstance(chunks, Decoding):
            return Decoded(name, self.came, 0, self.whole, fault=self.fault)
        zeros = bool(chunks.trailing) and chunks.trailing_zeros()
        return Decoded(name, self.came, chunks.consumed, self.whole, chunks.trailing, zeros, self.fault)


def _streamed(intake: _Intake, options: Options, level: int, budget: Budget, examine: Examine) -> Report:
    """The report of a member that must be decoded."""
    name = intake.member.name
    done = examine_stream(intake, name, options, examine, level=level, budget=budget, size=intake.size)
    return replace(done.report, partial=True) if intake.fault is not None else done.report
