"""The manifest of an export, read by somebody who does not trust it: lines of a capped length, fields of known kinds.

What stands in a field is judged by the rules of records, as if it were typed. Nothing in a line becomes a path: the
data of an image is looked for by its id, and what lies there must be a regular file of the folder itself.
Reference: schema imgtool.export/1.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import IO, NamedTuple

from imgtool.catalog import records
from imgtool.catalog.exporting import BARE, BLOBS, DATA, MANIFEST
from imgtool.catalog.images import New
from imgtool.errors import InputError, NotFoundError, NotRegularError, UsageError
from imgtool.ingest.digests import parse_expected
from imgtool.model.export import SCHEMA
from imgtool.sources.file import FileSource

#: Bytes of one line: 128 properties of 65,535 bytes, each byte as \\u00XX, and a report besides.
LINE = 64 << 20

#: Members of a list, and characters of a text in a line, before any rule looks at them.
_MANY, _LONG = 4096, 1 << 20


class Arrived(NamedTuple):
    """One image of a manifest, its fields of the kinds that they must be. `size`: None without data. `expect`: the
    digests that the data must have. `members`: project and status."""

    new: New
    status: str
    size: int | None
    expect: tuple[str, ...]
    members: tuple[tuple[str, str], ...]


class Folder:
    """The folder of an export, open: no name in it is followed to anywhere else. Use as a context."""

    def __init__(self, path: str) -> None:
        self.place = path
        if not path or "\0" in path:
            raise UsageError("name the folder of an export")
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            kind = NotFoundError if isinstance(error, FileNotFoundError) else InputError
            raise kind(f"{path}: {error.strerror}") from error

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The lines of the manifest, each with its number from 1 on. Raises InputError."""
        with os.fdopen(self._regular(MANIFEST, self._fd, MANIFEST), "rb") as file:
            yield from _lines(file, os.path.join(self.place, MANIFEST))

    def data(self, identifier: str) -> FileSource:
        """The data of an image, by its id. Raises InputError, NotFoundError, NotRegularError, UsageError."""
        name = records.image_id(identifier)
        path = os.path.join(BLOBS, name)
        try:
            blobs = os.open(BLOBS, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._fd)
        except OSError as error:
            raise InputError(f"{os.path.join(self.place, BLOBS)}: {error.strerror}") from error
        try:
            fd = self._regular(name, blobs, path)
        finally:
            os.close(blobs)
        return FileSource(fd, os.fstat(fd), os.path.join(self.place, path))

    def _regular(self, name: str, folder: int, path: str) -> int:
        """Open a regular file of the folder."""
        told = os.path.join(self.place, path)
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            raise NotFoundError(f"{told}: is not there") from None
        except OSError as error:
            raise InputError(f"{told}: {error.strerror}: a regular file is needed") from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise NotRegularError(f"{told}: is no regular file")
        return fd

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._fd)

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _lines(file: IO[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        while line := file.readline(LINE + 1):
            number += 1
            if len(line) > LINE:
                raise InputError(f"{name}: line {number} has more than {LINE} bytes")
            yield number, line
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from error


def parsed(line: bytes) -> Arrived:
    """One line. Raises InputError with what is wrong, UsageError for what no record may have."""
    import json

    try:
        told = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no JSON ({error})") from None
    if not isinstance(told, dict) or told.get("schema") != SCHEMA:
        raise InputError(f"is no object of the schema {SCHEMA}")
    image = told.get("image")
    if not isinstance(image, dict):
        raise InputError("image: an object is needed")
    status = _text(image, "status")
    if status not in (*DATA, *BARE):
        raise InputError(f"status: {status!r} is none that an export has")
    size = _number(image, "size") if status in DATA else None
    return Arrived(_new(image), status, size, _digests(image) if status in DATA else (), _members(told))


def _new(image: dict[str, object]) -> New:
    """What is to be reserved; its values are judged where that is done."""
    given = image.get("properties")
    if not isinstance(given, dict) or len(given) > _MANY or not all(isinstance(one, str) for one in given.values()):
        raise InputError("properties: an object of texts is needed")
    protected = image.get("protected")
    if not isinstance(protected, bool):
        raise InputError("protected: true or false is needed")
    return New(
        name=_text(image, "name"),
        owner=_text(image, "owner"),
        id=records.image_id(_text(image, "id")),
        visibility=_text(image, "visibility"),
        protected=protected,
        disk_format=_optional(image, "disk_format"),
        container_format=_optional(image, "container_format"),
        min_disk=_number(image, "min_disk"),
        min_ram=_number(image, "min_ram"),
        tags=tuple(_texts(image, "tags")),
        properties=given,
    )


def _digests(image: dict[str, object]) -> tuple[str, ...]:
    given = (f"md5:{_text(image, 'checksum')}", f"{_text(image, 'os_hash_algo')}:{_text(image, 'os_hash_value')}")
    return tuple(f"{name}:{digits}" for name, digits in map(parse_expected, given))


def _members(told: dict[str, object]) -> tuple[tuple[str, str], ...]:
    found = told.get("members")
    if not isinstance(found, list) or len(found) > _MANY or not all(isinstance(one, dict) for one in found):
        raise InputError("members: a list of objects is needed")
    return tuple((_text(one, "member"), _text(one, "status")) for one in found)


def _text(image: dict[str, object], key: str) -> str:
    found = image.get(key)
    if not isinstance(found, str) or len(found) > _LONG:
        raise InputError(f"{key}: a text is needed")
    try:
        found.encode()
    except UnicodeEncodeError:
        raise InputError(f"{key}: is not UTF-8") from None
    return found


def _optional(image: dict[str, object], key: str) -> str | None:
    return None if image.get(key) is None else _text(image, key)


def _number(image: dict[str, object], key: str) -> int:
    found = image.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 1 << 63:
        raise InputError(f"{key}: a whole number from 0 on is needed")
    return found


def _texts(image: dict[str, object], key: str) -> list[str]:
    found = image.get(key)
    if not isinstance(found, list) or len(found) > _MANY or not all(isinstance(one, str) for one in found):
        raise InputError(f"{key}: a list of texts is needed")
    return found
