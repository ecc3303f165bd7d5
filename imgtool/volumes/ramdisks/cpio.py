"""Walking a cpio archive by its headers, under caps. File contents are passed over unread."""

from __future__ import annotations

from typing import NamedTuple

from imgtool.limits import Limits
from imgtool.model.values import Problem, text
from imgtool.structs.view import Unreadable, View
from imgtool.volumes.ramdisks import layout as lay

_NAME_MAX = 4096  #: Linux' PATH_MAX, its NUL included
_HEX = frozenset(b"0123456789abcdefABCDEF")
_OCTAL = frozenset(b"01234567")

FORMATS = {
    lay.NEWC_MAGIC: "newc",
    lay.CRC_MAGIC: "crc",
    lay.ODC_MAGIC: "odc",
}


class Head(NamedTuple):
    """What the walk needs of an entry; sizes in bytes, `align` of name and data."""

    namesize: int
    filesize: int
    size: int
    align: int


class Archive(NamedTuple):
    """A walked archive: where it ends (after its trailer), its names, whether the trailer was reached, why not."""

    kind: str
    end: int
    names: tuple[str, ...]
    whole: bool
    problem: Problem | None = None


def kind_at(view: View, at: int) -> str | None:
    """Which cpio format begins at `at`; None where none does."""
    raw = view.peek(at, 6)
    if raw in FORMATS:
        return FORMATS[raw]
    return "binary" if raw[:2] in lay.BINARY and binary_header(view.peek(at, 26)) else None


def binary_header(raw: bytes) -> bool:
    """True when 26 bytes hold a header of the old binary form that some program wrote (its mark is weak)."""
    if len(raw) < 26:
        return False
    order = "<" if raw[:2] == lay.BINARY_LITTLE else ">"
    import struct

    words = struct.unpack(order + "13H", raw)
    kind = words[3] >> 12
    return 2 <= words[10] <= _NAME_MAX and kind in (1, 2, 4, 6, 8, 10, 12, 0) and words[6] < 0x8000


def walk(view: View, at: int, most: int, limits: Limits) -> Archive:
    """The archive at `at`, at most `most` entries of it, as far as its headers hold."""
    kind = kind_at(view, at) or "newc"
    magic = view.peek(at, 6)
    names: list[str] = []
    try:
        while len(names) < most:
            head = _head(view, at, kind, magic)
            name = view.read(at + head.size, head.namesize, "cpio name").partition(b"\0")[0]
            data = _aligned(at + head.size + head.namesize, at, head.align)
            end = _aligned(data + head.filesize, at, head.align)
            if name == lay.TRAILER:
                return Archive(kind, min(end, view.size), tuple(names), True)
            if data + head.filesize > view.size:
                message = f"cpio entry {text(name)!r} ends at {data + head.filesize}, the file at {view.size}"
                raise Unreadable(Problem("truncated", "cpio entry", message, at, head.size))
            names.append(text(name))
            at = end
    except Unreadable as error:
        return Archive(kind, at, tuple(names), False, error.problem)
    return Archive(kind, at, tuple(names), False)


def _aligned(at: int, base: int, align: int) -> int:
    """`at` rounded up, counted from the entry's own start (which is aligned in a sound archive)."""
    return base + -(-(at - base) // align) * align


def _head(view: View, at: int, kind: str, magic: bytes) -> Head:
    if kind == "binary":
        words = view.parse(lay.BINARY[magic[:2]], at)
        if words.magic != 0o070707:
            raise _no_header(at)
        return _checked(at, Head(words.namesize, words.filesize_high << 16 | words.filesize_low, 26, 2))
    if kind == "odc":
        old = view.parse(lay.ODC, at)
        if old.magic != lay.ODC_MAGIC:
            raise _no_header(at)
        return _checked(at, Head(_number(old.namesize, 8, at), _number(old.filesize, 8, at), 76, 1))
    new = view.parse(lay.NEWC, at)
    if new.magic not in (lay.NEWC_MAGIC, lay.CRC_MAGIC):
        raise _no_header(at)
    return _checked(at, Head(_number(new.namesize, 16, at), _number(new.filesize, 16, at), 110, 4))


def _checked(at: int, head: Head) -> Head:
    if not 0 < head.namesize <= _NAME_MAX:
        message = f"cpio header at {at}: a name of {head.namesize} bytes, 1 to {_NAME_MAX} is allowed"
        raise Unreadable(Problem("malformed", "cpio header", message, at, head.size))
    return head


def _no_header(at: int) -> Unreadable:
    return Unreadable(Problem("malformed", "cpio header", f"no cpio header is at {at}, before any trailer", at, 6))


def _number(digits: bytes, base: int, at: int) -> int:
    if not set(digits) <= (_HEX if base == 16 else _OCTAL):
        message = f"cpio header at {at}: {digits!r} is no number"
        raise Unreadable(Problem("malformed", "cpio header", message, at, len(digits)))
    return int(digits, base)
