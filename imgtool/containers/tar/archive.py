"""Reading a tar by offset: its members one after the other, nothing extracted, every number capped.

Where programs differ in what they make of an archive (data after a link, a pax size that is no number),
that is a problem: what one of them checks must not be another one's blind spot.

References: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual,
"Basic Tar Format".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from imgtool.containers.tar import layout as lay
from imgtool.containers.tar.extended import Extended, pax_records
from imgtool.containers.tar.numbers import checksum_holds, number, rounded
from imgtool.limits import Limits
from imgtool.model.values import Problem, c_text
from imgtool.sources.base import Source
from imgtool.sources.memory import Window
from imgtool.structs.view import Unreadable, View


class TarMember(NamedTuple):
    """A member. `offset` and `size` are of its bytes in the archive, `real_size` of what they unpack to.

    `kind`: file, sparse, folder, symlink, hardlink, char-device, block-device, fifo or other. The bytes of
    a sparse one do not lie in the archive as they are. `name` and `link` are as stored.
    """

    name: str
    kind: str
    size: int
    real_size: int
    offset: int
    header_offset: int
    link: str = ""

    @property
    def plain_name(self) -> str:
        """The name without a leading `./` and a trailing slash."""
        return plain(self.name)

    @property
    def has_data(self) -> bool:
        """True where bytes follow. POSIX reads a type that it does not know as a file."""
        return self.kind in ("file", "sparse", "other")


class Archive(NamedTuple):
    """What a walk found. `ended`: the end mark (a block of zeros) was there. `whole`: all members were seen.

    `end`: where the walk ended. `behind`: the first byte behind the end mark that is no padding, None where
    there is none.
    """

    members: tuple[TarMember, ...]
    ended: bool
    whole: bool
    end: int
    behind: int | None = None


#: An archive without members.
NO_ARCHIVE = Archive((), True, True, 0)


def plain(name: str) -> str:
    """`name` without leading `./` and trailing slashes, as members are compared."""
    while name.startswith("./"):
        name = name[2:]
    return name.rstrip("/")


def window(source: Source, member: TarMember) -> Callable[[], Source] | None:
    """How to get at the bytes of a member that lie in the archive as they are; None for any other."""
    if member.kind not in ("file", "other"):
        return None
    return lambda: Window(source, member.offset, member.size, member.name)


def read_archive(view: View, limits: Limits, mark: Callable[[TarMember], bool]) -> Archive | None:
    """All members, at most `limits.members`.

    None when not even the first header holds, or when none of the first `limits.tar_search` members has the
    `mark` of what is looked for: most tars are something else, and some are long.
    """
    walk = Walk(view, limits)
    members: list[TarMember] = []
    whole, marked = True, False
    for member in walk:
        members.append(member)
        marked = marked or mark(member)
        if not marked and len(members) >= limits.tar_search:
            return None
        if len(members) >= limits.members:
            whole = False
            view.problem("tar members", f"more than {limits.members} members", kind="cap", offset=walk.position)
            break
    if not members and not walk.ended:
        return None
    behind = _behind(view, walk.position, limits) if walk.ended else None
    return Archive(tuple(members), walk.ended, whole and walk.sound, walk.position, behind)


def _behind(view: View, end: int, limits: Limits) -> int | None:
    """Where something follows the end mark at `end`: bytes within a record's padding, or more than that has."""
    length = min(view.size - end, limits.tar_record)
    try:
        padding = view.peek(end, length)
    except Unreadable:  # not kept of a stream
        return None
    rest = padding.lstrip(b"\0")
    if rest:
        return end + length - len(rest)
    return end + length if view.size - end > length else None


