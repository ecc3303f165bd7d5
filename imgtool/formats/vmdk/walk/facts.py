"""What the walk over all tables of a sparse extent finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from imgtool.formats.vmdk.facts import VmdkFacts
from imgtool.formats.vmdk.hosted import Fault
from imgtool.model.tables import NOT_FAULTY, Faulty, TableFacts
from imgtool.sources.claims import NO_LABEL, Overlap

#: Labels of what is no grain, from here down: areas by their place in AREAS, then tables by their number.
_AREA = -2
_TABLE = -1_000
_REDUNDANT = -(1 << 40)

AREAS = (
    "the header",
    "the descriptor",
    "the grain directory",
    "the redundant grain directory",
    "the footer",
    "the volatile header",
)


def area_label(name: str) -> int:
    """The label of one of AREAS."""
    return _AREA - AREAS.index(name)


def table_base(redundant: bool) -> int:
    """The label of table 0; those of the others count down from it."""
    return _REDUNDANT if redundant else _TABLE


def label_name(label: int) -> str:
    """What a label stands for, for people."""
    if label >= 0:
        return f"grain {label}"
    if label == NO_LABEL:
        return "what was given out before"
    if label <= _REDUNDANT:
        return f"redundant grain table {_REDUNDANT - label}"
    if label <= _TABLE:
        return f"grain table {_TABLE - label}"
    return AREAS[_AREA - label]


class PackedGrain(NamedTuple):
    """A compressed grain that does not hold: which one, where it lies, and why."""

    number: int
    host: int
    message: str


class PackedFaults(NamedTuple):
    """Compressed grains that failed at one thing: how many, and the first of them."""

    fault: Fault
    total: int
    first: tuple[PackedGrain, ...]


class Redundant(NamedTuple):
    """How the redundant tables compare: how many differ and the first that does; how many are the primary ones
    themselves and no copies."""

    differing: int
    first: int | None
    shared: int


class Stray(NamedTuple):
    """A grain of a stream that no table has: byte of its marker, and the sector it says it is."""

    offset: int
    sector: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VmdkTables(TableFacts):
    """All tables of a sparse extent. `grain` and `stale` in bytes; entries are of grains, or of tables.

    `unflagged`: entries of 1 though the header has no zeroed grains; `unknown`: entries that say nothing known;
    `unmarked`: tables of a stream without their marker; `stale`: bytes that nothing uses, the first at `stale_at`.
    """

    facts: VmdkFacts
    grain: int = 0
    tables_outside: Faulty = NOT_FAULTY
    grains_outside: Faulty = NOT_FAULTY
    unknown: Faulty = NOT_FAULTY
    unflagged: Faulty = NOT_FAULTY
    unmarked: Faulty = NOT_FAULTY
    overlaps: int = 0
    overlapping: tuple[Overlap, ...] = ()
    packed: tuple[PackedFaults, ...] = ()
    redundant: Redundant | None = None
    strays: tuple[Stray, ...] = ()
    stray_total: int = 0
    stale: int = 0
    stale_at: int | None = None
