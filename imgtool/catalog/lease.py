"""Leases: something that only one process does at a time, on any machine that shares the database.

A lease ends by itself when its holder is gone and does not renew it. Whoever holds one renews it before each step
that must not be done by two: a lease that was lost is a RefusedError, and the step is not done.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from imgtool.catalog.damage import sound
from imgtool.catalog.database import Database, now, stamp
from imgtool.catalog.tables import tables
from imgtool.errors import RefusedError

if TYPE_CHECKING:
    from sqlalchemy import Connection

TERM = 60  #: seconds that a lease holds without being renewed


class Lease:
    """A lease that is held. Use as a context: leaving it lets go. `renew` within less than `term` seconds."""

    def __init__(self, database: Database, name: str, generation: int, term: int) -> None:
        self._database = database
        self._name = name
        self._generation = generation
        self._term = term

    def renew(self) -> None:
        """Hold it for another term. Raises RefusedError where it ran out and another took it."""
        with self._database.write() as connection:
            if not self._set(connection, now(connection) + self._term * 1_000_000):
                raise RefusedError(f"the lease {self._name!r} ran out, and another process has it now")

    def release(self) -> None:
        """Let go of it; nothing happens where it was lost."""
        with self._database.write() as connection:
            self._set(connection, 0)

    def _set(self, connection: Connection, until: int) -> bool:
        from sqlalchemy import update

        leases = tables().leases
        same = (leases.c.name == self._name, leases.c.generation == self._generation)
        return connection.execute(update(leases).where(*same).values(expires_at=until)).rowcount == 1

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def acquire(database: Database, name: str, *, term: int = TERM, holder: str | None = None) -> Lease:
    """Take a lease. `term`: seconds. Raises RefusedError, naming who has it and how long it holds, InputError for a
    damaged row."""
    from sqlalchemy import insert, or_, select, update
    from sqlalchemy.exc import IntegrityError

    leases = tables().leases
    with database.write() as connection:
        if connection.execute(select(leases.c.name).where(leases.c.name == name)).one_or_none() is None:
            first = {"name": name, "holder": "", "generation": 0, "expires_at": 0}
            with suppress(IntegrityError), connection.begin_nested():  # another process may be faster
                connection.execute(insert(leases).values(**first))
        connection.execute(select(leases.c.name).where(leases.c.name == name).with_for_update())
        at = now(connection)  # once the row is ours: a time of before a wait would be before that of who had it
        ahead = at + max(term, TERM) * 1_000_000  # later than that ends none but one of a clock that went back
        free = (leases.c.name == name, or_(leases.c.expires_at <= at, leases.c.expires_at > ahead))
        taken = connection.execute(
            update(leases)
            .where(*free)
            .values(
                holder=holder or f"{socket.gethostname()}:{os.getpid()}",
                generation=leases.c.generation + 1,
                expires_at=at + term * 1_000_000,
            )
        )
        row = connection.execute(select(leases).where(leases.c.name == name)).one()
        sound(leases, row, f"lease {name}")
    if not taken.rowcount:
        raise RefusedError(f"{row.holder} is at it; its lease holds until {stamp(row.expires_at)}")
    return Lease(database, name, int(row.generation), term)
