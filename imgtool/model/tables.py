"""What a walk over all tables of an image gives: totals, and the facts that the table rules look at."""

from dataclasses import dataclass
from typing import NamedTuple

from imgtool.findings.core import Finding
from imgtool.model.facts import Facts
from imgtool.model.values import Problem

SCHEMA = "imgtool.check/1"


class Totals(NamedTuple):
    """Counts over all tables, in the words of `qemu-img check`. A cluster is the format's unit of allocation.

    `image_end_offset`: bytes up to the end of the last thing in use. `fragmented_clusters`: data clusters that do
    not lie on after the guest's cluster before them. `leaks`: clusters counted and not used; `corruptions`: clusters
    used and not counted, entries that do not hold, overlaps; `check_errors`: tables that could not be read. None
    where the format has no such thing.
    """

    image_end_offset: int | None = None
    total_clusters: int | None = None
    allocated_clusters: int | None = None
    fragmented_clusters: int | None = None
    compressed_clusters: int | None = None
    leaks: int = 0
    corruptions: int = 0
    check_errors: int = 0


class TableEntry(NamedTuple):
    """An entry of a table: of which block of the guest (or which table), and what it says."""

    number: int
    value: int


class Faulty(NamedTuple):
    """Entries of one fault: how many there are, and the first of them."""

    total: int
    first: tuple[TableEntry, ...]


NOT_FAULTY = Faulty(0, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts:
    """Facts of all tables of an image; every format that is checked has its own below this.

    `facts` are its header's. `problems` are tables that could not be read. `unit`: bytes of what a live image gives
    out and takes back, of which the last may lie past the end of the file; 0 where nothing is taken back.
    """

    facts: Facts
    totals: Totals
    problems: tuple[Problem, ...] = ()
    unit: int = 0


class Check(NamedTuple):
    """The deep check of one image (schema imgtool.check/1). `clean`: no finding worse than a note."""

    path: str
    format: str | None
    clean: bool
    totals: Totals | None
    findings: tuple[Finding, ...]
