"""zip: from the end records and the central directory to facts. Exactly one file in it is content.

Reference: APPNOTE.TXT 6.3.10. Nothing is extracted by name.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from imgtool.codecs.decode import Expected, Method, decode
from imgtool.containers.compressed.facts import CompressedFacts, Mark, content
from imgtool.containers.compressed.zip import layout as lay
from imgtool.containers.member import Member
from imgtool.limits import Limits
from imgtool.model.values import Problem, text
from imgtool.structs.view import Unreadable, View

_MAX32 = (1 << 32) - 1
_MAX64 = (1 << 64) - 1
_DECODED: dict[int, Method] = {0: "stored", 8: "deflate", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz"}


class Directory(NamedTuple):
    """Where the central directory lies (bytes of the file), and what precedes and follows the archive."""

    start: int
    size: int
    entries: int
    prefix: int
    suffix: int
    comment: str | None


class FileEntry(NamedTuple):
    """An entry of the directory, its sizes and offset as zip64 has them. `offset` is in bytes of the file."""

    head: lay.Central
    name: str
    compressed: int
    uncompressed: int
    offset: int
    at: int

    @property
    def kind(self) -> str:
        """What it is: "folder" by its name, "link" by its Unix mode, else "file"."""
        if self.name.endswith("/"):
            return "folder"
        return "link" if self.head.made_by >> 8 == 3 and self.head.external >> 28 == 0xA else "file"


def zip_archive(view: View, limits: Limits) -> CompressedFacts | None:
    """A zip archive; None where only an end mark is there and no directory belongs to it."""
    begins = view.peek(0, 4) in (lay.LOCAL_MAGIC, lay.END_MAGIC)
    directory = _directory(view)
    if directory is None or (not begins and not _belongs(view, directory)):
        if begins:
            message = "zip: no end record of the central directory is there"
            raise Unreadable(Problem("truncated", "zip end record", message, view.size, lay.END.size))
        return None
    entries = _entries(view, directory, limits)
    files = [entry for entry in entries if entry.kind == "file"]
    one = files[0] if len(files) == 1 and len(entries) >= directory.entries else None
    inside, marks = _content(view, one, limits) if one else (None, ())
    members = tuple(
        inside
        if inside and entry is one
        else Member(entry.name, entry.uncompressed, "file", entry.offset, entry.kind)
        for entry in entries[: limits.members]
    )
    method = lay.METHODS.get(one.head.method, f"unknown-{one.head.method}") if one else "none"
    return CompressedFacts(
        format="compressed",
        file_size=view.size,
        encrypted=any(entry.head.flags & lay.ENCRYPTED for entry in entries),
        partial=bool(view.problems),
        problems=view.problems,
        wrapper="zip",
        method=method,
        stored_name=one.name if one else None,
        comment=directory.comment,
        declared_size=one.uncompressed if one else None,
        stored_size=one.compressed if one else None,
        check="crc32",
        prefix=directory.prefix,
        suffix=directory.suffix,
        suffix_zeros=not view.peek(view.size - directory.suffix, min(directory.suffix, 65536)).strip(b"\0"),
        members=members,
        members_total=max(len(members), min(directory.entries, view.size // lay.CENTRAL.size)),
        marks=marks,
    )


def _directory(view: View) -> Directory | None:
    """The directory by its end record: the one whose comment ends the file, else the last one."""
    low = max(0, view.size - lay.END.size - 0xFFFF)
    tail = view.peek(low, view.size - low)
    at = fallback = tail.rfind(lay.END_MAGIC)
    while at >= 0:
        length = int.from_bytes(tail[at + 20 : at + 22], "little")
        if at + lay.END.size + length == len(tail):
            break
        at = tail.rfind(lay.END_MAGIC, 0, at)
    at = low + (at if at >= 0 else fallback)
    if fallback < 0 or at + lay.END.size > view.size:
        return None
    end = view.parse(lay.END, at)
    comment = view.peek(at + lay.END.size, end.comment_length)
    if len(comment) < end.comment_length:
        message = f"the zip comment has {end.comment_length} bytes, the file {len(comment)} of them"
        view.problem("zip comment", message, kind="truncated", offset=at + lay.END.size, length=end.comment_length)
    suffix = max(0, view.size - at - lay.END.size - end.comment_length)
    size, offset, entries, before = end.size, end.offset, end.entries, at
    if at >= lay.LOCATOR.size and view.peek(at - lay.LOCATOR.size, 4) == lay.LOCATOR_MAGIC:
        wide = _end64(view, at - lay.LOCATOR.size)
        if wide is not None:
            size, offset, entries, before = wide[0].size, wide[0].offset, wide[0].entries, wide[1]
    start = before - size
    prefix = start - offset
    if prefix < 0:  # the directory is said to lie further on than it can
        start, prefix = offset, 0
    return Directory(start, size, entries, prefix, suffix, text(comment) if comment else None)


def _end64(view: View, locator_at: int) -> tuple[lay.End64, int] | None:
    """The zip64 end record and where it lies: where the locator says, else right before the locator."""
    locator = view.parse(lay.LOCATOR, locator_at)
    for at in (locator.offset, locator_at - lay.END64.size):
        if at >= 0 and view.peek(at, 4) == lay.END64_MAGIC:
            wide = view.optional(lay.END64, at)
            return None if wide is None else (wide, at)
    view.problem("zip64 end record", f"zip64 end record is not at {locator.offset}", offset=locator_at, length=20)
    return None


def _belongs(view: View, directory: Directory) -> bool:
    """The directory that an end mark alone names is really there."""
    return directory.size > 0 and view.peek(directory.start, 4) == lay.CENTRAL_MAGIC


def _entries(view: View, directory: Directory, limits: Limits) -> list[FileEntry]:
    """The entries of the central directory, under caps."""
    found: list[FileEntry] = []
    at, end = directory.start, directory.start + min(directory.size, limits.wrapper_index)
    try:
        while len(found) < min(directory.entries, limits.wrapper_records) and at + lay.CENTRAL.size <= end:
            head = view.parse(lay.CENTRAL, at)
            if head.signature != lay.CENTRAL_MAGIC:
                message = f"zip central header at {at} has no signature"
                raise Unreadable(Problem("malformed", "zip central header", message, at, 4))
            tail = view.read(at + lay.CENTRAL.size, head.name_length + head.extra_length, "zip central header")
            found.append(_entry(head, tail, at, directory.prefix))
            at += lay.CENTRAL.size + head.name_length + head.extra_length + head.comment_length
    except Unreadable as error:
        view.note(error.problem)
        return found
    if len(found) < directory.entries and directory.size <= limits.wrapper_index:
        message = f"the zip directory has {len(found)} entries, its end record says {directory.entries}"
        view.problem("zip end record", message, offset=directory.start, length=min(directory.size, 1 << 32))
    return found


def _entry(head: lay.Central, tail: bytes, at: int, prefix: int) -> FileEntry:
    """An entry with the sizes of its zip64 extra field, which are there where the others are all ones."""
    name, extra = tail[: head.name_length], tail[head.name_length :]
    values = [head.uncompressed, head.compressed, head.offset]
    while len(extra) >= 4:
        kind, length = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        if kind == lay.EXTRA_ZIP64:
            body, place = extra[4 : 4 + length], 0
            for index, value in enumerate(values):
                if value == _MAX32 and place + 8 <= len(body):
                    values[index] = int.from_bytes(body[place : place + 8], "little")
                    place += 8
            break
        extra = extra[4 + length :]
    return FileEntry(head, text(name), values[1], values[0], prefix + values[2], at)


def _listed(entry: FileEntry) -> Member:
    return Member(entry.name, entry.uncompressed, offset=entry.offset, kind=entry.kind)


def _content(view: View, entry: FileEntry, limits: Limits) -> tuple[Member, tuple[Mark, ...]]:
    """The one file as the content, and what its headers have wrong. zip's LZMA has a header of its own."""
    method, head = _DECODED.get(entry.head.method), entry.head
    marks: list[Mark] = []
    if method is None and not head.flags & lay.ENCRYPTED:
        name = lay.METHODS.get(head.method, f"unknown-{head.method}")
        marks.append(Mark("method", f"zip method {name} cannot be decoded here", "method", entry.at + 10, 2))
    local = view.optional(lay.LOCAL, entry.offset)
    if local is None or local.signature != lay.LOCAL_MAGIC:
        message = f"zip directory names a local header at {entry.offset}, where none is"
        marks.append(Mark("mismatch", message, "offset", entry.at + 42, 4))
        return content(entry.name, entry.uncompressed, entry.offset, None), tuple(marks)
    marks += _differences(view, entry, local)
    start, prefix = entry.offset + lay.LOCAL.size + local.name_length + local.extra_length, b""
    length = entry.compressed
    if method == "lzma":
        size = b"\xff" * 8 if head.flags & lay.LZMA_EOS else (entry.uncompressed & _MAX64).to_bytes(8, "little")
        prefix = view.peek(start + 4, 5) + size
        start, length = start + 9, max(0, length - 9)
    if method is None or head.flags & lay.ENCRYPTED:
        return content(entry.name, entry.uncompressed, entry.offset, None), tuple(marks)
    expected = Expected(entry.uncompressed, head.crc32)
    decoding = partial(
        decode, method, view.source, limits, start=start, length=length, prefix=prefix, expected=expected
    )
    return content(entry.name, entry.uncompressed, entry.offset, decoding), tuple(marks)


def _differences(view: View, entry: FileEntry, local: lay.Local) -> list[Mark]:
    """Where the local header does not say what the directory says."""
    head = entry.head
    name = text(view.peek(entry.offset + lay.LOCAL.size, local.name_length))
    pairs: list[tuple[str, object, object]] = [("name", name, entry.name), ("method", local.method, head.method)]
    if not local.flags & lay.DESCRIPTOR:
        pairs.append(("crc32", local.crc32, head.crc32))
        if local.uncompressed != _MAX32:
            pairs.append(("size", local.uncompressed, entry.uncompressed))
    return [
        Mark(
            "mismatch",
            f"zip {field} is {here!r} in the local header, {there!r} in the directory",
            field,
            entry.offset,
            lay.LOCAL.size,
        )
        for field, here, there in pairs
        if here != there
    ]
