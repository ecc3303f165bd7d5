"""Inspecting a stream: standard input, or what comes out of a compressed wrapper. One pass, bounded memory.

The head is kept; once it is there, an inspection of it runs dry to learn which later ranges it would read,
and those become windows while the stream goes on. The report is made at the end from what was kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from imgtool.errors import InputError
from imgtool.ingest.pump import CHUNK, Progress, Pump, digest_stream
from imgtool.ingest.ranges import Range, RangeDigests
from imgtool.inspection.checks.general import not_read_from_stream
from imgtool.inspection.integrity import wanted_ranges
from imgtool.inspection.options import Budget, Options
from imgtool.model.report import Report
from imgtool.sources.held import ENDLESS, HeldStream

if TYPE_CHECKING:
    from imgtool.inspection.members import Examine


class Streamed(NamedTuple):
    """A report made from a stream, the bytes that came, the digests of them all (hex, by algorithm), and those of
    members whose digests their container states."""

    report: Report
    size: int
    digests: Mapping[str, str]
    found: Mapping[Range, str]


class _Planner:
    """A tap that keeps what an inspection needs, planning windows as it learns of them. `ranges`: likewise the
    digests of members, where those are compared."""

    def __init__(self, held: HeldStream, options: Options, examine: Examine, ranges: RangeDigests | None) -> None:
        self.held = held
        self.ranges = ranges
        self._options = options._replace(structures=False, whole=False, planning=True)
        self._examine = examine
        self._replans = 0 if options.planning else options.limits.stream_replans
        self._step = max(1, min(CHUNK, options.limits.stream_tail // 2))

    def take(self, chunk: memoryview) -> None:
        """See the next bytes; whenever a wanted piece is complete, look what an inspection asks for next.

        Steps are shorter than the tail, so that what lies close behind a piece is still there.
        """
        for start in range(0, len(chunk), self._step):
            full, position = self.held.full, self.held.position
            piece = chunk[start : start + self._step]
            self.held.take(piece)
            if self.ranges:
                self.ranges.take(position, piece)
            if self._replans and self.held.full > full:
                self._replans -= 1
                self._replan()

    def _replan(self) -> None:
        source = self.held.source()
        try:
            self.learn(self._examine(source, self.held.name, self._options))
        except InputError:
            return
        finally:
            self.held.want(source.missed)

    def learn(self, report: Report) -> None:
        """See which members have digests to compare; those that began a moment ago are still kept."""
        if self.ranges is not None:
            self.ranges.want(wanted_ranges(report), self.held.position, self.held.fetch)


def examine_stream(
    chunks: Iterable[bytes] | Iterable[memoryview],
    path: str,
    options: Options,
    examine: Examine,
    *,
    digests: Iterable[str] = (),
    progress: Progress | None = None,
    level: int = 0,
    budget: Budget | None = None,
    size: Callable[[int], int | None] | None = None,
) -> Streamed:
    """The report of a stream of chunks, and its digests, in one pass. Raises InputError.

    `size` is asked after the last chunk for the size of the content, given the bytes that came: another
    than that where the stream was cut there, None where nobody knows.
    """
    names = tuple(digests)
    held = HeldStream(path, options.limits)
    planner = _Planner(held, options, examine, RangeDigests() if options.verify and level == 0 else None)
    if names:
        pump = Pump(names)
        with pump:
            digest_stream((memoryview(chunk) for chunk in chunks), pump, planner.take, progress)
        results = pump.hexdigests()
    else:
        results = {}
        for chunk in chunks:
            planner.take(memoryview(chunk))
            if progress is not None:
                progress(len(chunk))
    told = held.position if size is None else size(held.position)
    if told == held.position:
        held.ended = True
        report = examine(held.source(), path, options, streamed=True, level=level, budget=budget)
    else:
        report = _cut(held, told, options, partial(examine, path=path, streamed=True, level=level, budget=budget))
    planner.learn(report)
    return Streamed(report, held.position, results, planner.ranges.found if planner.ranges is not None else {})


def _cut(held: HeldStream, size: int | None, options: Options, look: Callable[..., Report]) -> Report:
    """The report of a stream of which only the beginning came. `size` is the declared one, None if unknown.

    Where the size is unknown only those findings count that hold for every size: for one that ends where
    the stream was cut, and for an endless one.
    """
    came = held.position
    if came < options.limits.head:
        report = look(held.source(came), options=options) if came else None
        if report is None:
            return Report(path=held.name, size=size, checksums={}, streamed=True, partial=True)
        virtual = None if report.virtual_size == came else report.virtual_size
        return replace(report, size=size, virtual_size=virtual, partial=True, findings=())
    if size is not None:
        return look(held.source(size), options=options)
    report = look(held.source(), options=options)
    short = look(held.source(came), options=options._replace(planning=True))
    sure = {(finding.code, finding.message) for finding in short.findings}
    findings = tuple(
        finding
        for finding in report.findings
        if (finding.code, finding.message) in sure
        or (finding.code == not_read_from_stream.code and (finding.offset or 0) < ENDLESS // 2)
    )
    virtual = report.virtual_size
    if virtual is not None and virtual > ENDLESS // 2:
        virtual = None
    return replace(report, size=None, virtual_size=virtual, partial=True, findings=findings)
