"""What lies inside raw bytes: tables, partitions, file systems, boot facts; one call for all of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from imgtool.detect.registry import Entry, Windows
from imgtool.limits import Limits
from imgtool.model.facts import Facts
from imgtool.model.values import Facet
from imgtool.model.volumes import Partition, Volumes
from imgtool.structs.view import Unreadable, View
from imgtool.units import SECTOR
from imgtool.volumes import TABLES

if TYPE_CHECKING:
    from imgtool.volumes.partitions.facts import ApmFacts, GptFacts, MbrFacts, TableFacts
    from imgtool.volumes.place import Located

_ENTRIES = {entry.name: entry for entry in TABLES}


class Survey(NamedTuple):
    """`volumes` for the report, the facets it adds, and the facts that the rules of each entry look at."""

    volumes: Volumes
    facets: tuple[Facet, ...]
    facts: tuple[tuple[Entry, Facts], ...]


#: What there is where head and tail are zeros: every mark that is known lies in one of them.
NOTHING = Survey(Volumes((), (), None), (), ())


class _Tables(NamedTuple):
    """The tables that were read, and those whose mark is there and that could not be."""

    facts: tuple[TableFacts, ...]
    unreadable: tuple[Facet, ...]


def survey(view: View, limits: Limits, outer: str) -> Survey:
    """Everything inside the bytes of `view`; `outer` names the format around them ("raw", "iso", "vhd")."""
    windows = Windows(view.peek(0, limits.head), _tail(view, limits), view.size)
    if _zeros(windows.head) and _zeros(windows.tail):
        return NOTHING
    from imgtool.volumes.boot import boot_of
    from imgtool.volumes.place import read_place

    around = "iso" if _optical(windows) else outer
    tables = _tables(view, windows, limits, around)
    places = _Places(view, limits)
    known = tuple(places.attach(facts) for facts in tables.facts)
    known = tuple(_sector_size(view, facts, places, limits) for facts in known)
    systems = () if _is_kernel(windows) else read_place(view, 0, view.size, limits)
    systems = tuple(located for located in systems if outer != "iso" or located.entry.name not in ("iso9660", "udf"))
    outside = _told(systems, view.size, around, beside_table=bool(known))
    inside = places.told(around)
    shown = tuple(facts.table for facts in known)
    every = tuple(located.facts for located in (*outside, *inside))
    volumes = Volumes(
        shown,
        tuple(located.facts.filesystem for located in outside),
        boot_of(windows.head[:SECTOR], shown, every),
    )
    facets = [*tables.unreadable, *(Facet(facts.format, facts.mark, facts.broken) for facts in known)]
    facets += [Facet(located.facts.format, located.mark) for located in outside]
    pairs: list[tuple[Entry, Facts]] = [(_ENTRIES[facts.format], facts) for facts in known]
    pairs += [(located.entry, located.facts) for located in (*outside, *inside)]
    return Survey(volumes, tuple(facets), tuple(pairs))


def _optical(windows: Windows) -> bool:
    """True where an ISO 9660 volume begins with the bytes: tables in its system area are a hybrid image's, whatever
    disk it was written to."""
    return windows.head[0x8001:0x8006] == b"CD001"


def _zeros(window: bytes) -> bool:
    return bool(window) and window == bytes(len(window))


def _tail(view: View, limits: Limits) -> bytes:
    length = min(limits.tail, view.size)
    try:
        return view.peek(view.size - length, length)
    except Unreadable:
        return b""


def _is_kernel(windows: Windows) -> bool:
    from imgtool.volumes.probes import is_kernel

    return is_kernel(windows.head)


def _tables(view: View, windows: Windows, limits: Limits, outer: str) -> _Tables:
    """The tables of the bytes. A GPT and an MBR with partitions of its own are both hybrid."""
    from imgtool.volumes.partitions import apm, gpt, mbr
    from imgtool.volumes.probes import boot_record, lone_backup

    found: list[TableFacts] = []
    unreadable: list[Facet] = []
    guid: GptFacts | None = None
    try:
        guid = gpt.read(view, limits, orphan=lone_backup(windows))
    except Unreadable as error:
        view.note(error.problem)
        if error.problem.kind != "not-read":
            unreadable.append(Facet("gpt", error.problem.offset or 0, True))
    record: MbrFacts | None = None
    if boot_record(windows):
        record = mbr.read(view, limits)
    if guid is not None and record is not None:
        if guid.table.sector_size != SECTOR:
            record = mbr.read_at_sector_size(view, record, guid.table.sector_size, limits)
        guid = replace(guid, table=guid.table._replace(hybrid=True))
        record = replace(record, table=record.table._replace(hybrid=True), guarded=True)
    apple: ApmFacts | None = apm.read(view, limits)
    found += [facts for facts in (guid, record, apple) if facts is not None]
    return _Tables(tuple(replace(facts, outer=outer) for facts in found), tuple(unreadable))


class _Places:
    """What begins where partitions do: each place is read once, `limits.partitions_surveyed` places at most."""

    def __init__(self, view: View, limits: Limits) -> None:
        self._view = view
        self._limits = limits
        self._left = limits.partitions_surveyed
        self._read: dict[int, tuple[tuple[Located, ...], int]] = {}

    def attach(self, facts: TableFacts) -> TableFacts:
        """The table with the file system of each partition."""
        partitions = tuple(self._with_system(partition) for partition in facts.table.partitions)
        return replace(facts, table=facts.table._replace(partitions=partitions))

    def _with_system(self, partition: Partition) -> Partition:
        located = self._at(partition)
        return partition._replace(filesystem=located[0].facts.filesystem) if located else partition

    def _at(self, partition: Partition) -> tuple[Located, ...]:
        from imgtool.volumes.partitions.types import CONTAINERS
        from imgtool.volumes.place import read_place

        start = partition.start
        if partition.type in CONTAINERS or start >= self._view.size or partition.length <= 0:
            return ()
        if start not in self._read:
            if not self._left:
                return ()
            self._left -= 1
            self._read[start] = (read_place(self._view, start, partition.length, self._limits), partition.length)
        return self._read[start][0]

    def told(self, outer: str) -> tuple[Located, ...]:
        """What was found, for the rules: not what begins where the whole does."""
        return tuple(
            located
            for start, (systems, room) in sorted(self._read.items())
            if start
            for located in _told(systems, room, outer)[:1]
        )


def _told(systems: tuple[Located, ...], room: int, outer: str, *, beside_table: bool = False) -> tuple[Located, ...]:
    """What was found at one place of `room` bytes, with what the rules want to know of its neighbours."""
    names = [located.facts.format for located in systems]
    return tuple(
        located._replace(
            facts=replace(
                located.facts,
                file_size=room,
                outer=outer,
                beside_table=beside_table,
                others=tuple(name for name in names[1:] if name != located.facts.format) if index == 0 else (),
            )
        )
        for index, located in enumerate(systems)
    )


def _sector_size(view: View, facts: TableFacts, places: _Places, limits: Limits) -> TableFacts:
    """An MBR with sectors of 4,096 bytes where file systems begin there and none where 512 would have them:
    the record itself does not say."""
    from imgtool.volumes.partitions import mbr
    from imgtool.volumes.partitions.facts import MbrFacts

    if not isinstance(facts, MbrFacts) or facts.guarded or facts.outer == "iso":
        return facts
    if any(partition.filesystem for partition in facts.table.partitions):
        return facts
    scratch = View(view.source, limits)
    if not any(
        partition.filesystem
        for partition in _Places(scratch, limits)
        .attach(mbr.read_at_sector_size(scratch, facts, 4096, limits))
        .partitions
    ):
        return facts
    return places.attach(mbr.read_at_sector_size(view, facts, 4096, limits))
