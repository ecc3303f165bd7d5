"""A catalog in numbers: what it has, where, whose, and what waits to be done. Nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgtool.catalog.damage import sound, texts
from imgtool.catalog.database import now, stamp
from imgtool.catalog.migrate import revision_of
from imgtool.catalog.tables import tables
from imgtool.catalog.upkeep import strays
from imgtool.errors import InputError
from imgtool.model.upkeep import Amount, CatalogInfo, Holder, Pending

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from imgtool.catalog.service import Catalog
    from imgtool.findings.core import Finding


def info(catalog: Catalog) -> CatalogInfo:
    """See `Catalog.info`."""
    catalog.access.require("get_catalog", catalog.who)
    database, store = catalog.database, catalog.store
    images = tables().images
    with database.read() as connection:
        mine = () if catalog.is_admin else (images.c.owner == catalog.who.project,)
        by_status = _amounts(connection, images.c.status, *mine)
        owners = _amounts(connection, images.c.owner, images.c.status != "deleted", *mine)
        pending = _pending(connection, catalog.config.delay, *mine)
        leases = _leases(connection)
        writable = database.writable and _takes_writes(connection)
    on_disk, waiting, problem = _looked_at(catalog)
    return CatalogInfo(
        place=database.folder or database.place,
        database="sqlite" if database.sqlite else "postgresql",
        revision=revision_of(database) or "",
        writable=writable,
        store=store.place,
        images={status: amount.images for status, amount in by_status.items()},
        bytes={status: amount.size for status, amount in by_status.items() if amount.size},
        on_disk=on_disk,
        owners=owners,
        pending=pending,
        leases=leases,
        waiting=waiting,
        problem=problem,
    )


def _looked_at(catalog: Catalog) -> tuple[int | None, tuple[Finding, ...], str | None]:
    """Bytes that the store takes, what waits for a repair, and why the store could not be looked at."""
    try:
        return catalog.store.taken(), strays(catalog) if catalog.is_admin else (), None
    except InputError as error:
        return None, (), str(error)


def _amounts(
    connection: Connection, column: ColumnElement[str], *conditions: ColumnElement[bool]
) -> dict[str, Amount]:
    """Images and the bytes of the data that they have, by the values of a column."""
    from sqlalchemy import case, func, select

    images = tables().images
    size = func.coalesce(func.sum(case((images.c.blob.is_not(None), images.c.size), else_=0)), 0)
    statement = select(column, func.count(), size).where(*conditions).group_by(column).order_by(column)
    found = connection.execute(statement).all()
    texts("images", column.key or "", (value for value, _, _ in found))
    return {value: Amount(int(count), int(total)) for value, count, total in found}


def _pending(connection: Connection, delay: int, *conditions: ColumnElement[bool]) -> Pending | None:
    """The deletion whose grace period is over first."""
    from sqlalchemy import select

    images = tables().images
    due = (images.c.status == "pending_delete", images.c.deleted_at.is_not(None))
    wanted = select(images).where(*due, *conditions)
    row = connection.execute(wanted.order_by(images.c.deleted_at, images.c.id).limit(1)).one_or_none()
    if row is None:
        return None
    sound(images, row, f"image {row.id}")
    return Pending(row.id, row.name, stamp(row.deleted_at), stamp(row.deleted_at + delay * 1_000_000))


def _leases(connection: Connection) -> tuple[Holder, ...]:
    """The leases that are held now."""
    from sqlalchemy import select

    leases = tables().leases
    rows = connection.execute(
        select(leases).where(leases.c.expires_at > now(connection)).order_by(leases.c.name)
    ).all()
    for row in rows:
        sound(leases, row, f"lease {row.name}")
    return tuple(Holder(row.name, row.holder, stamp(row.expires_at)) for row in rows)


def _takes_writes(connection: Connection) -> bool:
    """False of a server that only answers (a standby)."""
    from sqlalchemy import text

    if connection.dialect.name != "postgresql":
        return True
    told = connection.execute(text("SELECT current_setting('transaction_read_only')"))
    return str(told.scalar_one()) == "off"
