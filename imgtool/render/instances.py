"""Flavors and instances for people, and as JSON lines (schemas imgtool.flavor/1, imgtool.instance/1). No I/O."""

from __future__ import annotations

from collections.abc import Iterable

from imgtool.model.instance import Flavor, InstanceRecord
from imgtool.render.escape import terminal
from imgtool.render.tables import table

FLAVOR = ("name", "vcpus", "ram", "disk", "ephemeral", "swap", "public")
SHORT = ("id", "name", "status", "image_id", "flavor")
LONG = (*SHORT, "owner", "size", "vcpus", "ram", "created_at")

Shown = Flavor | InstanceRecord


def json_line(one: Shown) -> str:
    """One object on one line."""
    import json

    return json.dumps(one.to_dict()) + "\n"


def record_table(one: Shown) -> str:
    """Every field on a line, in order of their names."""
    return table([(field, _cell(one, field)) for field in sorted(type(one).__annotations__)])


def flavors_table(flavors: Iterable[Flavor]) -> str:
    """Flavors as rows: MiB of memory and swap, GiB of disks."""
    return _rows(flavors, FLAVOR)


def instances_table(records: Iterable[InstanceRecord], *, long: bool = False) -> str:
    """Instances as rows; `long`: with their owners and sizes."""
    return _rows(records, LONG if long else SHORT)


def removed_line(one: Shown) -> str:
    """One line: what is no longer there."""
    called = f"{one.id} {terminal(one.name)}" if isinstance(one, InstanceRecord) else terminal(one.name)
    return f"{called}: deleted\n"


def _rows(found: Iterable[Shown], fields: tuple[str, ...]) -> str:
    rows = [tuple(field.upper() for field in fields)]
    rows += (tuple(_cell(one, field) for field in fields) for one in found)
    return table(rows)


def _cell(one: Shown, field: str) -> str:
    return terminal(str(getattr(one, field)))
