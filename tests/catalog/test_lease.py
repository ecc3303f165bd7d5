"""Leases: one holder at a time, on either database."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
from sqlalchemy import text, update

from imgtool.catalog.database import Database, now
from imgtool.catalog.lease import TERM, acquire
from imgtool.catalog.tables import tables
from imgtool.errors import RefusedError
from tests.kit import ROOT


def run_out(database: Database) -> None:
    """Let every lease end now."""
    with database.write() as connection:
        connection.execute(text("UPDATE leases SET expires_at = 1"))


def test_one_at_a_time(database: Database) -> None:
    """Who comes second is told who is first; when that one lets go, the next has it."""
    with acquire(database, "scrub", holder="one"):
        with pytest.raises(RefusedError, match=r"^one is at it; its lease holds until 20\d\d-"):
            acquire(database, "scrub")
        with acquire(database, "other"):
            pass
    with acquire(database, "scrub", holder="two") as lease:
        lease.renew()


def test_a_dead_holder_is_replaced(database: Database) -> None:
    """Its lease runs out; if it was only slow, it learns that it lost it, and takes nothing back."""
    slow = acquire(database, "scrub", holder="slow")
    run_out(database)
    with acquire(database, "scrub", holder="next") as lease:
        with pytest.raises(RefusedError, match="ran out"):
            slow.renew()
        slow.release()
        with pytest.raises(RefusedError, match="next is at it"):
            acquire(database, "scrub")
        lease.renew()


def test_nobody_took_it_meanwhile(database: Database) -> None:
    """A lease that ran out can be renewed while no other has it."""
    with acquire(database, "scrub") as lease:
        run_out(database)
        lease.renew()
        with pytest.raises(RefusedError):
            acquire(database, "scrub")


def test_of_many_processes_one_gets_it(place: str, database: Database) -> None:
    """However many ask at once."""
    program = (
        "import sys\nfrom imgtool.catalog.database import open_database\nfrom imgtool.catalog.lease import acquire\n"
        "from imgtool.errors import RefusedError\n"
        "with open_database(sys.argv[1]) as database:\n"
        "    try:\n        acquire(database, 'scrub')\n        print('got it')\n"
        "    except RefusedError:\n        pass\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, place], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    told = [process.communicate()[0] for process in started]
    assert all(process.returncode == 0 for process in started)
    assert "".join(told) == "got it\n"


def test_a_wait_for_another_does_not_end_its_lease(database: Database) -> None:
    """Who waited while another took it does not take its end for that of a clock that went back."""
    acquire(database, "scrub").release()
    told: list[str] = []

    def ask() -> None:
        try:
            acquire(database, "scrub")
        except RefusedError as error:
            told.append(str(error))

    waiting = threading.Thread(target=ask)
    leases = tables().leases
    with database.write() as connection:
        connection.execute(update(leases).values(holder="other"))
        waiting.start()
        time.sleep(0.3)
        connection.execute(update(leases).values(expires_at=now(connection) + TERM * 1_000_000))
    waiting.join()
    assert len(told) == 1
    assert told[0].startswith("other is at it")


def test_a_clock_that_went_back(database: Database) -> None:
    """A lease that ends in a year was taken in a year: whoever had it has it no longer."""
    lost = acquire(database, "scrub", holder="then")
    with database.write() as connection:
        connection.execute(text("UPDATE leases SET expires_at = expires_at + 365 * 86400000000"))
    with acquire(database, "scrub", holder="now"):
        with pytest.raises(RefusedError, match="ran out"):
            lost.renew()
        with pytest.raises(RefusedError, match=r"^now is at it"):
            acquire(database, "scrub")
