"""Images of the catalog for people, and as JSON lines (schemas imgtool.image/1, member/1, change/1). No I/O."""

from __future__ import annotations

from collections.abc import Iterable

from imgtool.model.image import CHANGE, MEMBER, Change, ImageRecord, Member
from imgtool.render.escape import terminal
from imgtool.render.tables import table
from imgtool.units import human_size

#: What stands for a value that is not there.
NONE = "-"

#: The fields of a record in the order in which they are shown. `reason` is there where an upload failed.
FIELDS = tuple(sorted(ImageRecord.__annotations__))

SHORT = ("id", "name", "status")
LONG = (
    *("id", "name", "disk_format", "container_format", "size", "status", "visibility", "protected", "owner"),
    "tags",
)


def json_line(record: ImageRecord) -> str:
    """One object on one line."""
    import json

    return json.dumps(record.to_dict()) + "\n"


def member_line(member: Member) -> str:
    """One object on one line."""
    import json

    from imgtool.model.jsonable import value_object

    return json.dumps(value_object(member, MEMBER)) + "\n"


def change_line(change: Change) -> str:
    """One object on one line."""
    import json

    from imgtool.model.jsonable import value_object

    return json.dumps(value_object(change, CHANGE)) + "\n"


def record_table(record: ImageRecord) -> str:
    """Every field of a record on a line, in order of their names; properties on lines of their own."""
    rows: list[tuple[str, str]] = []
    for field in FIELDS:
        if field == "properties":
            rows += _properties(record)
        elif field != "reason" or record.reason is not None:
            rows.append((field, _shown(getattr(record, field))))
    return table(rows)


def list_table(records: Iterable[ImageRecord], *, long: bool = False) -> str:
    """Records as rows; `long`: with formats, size, and who may see them."""
    fields = LONG if long else SHORT
    rows = [tuple(field.upper() for field in fields)]
    rows += (tuple(_shown(getattr(record, field)) for field in fields) for record in records)
    return table(rows)


def status_line(record: ImageRecord) -> str:
    """What became of an image: its id, its name, its status."""
    return f"{record.id} {terminal(record.name)}: {record.status}\n"


def members_table(members: Iterable[Member]) -> str:
    """The members of an image as rows."""
    rows = [("MEMBER", "STATUS", "CREATED_AT", "UPDATED_AT")]
    rows += ((terminal(one.member), one.status, one.created_at, one.updated_at) for one in members)
    return table(rows)


def history_table(changes: Iterable[Change]) -> str:
    """The changes of an image's status as rows, oldest first."""
    rows = [("AT", "FROM", "TO", "WHO", "WHY")]
    rows += ((one.at, one.before or NONE, one.after, terminal(one.who), terminal(one.why)) for one in changes)
    return table(rows)


def _properties(record: ImageRecord) -> list[tuple[str, str]]:
    told = [f"{terminal(name)}={terminal(value)}" for name, value in record.properties.items()] or [NONE]
    return [("" if number else "properties", text) for number, text in enumerate(told)]


def _shown(value: object) -> str:
    if value is None:
        return NONE
    if isinstance(value, tuple):
        return f"[{', '.join(terminal(str(one)) for one in value)}]"
    return terminal(str(value))


def saved_line(record: ImageRecord, target: str) -> str:
    """One line: what was written of an image, and that it is what was registered."""
    size = human_size(record.size or 0)
    return f"{terminal(target)}: {size} of image {record.id}, {record.os_hash_algo} as recorded\n"
