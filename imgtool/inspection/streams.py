"""Inspecting a stream: standard input, or what comes out of a compressed wrapper. One pass, bounded memory.

The head is kept; once it is there, an inspection of it runs dry to learn which later ranges it would read,
and those become windows while the stream goes on. The report is made at the end from what was kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from imgtool.errors import InputError
from imgtool.ingest.pump import CHUNK, Progress, Pump, digest_stream
from imgtool.inspection.options import Budget, Options
from imgtool.model.report import Report
from imgtool.sources.held import HeldStream

if TYPE_CHECKING:
    from imgtool.inspection.members import Examine


class Streamed(NamedTuple):
    """A report made from a stream, the bytes that came, and the digests of them all (hex, by algorithm)."""

    report: Report
    size: int
    digests: Mapping[str, str]


class _Planner:
    """A tap that keeps what an inspection needs, planning windows as it learns of them."""

    def __init__(self, held: HeldStream, options: Options, examine: Examine) -> None:
        self.held = held
        self._options = options._replace(structures=False, whole=False, planning=True)
        self._examine = examine
        self._replans = 0 if options.planning else options.limits.stream_replans

    def take(self, chunk: memoryview) -> None:
        """See the next bytes; whenever a wanted piece is complete, look what an inspection asks for next."""
        for start in range(0, len(chunk), CHUNK):
            full = self.held.full
            self.held.take(chunk[start : start + CHUNK])
            if self._replans and self.held.full > full:
                self._replans -= 1
                self._replan()

    def _replan(self) -> None:
        source = self.held.source()
        try:
            self._examine(source, self.held.name, self._options)
        except InputError:
            return
        finally:
            self.held.want(source.missed)


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
) -> Streamed:
    """The report of a stream of chunks, and its digests, in one pass. Raises InputError."""
    names = tuple(digests)
    held = HeldStream(path, options.limits)
    planner = _Planner(held, options, examine)
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
    held.ended = True
    report = examine(held.source(), path, options, streamed=True, level=level, budget=budget)
    return Streamed(report, held.position, results)
