"""What a source is: every format and container whose mark holds, read; and which of them it is called.

Of the two guards that catch everything this holds the one around a reader. What it catches is a bug of ours:
it becomes a Failure, which the inspection turns into a finding that rejects.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeVar

from imgtool.containers import CONTAINERS
from imgtool.detect.match import Index, build_index, matches, resolve
from imgtool.detect.registry import Entry, Match, Windows
from imgtool.errors import ImgtoolError, UsageError
from imgtool.formats import FORMATS, RAW
from imgtool.limits import Limits
from imgtool.model.facts import Facts
from imgtool.sources.base import Source
from imgtool.sources.memory import Peeked
from imgtool.structs.view import Unreadable, View
from imgtool.volumes import VOLUMES

T = TypeVar("T")

#: Kinds of entries whose readers are asked for the whole source.
WHOLE = frozenset({"format", "container", "kernel", "ramdisk"})


class Reading(NamedTuple):
    """A format or container that holds, and the facts its reader gave; `offset` is where its mark lies."""

    entry: Entry
    facts: Facts
    offset: int


class Failure(NamedTuple):
    """A guard caught what should never come: `where` names the reader or rule, `error` what it raised."""

    where: str
    error: str


class Recognised(NamedTuple):
    """What was seen of a source. `views` are those the readers used: they know what was parsed."""

    source: Peeked
    matches: tuple[Match, ...]
    readings: tuple[Reading, ...]
    primary: Reading
    views: list[View]
    failures: list[Failure]


@lru_cache(maxsize=1)
def signature_index() -> Index:
    """All signatures of the three registries."""
    return build_index((*FORMATS, *CONTAINERS, *VOLUMES))


def recognise(source: Source, limits: Limits) -> Recognised:
    """Everything that `source` is. Raises InputError where its bytes cannot be read at all."""
    peeked = Peeked(source, limits.head, limits.tail)
    found = tuple(matches(_windows(peeked, limits), signature_index()))
    views: list[View] = []
    failures: list[Failure] = []
    readings: list[Reading] = []
    for match in found:
        if match.entry.kind not in WHOLE:
            continue
        view = View(peeked, limits)
        facts = guarded_read(match.entry, view, failures)
        if facts is not None:
            views.append(view)
            readings.append(Reading(match.entry, facts, match.offset))
    primary = _primary(readings) if readings else _raw(peeked, limits, views)
    return Recognised(peeked, found, tuple(readings), primary, views, failures)


def read_as(entry: Entry, source: Source, limits: Limits) -> Reading:
    """`source` as the format it is said to be, whatever else it may look like. Raises UsageError where it is not."""
    peeked = Peeked(source, limits.head, limits.tail)
    offsets = [match.offset for match in matches(_windows(peeked, limits), build_index((entry,)))]
    if not offsets and entry.signatures:
        raise UsageError(f"{source.name}: is not {entry.name}: its mark is not there")
    failures: list[Failure] = []
    facts = guarded_read(entry, View(peeked, limits), failures)
    if facts is None:
        raise UsageError(f"{source.name}: is not {entry.name}")
    return Reading(entry, facts, offsets[0] if offsets else 0)


def _windows(peeked: Peeked, limits: Limits) -> Windows:
    return Windows(peeked.head, peeked.tail, peeked.size, peeked.before_tail(limits.far_tail))


def entry_named(name: str) -> Entry:
    """The format that a name or alias means. Raises UsageError."""
    low = name.strip().lower()
    for entry in FORMATS:
        if low == entry.name:
            return entry
    for entry in FORMATS:
        if low in (entry.qemu, entry.glance, *entry.aliases):
            return entry
    raise UsageError(f"no such format: {name!r} (one of {', '.join(entry.name for entry in FORMATS)})")


def guarded(place: str, work: Callable[[], T], failures: list[Failure]) -> T | None:
    """What `work` gives: the guard around a reader, whose "module:function" is `place`.

    Unreadable and ImgtoolError pass; any other error is a bug of ours and becomes a Failure.
    """
    try:
        return work()
    except (Unreadable, ImgtoolError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - the guard around a reader (DESIGN.md, rule 4)
        failures.append(Failure(place, f"{type(error).__name__}: {error}"))
    return None


def guarded_read(entry: Entry, view: View, failures: list[Failure]) -> Facts | None:
    """The facts of `entry`'s reader; None when it says that the content is not this format.

    What the reader itself calls unreadable, and a Failure, give broken facts.
    """
    before = len(failures)
    try:
        facts: Facts | None = guarded(entry.reader, lambda: resolve(entry.reader)(view, view.limits), failures)
    except Unreadable as error:
        view.note(error.problem)
    else:
        if len(failures) == before:
            return facts
    return Facts(format=entry.name, file_size=view.size, broken=True, partial=True, problems=view.problems)


def _primary(readings: list[Reading]) -> Reading:
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
