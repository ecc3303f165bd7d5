"""qcow2: what a walk over all tables gives, and how faults are gathered on the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from imgtool.formats.qcow2.facts import Qcow2Facts
from imgtool.model.tables import TableFacts

#: What can be wrong; the table rules give each its words.
FaultKind = Literal[
    "region-outside",
    "l1-reserved",
    "l1-no-offset",
    "l1-misaligned",
    "l1-outside",
    "l1-copied",
    "l2-reserved",
    "l2-no-offset",
    "l2-misaligned",
    "l2-outside",
    "l2-copied",
    "l2-zero-flag",
    "packed-outside",
    "packed-copied",
    "packed-elsewhere",
    "packed-bitmap",
    "packed-data",
    "subclusters-contradict",
    "subclusters-unplaced",
    "subclusters-outside",
    "refcount-reserved",
    "refcount-misaligned",
    "refcount-outside",
    "refcount-shared",
    "refcount-low",
    "refcount-overflow",
    "snapshot-table",
    "snapshot-short",
    "snapshot-elsewhere",
    "bitmap-entry",
    "bitmap-outside",
    "overlap",
    "leak",
]

#: Faults that `qemu-img check` does not count among its corruptions; leaks it counts apart.
UNCOUNTED: frozenset[FaultKind] = frozenset(
    ("l2-no-offset", "l2-zero-flag", "subclusters-outside", "packed-data", "overlap", "leak")
)


class Place(NamedTuple):
    """One offender: `offset` in bytes of the file (of the entry, or of the cluster), what stands there, what is
    said of it elsewhere."""

    offset: int
    value: int = 0
    other: int = 0
    what: str = ""


class Fault(NamedTuple):
    """All offenders of one kind: how many, and the first `limits.table_faults` of them."""

    kind: FaultKind
    total: int
    first: tuple[Place, ...]


class Faults:
    """Gathers faults; of each kind the first `listed` places are kept."""

    def __init__(self, listed: int) -> None:
        self.listed = listed
        self._counts: dict[FaultKind, int] = {}
        self._first: dict[FaultKind, list[Place]] = {}

    def add(self, kind: FaultKind, places: Iterable[Place], count: int) -> None:
        """`count` more faults of a kind, some of which lie at `places`."""
        if count <= 0:
            return
        self._counts[kind] = self._counts.get(kind, 0) + count
        kept = self._first.setdefault(kind, [])
        for place in places:
            if len(kept) >= self.listed:
                break
            kept.append(place)

    def one(self, kind: FaultKind, place: Place, times: int = 1) -> None:
        """A fault that counts `times`."""
        self.add(kind, (place,), times)

    def told(self) -> tuple[Fault, ...]:
        """All kinds that occurred, in the order in which they did."""
        return tuple(Fault(kind, count, tuple(self._first[kind])) for kind, count in self._counts.items())

    def count(self, kind: FaultKind) -> int:
        """How many of a kind there were."""
        return self._counts.get(kind, 0)

    def corruptions(self) -> int:
        """How many `qemu-img check` calls corruptions."""
        return sum(count for kind, count in self._counts.items() if kind not in UNCOUNTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Qcow2TableFacts(TableFacts):
    """Facts of all tables of a qcow2 image. `inflated` of its `compressed` clusters were inflated."""

    facts: Qcow2Facts
    faults: tuple[Fault, ...]
    inflated: int
    compressed: int

    def fault(self, kind: FaultKind) -> Fault | None:
        """The faults of one kind; None where there are none."""
        return next((fault for fault in self.faults if fault.kind == kind), None)
