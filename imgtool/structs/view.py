"""View: a Source as a reader sees it. Bounded reads, parsed structures, recorded problems.

Every structure parsed through a view is remembered, so `inspect --fields` shows what was really read
and no reader has a second description of itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, TypeVar

from imgtool.limits import Limits
from imgtool.model.values import Problem, ProblemKind, Structure
from imgtool.sources.base import NotHeldError, RangeError, Source
from imgtool.sources.memory import Window
from imgtool.structs.layout import Layout, LayoutError

R = TypeVar("R", bound=NamedTuple)


class Unreadable(Exception):
    """A structure cannot be read; `problem` says which, where and why.

    A reader that cannot go on lets it pass: the conductor turns it into broken facts. One that can
    calls `View.optional` or catches it and notes the problem.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Parsed(NamedTuple):
    """A structure that was parsed: which layout, where, under which name; or `rows` of them, one after the other."""

    layout: Layout[NamedTuple]
    offset: int
    name: str
    data: bytes
    rows: int = 1


def _single(parsed: Parsed) -> Iterator[Parsed]:
    """Rows that were parsed at once, one by one; anything else as it is."""
    if parsed.rows == 1:
        yield parsed
        return
    size = parsed.layout.size
    for start in range(0, parsed.rows * size, size):
        yield parsed._replace(offset=parsed.offset + start, data=parsed.data[start : start + size], rows=1)


class View:
    """A source under limits. `size` is bytes; offsets are bytes from the start of the source.

    `base` is where a part (see `part`) starts in the whole; 0 for the whole itself.
    """

    __slots__ = ("_parsed", "_problems", "base", "limits", "size", "source")

    def __init__(self, source: Source, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.size = source.size
        self.base = 0
        self._problems: list[Problem] = []
        self._parsed: list[Parsed] = []

    def part(self, start: int, length: int) -> View:
        """A view of `length` bytes from `start` on, cut where this one ends. What is read through it counts
        from `start`; what is recorded (structures, problems) lands in this view, with the whole's offsets."""
        part = View(Window(self.source, start, length), self.limits)
        part.base = self.base + start
        part._problems = self._problems
        part._parsed = self._parsed
        return part

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What could not be read so far."""
        return tuple(self._problems)

    def note(self, problem: Problem) -> None:
        """Record a problem (the first `limits.problems` are kept)."""
        if len(self._problems) < self.limits.problems:
            self._problems.append(problem)

    def problem(
        self,
        what: str,
        message: str,
        *,
        kind: ProblemKind = "malformed",
        offset: int | None = None,
        length: int | None = None,
    ) -> None:
        """Record that `what` could not be read."""
        self.note(Problem(kind, what, message, None if offset is None else self.base + offset, length))

    def peek(self, offset: int, length: int) -> bytes:
        """The bytes of the range that exist: fewer than `length` at the end, none outside.

        Raises Unreadable for a range over the read cap, or one that cannot be had (RangeError).
        """
        if offset < 0 or length <= 0 or offset >= self.size:
            return b""
        self._cap("bytes", offset, length)
        return self._fetch(offset, length, "bytes")

    def read(self, offset: int, length: int, what: str) -> bytes:
        """Exactly `length` bytes. Raises Unreadable when they are not all there."""
        self._cap(what, offset, length)
        data = b"" if offset < 0 else self._fetch(offset, length, what)
        if len(data) < length:
            start, end = self.base + offset, "its part ends at" if self.base else "the file has"
            message = f"{what}: needs bytes {start}..{start + length}, {end} {self.base + self.size}"
            raise Unreadable(Problem("truncated", what, message, start, length))
        return data

    def parse(self, layout: Layout[R], offset: int, name: str | None = None) -> R:
        """The structure at `offset`. Raises Unreadable when it is cut short or does not hold."""
        what = name or layout.name
        data = self.read(offset, layout.size, what)
        return self.decode(layout, data, offset, what)

    def decode(self, layout: Layout[R], data: bytes, offset: int, name: str | None = None) -> R:
        """The structure in `data`, which was read at `offset`. Raises Unreadable when it does not hold."""
        what = name or layout.name
        try:
            record = layout.parse(data)
        except LayoutError as error:
            message = f"{what}: not readable: {error}"
            raise Unreadable(Problem("malformed", what, message, self.base + offset, len(data))) from None
        if len(self._parsed) < self.limits.records:
            self._parsed.append(Parsed(layout, self.base + offset, what, data))  # type: ignore[arg-type] # invariant R
        return record

    def rows(self, layout: Layout[R], offset: int, count: int) -> list[R]:
        """Up to `count` structures of a fixed size, one after the other from `offset` on: those that are there.

        Missing and malformed ones are noted. Raises Unreadable for more than the read cap, or what a stream lost.
        """
        data = self.peek(offset, count * layout.size)
        whole = len(data) // layout.size
        if whole < count:
            at, length = self.base + offset + whole * layout.size, (count - whole) * layout.size
            message = f"{layout.name}: {count} are told, {whole} of them are in the file"
            self.note(Problem("truncated", layout.name, message, at, length))
        data = data[: whole * layout.size]
        try:
            records = layout.rows(data)
        except LayoutError as error:
            message = f"{layout.name}: not readable: {error}"
            self.note(Problem("malformed", layout.name, message, self.base + offset, len(data)))
            return []
        if data and len(self._parsed) < self.limits.records:
            entry = Parsed(layout, self.base + offset, layout.name, data, whole)  # type: ignore[arg-type] # invariant R
            self._parsed.append(entry)
        return records

    def optional(self, layout: Layout[R], offset: int, name: str | None = None) -> R | None:
        """`parse`, with a recorded problem and None instead of Unreadable."""
        try:
            return self.parse(layout, offset, name)
        except Unreadable as error:
            self.note(error.problem)
            return None

    def structures(self) -> tuple[Structure, ...]:
        """Every structure parsed so far, annotated field by field, in the order of the file."""
        each = (one for entry in sorted(self._parsed, key=lambda entry: entry.offset) for one in _single(entry))
        return tuple(
            Structure(entry.name, entry.offset, len(entry.data), entry.layout.fields(entry.data, entry.offset))
            for entry in islice(each, self.limits.records)
        )

    def _fetch(self, offset: int, length: int, what: str) -> bytes:
        try:
            return self.source.read_at(offset, length)
        except RangeError as error:
            raise self._unreadable(error, what, offset, length) from None

    def _cap(self, what: str, offset: int, length: int) -> None:
        if length > self.limits.read:
            message = f"{what}: {length} bytes are over the read cap of {self.limits.read}"
            raise Unreadable(Problem("cap", what, message, self.base + offset, length))

    def _unreadable(self, error: RangeError, what: str, offset: int, length: int) -> Unreadable:
        start = self.base + offset
        why = str(error).removeprefix(f"{self.source.name}: ")
        if isinstance(error, NotHeldError):
            why = f"bytes {start}..{start + length} of the stream were not kept"
        return Unreadable(Problem(error.problem, what, f"{what}: {why}", start, length))
