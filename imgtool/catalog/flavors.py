"""Flavors: what an instance gets of processors, memory and disks.

Reference: Compute API, "Flavors"; one that is not public is for administrators alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgtool.catalog import records
from imgtool.catalog.damage import sound
from imgtool.catalog.tables import tables
from imgtool.errors import NotFoundError, RefusedError, UsageError
from imgtool.model.instance import Flavor

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from imgtool.catalog.ground import Ground


class Flavors:
    """The verbs of flavors, for whoever acts in an open catalog."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def create(self, flavor: Flavor) -> Flavor:
        """Add a flavor. Raises UsageError, RefusedError for access and for a name that is taken."""
        from sqlalchemy import insert
        from sqlalchemy.exc import IntegrityError

        self._ground.access.require("add_flavor", self._ground.who)
        values = {
            "name": _name(flavor.name),
            "vcpus": _sized("vcpus", flavor.vcpus, 1),
            "ram": _sized("ram", flavor.ram, 1),
            "disk": records.least("disk", flavor.disk),
            "ephemeral": records.least("ephemeral", flavor.ephemeral),
            "swap": records.least("swap", flavor.swap),
            "public": flavor.public,
        }
        with self._ground.database.write() as connection:
            try:
                with connection.begin_nested():
                    connection.execute(insert(tables().flavors).values(**values))
            except IntegrityError:
                raise RefusedError(f"a flavor {flavor.name!r} exists") from None
        return flavor

    def list(self) -> tuple[Flavor, ...]:
        """The flavors that the identity sees, the smallest memory first. Raises RefusedError."""
        from sqlalchemy import select

        self._ground.access.require("get_flavors", self._ground.who)
        flavors = tables().flavors
        query = select(flavors).order_by(flavors.c.ram, flavors.c.disk, flavors.c.vcpus, flavors.c.name)
        if not self._ground.is_admin:
            query = query.where(flavors.c.public)
        with self._ground.database.read() as connection:
            return tuple(_flavor(row) for row in connection.execute(query))

    def show(self, name: str) -> Flavor:
        """The flavor of a name. Raises NotFoundError, RefusedError."""
        with self._ground.database.read() as connection:
            return self.named(connection, name)

    def delete(self, name: str) -> None:
        """Remove a flavor; instances that have it keep what it gave them. Raises NotFoundError, RefusedError."""
        from sqlalchemy import delete

        with self._ground.database.write() as connection:
            self.named(connection, name)
            self._ground.access.require("delete_flavor", self._ground.who)
            flavors = tables().flavors
            connection.execute(delete(flavors).where(flavors.c.name == name))

    def named(self, connection: Connection, name: str) -> Flavor:
        """The flavor of a name that the identity sees. Raises NotFoundError, RefusedError."""
        from sqlalchemy import select

        self._ground.access.require("get_flavors", self._ground.who)
        flavors = tables().flavors
        row = connection.execute(select(flavors).where(flavors.c.name == _name(name))).one_or_none()
        if row is None or not (row.public or self._ground.is_admin):
            raise NotFoundError(f"no flavor {name!r}")
        return _flavor(row)


def _name(text: str) -> str:
    return records.called("the name of a flavor", text)


def _sized(what: str, number: int, least: int) -> int:
    if number < least:
        raise UsageError(f"{what}: {number} is less than {least}")
    return records.least(what, number)


def _flavor(row: Row[Any]) -> Flavor:
    sound(tables().flavors, row, f"flavor {row.name}")
    return Flavor(
        name=row.name,
        vcpus=row.vcpus,
        ram=row.ram,
        disk=row.disk,
        ephemeral=row.ephemeral,
        swap=row.swap,
        public=row.public,
    )
