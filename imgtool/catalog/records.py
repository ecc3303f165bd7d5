"""The rules of an image's record: what may stand in its fields, its tags and its properties.

Pure: what is wrong is a UsageError, what the service keeps for itself a RefusedError. Nothing of a record is ever a
path: ids are UUIDs, and names of blobs are made of ids alone. Reference: Image API v2, "Create image", "Update
image", "Image tags"; the service's quotas (128 tags, properties and members).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple, get_args

from imgtool.errors import RefusedError, UsageError
from imgtool.model.image import MemberStatus, Visibility
from imgtool.policy import names

NAME_LENGTH = 255  #: characters of a name, a tag, a property's name, an owner, a member
VALUE_BYTES = 65_535  #: UTF-8 bytes of a property's value
INTEGER = 2**31 - 1  #: the largest min_disk (GiB) and min_ram (MiB)

VISIBILITIES: tuple[Visibility, ...] = get_args(Visibility)
MEMBER_STATUSES: tuple[MemberStatus, ...] = get_args(MemberStatus)

#: Fields that the catalog sets itself.
READ_ONLY = frozenset(
    {
        *("checksum", "created_at", "id", "os_hash_algo", "os_hash_value", "reason", "size", "status"),
        *("updated_at", "virtual_size"),
    }
)

#: Fields that are set by an option of their own, never as a property.
FIELDS = frozenset(
    {
        *("container_format", "disk_format", "min_disk", "min_ram", "name", "owner", "properties", "protected"),
        *("tags", "visibility"),
    }
)

#: Names that the service gives a meaning of their own.
RESERVED = frozenset(
    {"deleted", "deleted_at", "direct_url", "file", "locations", "members", "os_hidden", "schema", "self", "stores"}
)

#: Beginnings of names that are the services' own.
NAMESPACES = ("os_glance", "imgtool_")

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Quotas(NamedTuple):
    """How many of each one image may have."""

    tags: int = 128
    properties: int = 128
    members: int = 128


QUOTAS = Quotas()


def image_id(text: str) -> str:
    """A UUID, in small letters. Raises UsageError."""
    return uuid("an image's id", text)


def uuid(what: str, text: str) -> str:
    """The same for the id of anything; `what`: "an image's id". Raises UsageError."""
    low = text.lower()
    if not _ID.fullmatch(low):
        raise UsageError(f"{what} is a UUID, not {text!r}")
    return low


def is_id(text: str) -> bool:
    """True for what has the form of an id."""
    return _ID.fullmatch(text.lower()) is not None


def name(text: str) -> str:
    """The name of an image: 1 to 255 characters, none that controls a terminal. Raises UsageError."""
    return _short("the name of an image", text)


def owner(text: str) -> str:
    """The project that an image belongs to, or is shared with. Raises UsageError."""
    return _short("the name of a project", text)


def called(what: str, text: str) -> str:
    """A name by the same rules of anything else; `what`: "the name of …". Raises UsageError."""
    return _short(what, text)


def tag(text: str) -> str:
    """A tag. Raises UsageError."""
    return _short("a tag", text)


def visibility(text: str) -> Visibility:
    """Who sees an image. Raises UsageError."""
    for known in VISIBILITIES:
        if text == known:
            return known
    raise UsageError(f"no such visibility: {text!r} (one of {', '.join(VISIBILITIES)})")


def member_status(text: str) -> MemberStatus:
    """Whether a member took an image. Raises UsageError."""
    for known in MEMBER_STATUSES:
        if text == known:
            return known
    raise UsageError(f"no such status of a member: {text!r} (one of {', '.join(MEMBER_STATUSES)})")


def least(what: str, number: int) -> int:
    """A number of a record, as `min_disk` (GiB) or `min_ram` (MiB): from 0 on. Raises UsageError."""
    if not 0 <= number <= INTEGER:
        raise UsageError(f"{what}: {number} is not between 0 and {INTEGER}")
    return number


def formats(disk: str | None, container: str | None) -> tuple[str | None, str | None]:
    """Disk and container format by the names that are printed. Amazon's are the same on both sides, and one given
    fills the other. Raises UsageError."""
    disk = names.disk_format(disk) if disk is not None else None
    container = names.container_format(container) if container is not None else None
    for given in (disk, container):
        if given in names.MACHINE:
            if {disk, container} - {given, None}:
                raise UsageError(f"disk format {disk} and container format {container}: of {given} both must be")
            return given, given
    return disk, container


def properties(given: Mapping[str, str], most: int = QUOTAS.properties) -> dict[str, str]:
    """Properties in order of their names. Raises UsageError, RefusedError for names that are the service's own."""
    if len(given) > most:
        raise RefusedError(f"{len(given)} properties: an image has at most {most}")
    return {property_name(key): property_value(key, given[key]) for key in sorted(given)}


def tags(given: Iterable[str], most: int = QUOTAS.tags) -> tuple[str, ...]:
    """Tags in order, each once. Raises UsageError, RefusedError for too many."""
    found = tuple(sorted({tag(text) for text in given}))
    if len(found) > most:
        raise RefusedError(f"{len(found)} tags: an image has at most {most}")
    return found


def property_name(text: str) -> str:
    """The name of a free property. Raises UsageError, RefusedError for those that are the service's own."""
    if text in READ_ONLY:
        raise RefusedError(f"{text} is set by the catalog alone")
    if text in FIELDS:
        raise RefusedError(f"{text} is a field of its own, not a property")
    if text in RESERVED or text.startswith(NAMESPACES):
        raise RefusedError(f"{text!r} is a reserved name")
    return _short("the name of a property", text)


def property_value(key: str, text: str) -> str:
    """The value of a property: text without NUL, at most 65,535 bytes as UTF-8. Raises UsageError."""
    if len(_utf8(f"property {key}", text)) > VALUE_BYTES:
        raise UsageError(f"property {key}: longer than {VALUE_BYTES} bytes")
    if "\0" in text:
        raise UsageError(f"property {key}: has a NUL character")
    return text


def reason(text: str) -> str:
    """Why a status is changed, as a history tells it: one line, as long as a name. Raises UsageError."""
    return _short("the reason", text)


def _short(what: str, text: str) -> str:
    _utf8(what, text)
    if not text or len(text) > NAME_LENGTH:
        raise UsageError(f"{what} has 1 to {NAME_LENGTH} characters, not {len(text)}")
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise UsageError(f"{what} has a control character: {text!r}")
    return text


def _utf8(what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} is not UTF-8: {text!r}") from None
