"""Rows that this program did not write: a field of another type, or of a value that its table does not have.

SQLite keeps in a column whatever it is given. A row is looked at before it becomes a record, so that what was damaged
or changed by hand is told as that, row by row. Reference: SQLite, "Datatypes In SQLite", "Flexible Typing".
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from imgtool.catalog import records
from imgtool.errors import InputError
from imgtool.model.image import ImageRecord, MemberStatus, Status, Visibility

if TYPE_CHECKING:
    from sqlalchemy import Row, Table

_SHOWN = 60  #: characters of a value that are told

_STATUSES = get_args(Status)

#: What a column has of text, where that is one of a few words.
_KNOWN: dict[tuple[str, str], tuple[str, ...]] = {
    ("images", "status"): _STATUSES,
    ("images", "previous"): _STATUSES,
    ("images", "visibility"): get_args(Visibility),
    ("image_members", "status"): get_args(MemberStatus),
    ("image_history", "before"): _STATUSES,
    ("image_history", "after"): _STATUSES,
    ("instances", "status"): ("building", "ready"),
}


class Damaged(NamedTuple):
    """A row that cannot be read. id: of its image or instance, None where that is what cannot be read."""

    id: str | None
    why: str


class _Field(NamedTuple):
    name: str
    type: type
    nullable: bool
    known: tuple[str, ...] | None


def sound(table: Table, row: Row[Any], what: str) -> None:
    """Raises InputError where a field of a whole row of a table is not what the table declares; numbers are from 0.
    `what`: whose row it is, "image ID"."""
    for field, value in zip(_fields(table), row, strict=True):
        if value is None:
            right = field.nullable
        elif type(value) is not field.type:
            right = False
        elif isinstance(value, int):
            right = value >= 0
        else:
            right = field.known is None or value in field.known
        if not right:
            raise unreadable(what, field.name, value)


def texts(what: str, field: str, values: Iterable[object]) -> None:
    """Raises InputError where one of many values is no text."""
    for value in values:
        if not isinstance(value, str):
            raise unreadable(what, field, value)


def identified(what: str, field: str, value: str) -> None:
    """Raises InputError where a text is no id as records have it: a UUID in small letters."""
    if not records.is_id(value) or value != value.lower():
        raise unreadable(what, field, value)


def unreadable(what: str, field: str, value: object) -> InputError:
    """The failure of a field that has no such value."""
    told = "missing" if value is None else repr(value)
    told = told if len(told) <= _SHOWN else f"{told[:_SHOWN]}…"
    return InputError(f"the catalog's database is damaged: {what}: {field} is {told}; restore it from a backup")


def algorithm_of(record: ImageRecord) -> str:
    """The digest that an image's data is verified with. Raises InputError where the record has none."""
    from imgtool.ingest.digests import ALGORITHMS

    name = record.os_hash_algo
    if name not in ALGORITHMS:
        raise unreadable(f"image {record.id}", "os_hash_algo", name)
    return str(name)


@cache
def _fields(table: Table) -> tuple[_Field, ...]:
    return tuple(
        _Field(one.name, one.type.python_type, bool(one.nullable), _KNOWN.get((table.name, one.name)))
        for one in table.columns
    )
