"""The disk of a container's member, in place: nothing is extracted. What is compressed is decoded as it is read.

A disk has its member's name. What lies in a container inside has the names that this gives; after this one's own name
where it is no wrapper around it alone (`a.ova → disk1.vmdk`). The disks of a bare OVF descriptor are files beside it,
which are opened by permission.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from imgtool.detect.match import matches
from imgtool.detect.registry import Windows
from imgtool.disks.links import Permission, open_link
from imgtool.disks.recognise import Reading, recognise, signature_index
from imgtool.errors import ImgtoolError, InputError, UnsupportedError, UsageError
from imgtool.limits import Limits
from imgtool.model.values import Reference
from imgtool.sources.base import Source
from imgtool.sources.file import FileSource
from imgtool.sources.memory import Window

if TYPE_CHECKING:
    from imgtool.codecs.decode import Decoding
    from imgtool.containers.member import Member

#: Between the name of a container and that of a disk in it.
INSIDE = " → "


class Inside(Source):
    """A member's bytes, which keep their container open: closing them closes it."""

    __slots__ = ("_container", "_inner")

    def __init__(self, inner: Source, container: Source) -> None:
        self._inner = inner
        self._container = container
        self.name = inner.name
        self.size = inner.size

    def read_at(self, offset: int, length: int) -> bytes:
        return self._inner.read_at(offset, length)

    def data_extents(self) -> Iterator[tuple[int, int]]:
        return self._inner.data_extents()

    def close(self) -> None:
        self._inner.close()
        self._container.close()


class Beside(FileSource):
    """A file that a descriptor names, which keeps that open: closing it closes both."""

    __slots__ = ("_descriptor",)

    def __init__(self, file: FileSource, descriptor: Source) -> None:
        super().__init__(file.fd, os.fstat(file.fd), file.name)
        self._descriptor = descriptor

    def close(self) -> None:
        super().close()
        self._descriptor.close()


class Taken(NamedTuple):
    """The bytes of a member; `rest`: the name of the disk in it, where that was told; `allowed`: what may be
    followed from there."""

    source: Source
    rest: str | None
    allowed: Permission


def taken(source: Source, reading: Reading, name: str | None, limits: Limits, allowed: Permission) -> Taken:
    """The bytes of the disk member called `name`, or of the only one, as a Source that owns `source`.

    Raises UsageError where the name means none or not just one, UnsupportedError where there is no disk, DiskError
    where it is compressed and does not decode, InputError where it lies beside a descriptor and cannot be opened.
    """
    disks = _disks(reading) or _beside(source, reading, limits, allowed)
    if not disks:
        cure = "; they lie beside it: name one of them, or say --follow" if _is_bare(reading, allowed) else ""
        raise UnsupportedError(f"{source.name}: {reading.entry.name} without a disk in it{cure}")
    disk, rest = _chosen(source, disks, name)
    found = _bytes(source, disk, limits)
    if isinstance(found, FileSource) and isinstance(source, FileSource):
        return Taken(Beside(found, source), rest, allowed.below(source))
    return Taken(Inside(found, source), rest, Permission())


def file_beside(
    source: Source, reading: Reading, name: str | None, limits: Limits, allowed: Permission
) -> tuple[str, Source] | None:
    """The disk beside an OVF descriptor that `taken` takes, opened, and its name; None where `source` is no such
    descriptor. Raises as `taken` does."""
    disks = _beside(source, reading, limits, allowed)
    if not disks:
        return None
    disk, _ = _chosen(source, disks, name)
    return disk.name, _bytes(source, disk, limits)


def disk_members(
    source: Source, reading: Reading, limits: Limits, leave: Container[str] = ()
) -> Iterator[tuple[str, Source]]:
    """Every disk member of a container with its name, but for those called as in `leave`, and those whose bytes
    cannot be decoded."""
    for disk in _disks(reading):
        if disk.name in leave:
            continue
        try:
            yield disk.name, _bytes(source, disk, limits)
        except InputError:
            continue


def disk_names(
    source: Source,
    reading: Reading,
    limits: Limits,
    allowed: Permission = Permission(),  # noqa: B008 - a frozen value
) -> tuple[str, ...]:
    """The names of the disks of a container, and of those in containers inside; none where it is no container.
    Nothing beside it is opened."""
    beside = _beside(source, reading, limits, allowed)
    if beside:
        return tuple(disk.name for disk in beside)
    return _names(source, reading, limits, 0, iter(range(limits.nested_reports)))