class Walk:
    """Iterates over the members lazily; `position` is the next header's offset. `ended`: the end mark was there;
    `sound`: nothing kept a member from being seen."""

    def __init__(self, view: View, limits: Limits) -> None:
        self.position = 0
        self.ended = False
        self.sound = True
        self._view = view
        self._limits = limits
        self._global = Extended()
        self._extended = limits.tar_extended_total

    def __iter__(self) -> Iterator[TarMember]:
        pending = Extended()
        for _ in range(self._limits.tar_headers):
            start = self.position
            try:
                header = self._header(start)
                if header is None:
                    return
                if header.typeflag in lay.EXTENSIONS:
                    pending = self._extension(header, pending, start)
                    continue
                member = self._member(header, self._global.under(pending), start)
            except Unreadable as error:
                self.sound = False
                self._view.note(error.problem)
                return
            pending = Extended()
            yield member
        self.sound = False
        message = f"more than {self._limits.tar_headers} headers"
        self._view.problem("tar headers", message, kind="cap", offset=self.position)

    def _header(self, start: int) -> lay.Header | None:
        """The header at `start`; None at the end of the archive."""
        if start >= self._view.size:
            return None
        raw = self._block(start)
        if not raw.strip(b"\0"):
            self.ended = True
            return None
        if not checksum_holds(raw):
            message = f"tar header at {start}: the checksum does not hold"
            problem = Problem("malformed", lay.HEADER.name, message, start, lay.BLOCK)
            if raw[lay.MAGIC_AT : lay.MAGIC_AT + len(lay.MAGIC)] != lay.MAGIC:
                raise Unreadable(problem)
            self._view.note(problem)  # by its magic it is a header all the same, and what follows must not go unseen
        return self._view.decode(lay.HEADER, raw, start)

    def _block(self, start: int) -> bytes:
        return self._view.read(start, lay.BLOCK, lay.HEADER.name)

    def _extension(self, header: lay.Header, pending: Extended, start: int) -> Extended:
        """`pending` with what an extended header says of the member after it."""
        size = self._size(header, start)
        cap = min(self._limits.tar_extended, self._extended)
        if size > cap:
            message = f"extended tar header of {size} bytes is over the cap of {cap}"
            raise Unreadable(Problem("cap", "tar extended header", message, start, lay.BLOCK))
        data = self._view.read(start + lay.BLOCK, size, "tar extended header")
        self.position = start + lay.BLOCK + rounded(size)
        self._extended -= size
        if header.typeflag == lay.GNU_LONG_NAME:
            return pending._replace(path=c_text(data))
        if header.typeflag == lay.GNU_LONG_LINK:
            return pending._replace(linkpath=c_text(data))
        told = pax_records(data, self._view, start + lay.BLOCK, self._limits)
        if header.typeflag == lay.PAX_GLOBAL:
            self._global = self._global.under(told)
            return pending
        return pending.under(told)

    def _size(self, header: lay.Header, start: int) -> int:
        size = number(header.size)
        if size is None:
            message = f"tar header at {start}: the size {header.size!r} is no number of bytes"
            raise Unreadable(Problem("malformed", lay.HEADER.name, message, start + 124, 12))
        return size

    def _member(self, header: lay.Header, told: Extended, start: int) -> TarMember:
        stated = told.size if told.size is not None else self._size(header, start)
        name = self._name(header, told, start)
        kind = lay.KINDS.get(header.typeflag, "other")
        if kind == "file" and name.endswith("/"):
            kind = "folder"
        if told.sparse and kind == "file":
            kind = "sparse"
        stored = self._stored(kind, stated, name, start)
        offset, real = start + lay.BLOCK, stored
        if kind == "sparse":
            offset, real = self._sparse(header, told, offset, stored)
        self.position = offset + rounded(stored)
        if offset + stored > self._view.size:
            self.sound = False
            end = offset + stored
            message = f"tar member {name!r}: its bytes end at {end}, the file has {self._view.size}"
            self._view.problem("tar member", message, kind="truncated", offset=offset, length=stored)
        link = c_text(header.linkname) if told.linkpath is None else self._capped(told.linkpath, start)
        return TarMember(name, kind, stored, real, offset, start, link)

    def _stored(self, kind: str, stated: int, name: str, start: int) -> int:
        """How many bytes follow the header: none after links, folders, devices and FIFOs."""
        if kind in ("file", "sparse", "other") or not stated:
            return stated
        if kind != "hardlink":
            message = f"tar member {name!r} is a {kind} and says that {stated} bytes follow: readers differ"
            self._view.problem("tar header", message, offset=start + 124, length=12)
        return 0

    def _capped(self, name: str, start: int) -> str:
        if len(name) > self._limits.tar_name:
            message = f"a name of {len(name)} characters is over the cap of {self._limits.tar_name}"
            self._view.problem("tar member", message, kind="cap", offset=start)
        return name[: self._limits.tar_name]

    def _name(self, header: lay.Header, told: Extended, start: int) -> str:
        if told.path is not None:
            return self._capped(told.path, start)
        name = c_text(header.name)
        prefix = c_text(header.prefix) if header.magic == lay.USTAR_MAGIC else ""
        return f"{prefix}/{name}" if prefix else name

    def _sparse(self, header: lay.Header, told: Extended, offset: int, stored: int) -> tuple[int, int]:
        """Where the data of a sparse member begins (its map comes first), and its true size."""
        if header.typeflag != b"S":
            return offset, told.real_size if told.real_size is not None else stored
        raw = self._block(offset - lay.BLOCK)
        real = number(raw[lay.GNU_REALSIZE_AT : lay.GNU_REALSIZE_AT + 12])
        more = raw[lay.GNU_ISEXTENDED_AT]
        for _ in range(self._limits.tar_sparse_blocks):
            if not more:
                return offset, real if real is not None else stored
            more = self._block(offset)[504]
            offset += lay.BLOCK
        message = f"the map of a sparse member is longer than {self._limits.tar_sparse_blocks} blocks"
        raise Unreadable(Problem("cap", "tar sparse map", message, offset, lay.BLOCK))
