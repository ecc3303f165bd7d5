"""The disk of a container's member, in place: nothing is extracted."""

from __future__ import annotations

from imgtool.containers.member import ContainerFacts, Member
from imgtool.disks.recognise import Reading
from imgtool.errors import UnsupportedError, UsageError
from imgtool.limits import Limits
from imgtool.sources.base import Source


def member_source(source: Source, reading: Reading, name: str | None, limits: Limits) -> Source:
    """The bytes of the disk member called `name`, or of the only one, as a Source.

    Raises UsageError where the name means none or not just one, UnsupportedError where there is no disk.
    """
    facts = reading.facts
    members = facts.members if isinstance(facts, ContainerFacts) else ()
    disks = [member for member in members if member.role in ("disk", "content")]
    if not disks:
        raise UnsupportedError(f"{source.name}: {reading.entry.name} without a disk in it")
    chosen = _chosen(source, disks, name)
    if chosen.source is None:
        raise UnsupportedError(f"{source.name}: {chosen.name} has no bytes in it")
    return chosen.source()


def _chosen(source: Source, disks: list[Member], name: str | None) -> Member:
    named = [disk for disk in disks if name is None or disk.name == name]
    if len(named) == 1:
        return named[0]
    known = ", ".join(disk.name for disk in disks[:10])
    if not named:
        raise UsageError(f"{source.name}: no disk called {name!r} in it (there are: {known})")
    raise UsageError(f"{source.name}: several disks in it; name one of {known}")