def _names(source: Source, reading: Reading, limits: Limits, depth: int, looks: Iterator[int]) -> tuple[str, ...]:
    """See `disk_names`. `depth` counts the containers around it; each look into a member takes one of `looks`."""
    disks, names = _disks(reading), list[str]()
    for disk in disks:
        inner = _names_inside(source, disk, limits, depth + 1, looks)
        if len(inner) < 2:
            names.append(disk.name)
        else:
            names += inner if _wraps(disks) else [f"{disk.name}{INSIDE}{name}" for name in inner]
    return tuple(names)


def _names_inside(source: Source, disk: Member, limits: Limits, depth: int, looks: Iterator[int]) -> tuple[str, ...]:
    """The names of the disks in a member; none where it is no container, or cannot be looked into."""
    if depth >= limits.depth or next(looks, None) is None or not _may_hold(disk, limits):
        return ()
    try:
        inner = _bytes(source, disk, limits)
        return _names(inner, recognise(inner, limits).primary, limits, depth, looks)
    except ImgtoolError:
        return ()


def _may_hold(disk: Member, limits: Limits) -> bool:
    """Whether the bytes of a member may be a container: of what must be decoded, its head tells."""
    if disk.stream is None:
        return disk.source is not None
    from imgtool.codecs.feed import CodecError

    head = bytearray()
    try:
        for part in disk.stream():
            head += part
            if len(head) >= limits.head:
                break
    except CodecError:
        return False
    windows = Windows(bytes(head[: limits.head]), b"", len(head))
    return any(match.entry.kind == "container" for match in matches(windows, signature_index()))


def _wraps(disks: list[Member]) -> bool:
    """True for what is in a wrapper: all that is in it, and its name is none that anybody chose."""
    return len(disks) == 1 and disks[0].role == "content"


def _disks(reading: Reading) -> list[Member]:
    if reading.entry.kind != "container":
        return []
    from imgtool.containers.member import ContainerFacts

    members = reading.facts.members if isinstance(reading.facts, ContainerFacts) else ()
    return [member for member in members if member.role in ("disk", "content")]


def _is_bare(reading: Reading, allowed: Permission) -> bool:
    """True for an OVF descriptor beside which nothing may be opened."""
    return reading.entry.name == "ovf" and not allowed.folders


def _beside(source: Source, reading: Reading, limits: Limits, allowed: Permission) -> list[Member]:
    """The disks of a bare OVF descriptor: files beside it, where these may be opened."""
    if reading.entry.name != "ovf" or not allowed.folders or not isinstance(source, FileSource):
        return []
    from imgtool.containers.envelope.facts import EnvelopeFacts
    from imgtool.containers.member import Member

    facts = reading.facts
    if not isinstance(facts, EnvelopeFacts):
        return []
    refs = {disk.file_ref for disk in facts.disks if disk.file_ref is not None}
    below = allowed.below(source)

    def opener(href: str) -> Callable[[], Source]:
        return partial(open_link, Reference("href", href), source.name, below, limits.chain_depth)

    hrefs = dict.fromkeys(file.href for file in facts.files if file.id in refs)
    return [Member(href, None, "disk", source=opener(href)) for href in hrefs]


def _bytes(source: Source, member: Member, limits: Limits) -> Source:
    if member.source is not None:
        return member.source()
    from imgtool.codecs.decode import Decoding

    decoding = member.stream() if member.stream is not None else None
    if not isinstance(decoding, Decoding):
        raise UnsupportedError(f"{source.name}: {member.name} has no bytes in it that can be read")
    return _decoded(decoding, f"{source.name}: {member.name}", limits)


def _decoded(decoding: Decoding, name: str, limits: Limits) -> Source:
    from imgtool.codecs.seekable import SeekableDecoding

    feed = decoding.feed
    if decoding.method == "stored":
        return Window(feed.source, feed.start, feed.left, name)
    size = decoding.expected.size if decoding.expected is not None else None
    return SeekableDecoding(decoding, name, limits, size)


def _chosen(source: Source, disks: list[Member], name: str | None) -> tuple[Member, str | None]:
    """The member that is, or has inside, the disk called `name`; and how that is called there."""
    named = [disk for disk in disks if name is None or disk.name == name]
    if len(named) == 1:
        return named[0], None
    if not named and name is not None:
        if _wraps(disks):
            return disks[0], name
        around = [disk for disk in disks if name.startswith(disk.name + INSIDE)]
        if len(around) == 1:
            return around[0], name.removeprefix(around[0].name + INSIDE)
    known = ", ".join(disk.name for disk in disks[:10])
    if not named:
        raise UsageError(f"{source.name}: no disk called {name!r} in it (there are: {known})")
    raise UsageError(f"{source.name}: several disks in it ({known}); name one by --member")
