"""The disk of a container's member, in place: nothing is extracted. What is compressed is decoded as it is read."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import TYPE_CHECKING

from imgtool.disks.recognise import Reading
from imgtool.errors import InputError, UnsupportedError, UsageError
from imgtool.limits import Limits
from imgtool.sources.base import Source
from imgtool.sources.memory import Window

if TYPE_CHECKING:
    from imgtool.codecs.decode import Decoding
    from imgtool.containers.member import Member


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


def member_source(source: Source, reading: Reading, name: str | None, limits: Limits) -> Source:
    """The bytes of the disk member called `name`, or of the only one, as a Source that owns `source`.

    Raises UsageError where the name means none or not just one, UnsupportedError where there is no disk, DiskError
    where it is compressed and does not decode.
    """
    disks = _disks(reading)
    if not disks:
        raise UnsupportedError(f"{source.name}: {reading.entry.name} without a disk in it")
    return Inside(_bytes(source, _chosen(source, disks, name), limits), source)


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


def disk_names(reading: Reading) -> tuple[str, ...]:
    """The names of the disks of a container; none where it is no container."""
    return tuple(disk.name for disk in _disks(reading))


def _disks(reading: Reading) -> list[Member]:
    if reading.entry.kind != "container":
        return []
    from imgtool.containers.member import ContainerFacts

    members = reading.facts.members if isinstance(reading.facts, ContainerFacts) else ()
    return [member for member in members if member.role in ("disk", "content")]


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


def _chosen(source: Source, disks: list[Member], name: str | None) -> Member:
    named = [disk for disk in disks if name is None or disk.name == name]
    if len(named) == 1:
        return named[0]
    known = ", ".join(disk.name for disk in disks[:10])
    if not named:
        raise UsageError(f"{source.name}: no disk called {name!r} in it (there are: {known})")
    raise UsageError(f"{source.name}: several disks in it ({known}); name one by --member")
