"""open_disk: any image to a Disk. Detection, the format's own opener, and what it refers to, by permission."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import IO

from imgtool.detect.match import resolve
from imgtool.disks.links import Permission, RefusedLinkError, open_link, permission
from imgtool.disks.recognise import Reading, entry_named, read_as, recognise
from imgtool.disks.siblings import by_uuid, open_by_uuid
from imgtool.errors import InputError, UnsupportedError, UsageError
from imgtool.formats import RAW
from imgtool.limits import DEFAULT, Limits
from imgtool.model.facts import Facts
from imgtool.model.values import Reference
from imgtool.sources.base import Source
from imgtool.sources.disk import Disk, DiskError, EncryptedError, Linked
from imgtool.sources.file import FileSource, open_file
from imgtool.sources.flat import FlatDisk

#: A format's opener: (source, facts, limits, links, snapshot) -> Disk. It takes what it refers to, opened.
Opener = Callable[[Source, Facts, Limits, tuple[Linked, ...], str | None], Disk]

#: References whose target is read as bytes, not as an image of its own.
_BYTES = frozenset({"data-file", "extent"})

#: References that hold guest bytes; others (a change tracking file) are not needed to read a disk.
_NEEDED = _BYTES | {"backing", "parent"}


def open_disk(
    path_or_fileobj: str | os.PathLike[str] | IO[bytes],
    *,
    format: str | None = None,
    snapshot: str | None = None,
    member: str | None = None,
    follow: bool | str | os.PathLike[str] = False,
    device: bool = False,
    limits: Limits = DEFAULT,
) -> Disk:
    """The guest's disk of an image: `size`, `read_at(offset, length)`, `extents()`, `open()`; a context manager.

    `format`: what the image is, by name; detected when not given, and never guessed around when it is.
    `snapshot`: an internal snapshot by name or id. `member`: which disk of a container, by name; not needed where
    there is one. `follow`: whether backing files, parents, data files, extents and the disks beside an OVF descriptor
    may be opened: True for those in the image's own folder, a path for those below that folder.

    Raises InputError where the image cannot be read, UnsupportedError where its disk cannot (encrypted, no disk in
    it), DiskError where its structure does not hold, RefusedLinkError where a reference leads too far, UsageError for
    an empty folder to follow in.
    """
    if isinstance(path_or_fileobj, (str, os.PathLike)):
        path = os.fsdecode(path_or_fileobj)
        allowed = permission(follow, path)
        source: Source = open_file(path, device)
    else:
        from imgtool.sources.fileobj import FileObjectSource

        source, allowed = FileObjectSource(path_or_fileobj), Permission()
    try:
        return disk_of(source, limits, format=format, snapshot=snapshot, member=member, allowed=allowed)
    except BaseException:
        source.close()
        raise


def disk_of(
    source: Source,
    limits: Limits,
    *,
    format: str | None = None,
    snapshot: str | None = None,
    member: str | None = None,
    allowed: Permission = Permission(),  # noqa: B008 - a frozen value
    depth: int = 0,
) -> Disk:
    """The guest's disk of a source that is already open; the Disk owns the source then. `depth` counts the containers
    around it."""
    if format is not None:
        reading = read_as(entry_named(format), source, limits)
    else:
        reading = recognise(source, limits).primary
    entry, facts = reading.entry, reading.facts
    if member is not None and entry.kind != "container":
        raise UsageError(f"{source.name}: is no container but {entry.name}; leave the member {member!r} out")
    if entry.kind == "container":
        if depth >= limits.depth:
            raise UnsupportedError(f"{source.name}: containers are nested deeper than {limits.depth}")
        return _inside(source, reading, limits, snapshot, member, allowed, depth + 1)
    if entry.kind in ("kernel", "ramdisk"):
        raise UnsupportedError(f"{source.name}: a {entry.kind}, not a disk")
    if facts.encrypted:
        raise EncryptedError(f"{source.name}: the guest's bytes are encrypted; they cannot be read")
    if facts.broken or facts.virtual_size is None:
        reason = facts.problems[0].message if facts.problems else "its header does not hold"
        raise DiskError(f"{source.name}: broken {entry.name}: {reason}")
    if entry.disk is None:
        if snapshot is not None:
            raise UsageError(f"{source.name}: {entry.name} has no internal snapshots")
        return _flat(source, reading)
    links = _links(source, facts, limits, allowed) if allowed.folders else ()
    opener: Opener = resolve(entry.disk)
    try:
        return opener(source, facts, limits, links, snapshot)
    except BaseException:
        _close(links)
        raise


def _inside(
    source: Source,
    reading: Reading,
    limits: Limits,
    snapshot: str | None,
    member: str | None,
    allowed: Permission,
    depth: int,
) -> Disk:
    """The disk of a container's member."""
    from imgtool.disks.members import taken

    inner, rest, below = taken(source, reading, member, limits, allowed)
    try:
        return disk_of(inner, limits, snapshot=snapshot, member=rest, allowed=below, depth=depth)
    except BaseException:
        inner.close()
        raise


def _flat(source: Source, reading: Reading) -> Disk:
    if reading.facts.flat is None:
        raise UnsupportedError(f"{source.name}: the guest's bytes of {reading.entry.name} cannot be read")
    start, length = reading.facts.flat
    return FlatDisk(source, length, start)


def _links(source: Source, facts: Facts, limits: Limits, allowed: Permission) -> tuple[Linked, ...]:
    """Everything the image refers to, opened. Of several names for one parent the first that can be opened."""
    if not isinstance(source, FileSource):
        return ()
    found: list[Linked] = []
    refused: InputError | None = None
    for reference in facts.references:
        if reference.kind not in _NEEDED:
            continue
        if reference.kind in ("parent", "backing") and any(link.reference.kind == reference.kind for link in found):
            continue
        try:
            found.append(_link(reference, source, limits, allowed))
        except InputError as error:
            if refused is None or isinstance(refused, RefusedLinkError):
                refused = error
            if reference.kind not in ("parent",):
                _close(found)
                raise
    if refused is not None and not any(link.reference.kind == "parent" for link in found):
        _close(found)
        raise refused
    return tuple(found)


def _link(reference: Reference, source: FileSource, limits: Limits, allowed: Permission) -> Linked:
    below = allowed.below(source)
    if by_uuid(reference):
        target = open_by_uuid(reference, source.name, below, limits)
    else:
        target = open_link(reference, source.name, below, limits.chain_depth)
    try:
        if reference.kind in _BYTES:
            return Linked(reference, target)
        reading = _target_reading(reference, target, limits)
        disk = disk_of(target, limits, format=reading.entry.name, allowed=below)
        return Linked(reference, disk, reading.facts)
    except BaseException:
        target.close()
        raise


def _target_reading(reference: Reference, target: Source, limits: Limits) -> Reading:
    """What a backing file or parent is: as the image says, else as detected; raw where that is no disk format."""
    if not reference.format:
        reading = recognise(target, limits).primary
        return reading if reading.entry.kind == "format" else read_as(RAW, target, limits)
    try:
        return read_as(entry_named(reference.format), target, limits)
    except UsageError as error:
        raise DiskError(f"{target.name}: said to be {reference.format!r}: {error}") from error


def _close(links: Iterable[Linked]) -> None:
    for link in links:
        link.disk.close()
