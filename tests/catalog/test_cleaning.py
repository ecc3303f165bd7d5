"""A scrubber that stays: one at a time, through failures, and another takes over when it is gone."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import text

from imgtool.catalog.cleaning import TURN, Round, keep_scrubbing
from imgtool.catalog.images import New
from imgtool.catalog.lease import acquire
from imgtool.catalog.service import Catalog
from imgtool.catalog.upkeep import scrub
from imgtool.config.config import Config
from tests.catalog.server import Server
from tests.kit import ROOT, fixture

GOOD = fixture("qcow2/plain.qcow2")
PATIENCE = 60  #: seconds within which what must come comes, on a busy machine

Open = Callable[[], Catalog]


@pytest.fixture
def open_it(place: str, tmp_path: Path) -> Iterator[Open]:
    """Open a catalog of either kind, as its administrator."""
    opened: list[Catalog] = []

    def one() -> Catalog:
        config = Config(location=place, store=str(tmp_path / "store"))
        opened.append(Catalog.open(identity="root:ops:admin", create=True, config=config))
        return opened[-1]

    (tmp_path / "disk.img").write_bytes(GOOD)
    yield one
    for catalog in opened:
        catalog.close()


def deleted(catalog: Catalog, tmp_path: Path) -> str:
    """An image that waits for its scrubbing."""
    return catalog.delete(catalog.create(New("web", "ops"), tmp_path / "disk.img").id).id


def expire(catalog: Catalog) -> None:
    """Let every lease end now: that of a killed process would hold for a minute."""
    with catalog.database.write() as connection:
        connection.execute(text("UPDATE leases SET expires_at = 1"))


@contextmanager
def staying(catalog: Catalog, term: int = 60, wakeup: float = 0.05) -> Iterator[queue.Queue[Round]]:
    """A scrubber in a thread; what it tells."""
    stop, told = Event(), queue.Queue[Round]()
    thread = Thread(target=keep_scrubbing, args=(catalog, 0, wakeup, stop, told.put), kwargs={"term": term})
    thread.start()
    try:
        yield told
    finally:
        stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def until(told: queue.Queue[Round], holds: Callable[[Round], bool]) -> Round:
    """The first that is as it must be."""
    while True:
        one = told.get(timeout=PATIENCE)
        if holds(one):
            return one


def cleaned(count: int) -> Callable[[Round], bool]:
    """A cleaning of so many images."""
    return lambda one: one.done is not None and one.done.images == count


def test_it_cleans_and_lets_go(open_it: Open, tmp_path: Path) -> None:
    """Again and again; when it is told to stop, the turn is free at once."""
    catalog = open_it()
    with staying(open_it()) as told:
        for _ in range(2):
            deleted(catalog, tmp_path)
            assert until(told, cleaned(1)).done == (1, 1, len(GOOD), ())
    with acquire(catalog.database, TURN):
        pass


def test_it_waits_for_its_turn(open_it: Open, tmp_path: Path) -> None:
    """It says so once, and takes over when the other lets go, or is dead."""
    catalog = open_it()
    deleted(catalog, tmp_path)
    other = acquire(catalog.database, TURN, holder="there:1")
    with staying(open_it()) as told:
        first = until(told, lambda one: one.what == "waits")
        assert "there:1 is at it" in str(first.error)
        other.release()
        assert told.get(timeout=PATIENCE).what == "cleaned"
        with catalog.database.write() as connection:  # as if it had slept too long, and another had come
            taken = "UPDATE leases SET generation = generation + 1, expires_at = expires_at + 60000000"
            connection.execute(text(f"{taken} WHERE name = '{TURN}'"))
        assert "another process has it now" in str(until(told, lambda one: one.what == "waits").error)
        expire(catalog)
        deleted(catalog, tmp_path)
        until(told, cleaned(1))


def test_it_waits_while_a_repair_is_at_work(open_it: Open, tmp_path: Path) -> None:
    """One thing at a time is done to a catalog."""
    catalog = open_it()
    deleted(catalog, tmp_path)
    with acquire(catalog.database, "scrub", holder="mender:1"), staying(open_it()) as told:
        assert "mender:1 is at it" in str(told.get(timeout=PATIENCE).error)
        expire(catalog)
        until(told, cleaned(1))


def test_one_bad_image_ends_nothing(open_it: Open, tmp_path: Path) -> None:
    """What cannot be removed is told each time; the others go."""
    catalog = open_it()
    bad = deleted(catalog, tmp_path)
    blob = tmp_path / "store" / "blobs" / f"{bad}.1"
    blob.unlink()
    blob.mkdir()
    with staying(open_it()) as told:
        first = until(told, cleaned(1)).done
        assert first is not None
        assert first.failed[0].startswith(f"image {bad}: ")
        deleted(catalog, tmp_path)
        again = until(told, cleaned(1)).done
        assert again is not None
        assert (again.blobs, len(again.failed)) == (1, 1)
        blob.rmdir()
        until(told, lambda one: one.done is not None and not one.done.failed)


def test_a_missing_table_ends_nothing(open_it: Open, tmp_path: Path) -> None:
    """It is told, and when the table is back it goes on."""
    catalog = open_it()
    with catalog.database.write() as connection:
        connection.execute(text("ALTER TABLE images RENAME TO pictures"))
    with staying(open_it()) as told:
        assert "images" in str(until(told, lambda one: one.what == "failed").error)
        with catalog.database.write() as connection:
            connection.execute(text("ALTER TABLE pictures RENAME TO images"))
        deleted(catalog, tmp_path)
        until(told, cleaned(1))


def test_it_stops_between_two_images(open_it: Open, tmp_path: Path) -> None:
    """What is left is for the next one."""
    catalog = open_it()
    for _ in range(3):
        deleted(catalog, tmp_path)
    stop = Event()
    stop.set()
    assert scrub(catalog, 0, stop) == (0, 0, 0, ())
    assert scrub(catalog, 0) == (3, 3, 3 * len(GOOD), ())


def test_a_server_that_is_away_ends_nothing(server: Server, tmp_path: Path) -> None:
    """It is told, and when the server is back it goes on."""
    place, admin = server.fresh("away"), server.fresh("other")
    config = Config(location=place, store=str(tmp_path / "store"))
    (tmp_path / "disk.img").write_bytes(GOOD)
    elsewhere = Config(location=admin, store=str(tmp_path / "elsewhere"))
    with (
        Catalog.open(identity="root:ops:admin", create=True, config=config) as catalog,
        Catalog.open(identity="root:ops:admin", create=True, config=config) as cleaner,
        Catalog.open(identity="root:ops:admin", create=True, config=elsewhere) as other,
    ):
        deleted(catalog, tmp_path)
        with staying(cleaner) as told:
            until(told, cleaned(1))
            with other.database.write() as connection:
                connection.execute(text("ALTER DATABASE away ALLOW_CONNECTIONS false"))
            with other.database.write() as connection:  # now nobody comes back
                connection.execute(
                    text("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'away'")
                )
            until(told, lambda one: one.what == "failed" and "not currently accepting connections" in str(one.error))
            with other.database.write() as connection:
                connection.execute(text("ALTER DATABASE away ALLOW_CONNECTIONS true"))
            expire(catalog)  # the round that was cut off may have left its lease
            deleted(catalog, tmp_path)
            until(told, cleaned(1))


def daemon(place: str, tmp_path: Path) -> subprocess.Popen[str]:
    """The command that stays."""
    told = {"IMGTOOL_CONFIG": "/dev/null", "IMGTOOL_STORE_LOCATION": str(tmp_path / "store")}
    options = ("--daemon", "--wakeup", "1", "--delay", "0", "--json", "--as", "root:ops:admin", "--catalog", place)
    return subprocess.Popen(
        [sys.executable, "-m", "imgtool", "catalog", "scrub", *options],
        cwd=ROOT,
        env={**os.environ, **told},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def take_over(catalog: Catalog, place: str, tmp_path: Path) -> None:
    """Of two processes one cleans; kill -9 of that, and the other does; a signal ends it well."""
    deleted(catalog, tmp_path)
    first = daemon(place, tmp_path)
    assert first.stdout is not None
    assert json.loads(first.stdout.readline())["images"] == 1
    second = daemon(place, tmp_path)
    assert second.stdout is not None
    assert second.stderr is not None
    waits = json.loads(second.stderr.readline())
    assert waits["type"] == "progress"
    assert f":{first.pid} is at it" in waits["message"]
    first.kill()
    first.communicate()
    deleted(catalog, tmp_path)
    expire(catalog)
    assert json.loads(second.stdout.readline())["images"] == 1
    second.send_signal(signal.SIGTERM)
    assert second.communicate(timeout=PATIENCE)[1] == ""
    assert second.returncode == 0
    with acquire(catalog.database, TURN):
        pass


def test_two_daemons(server: Server, tmp_path: Path) -> None:
    """As on two machines that share a server."""
    (tmp_path / "disk.img").write_bytes(GOOD)
    place = server.fresh()
    config = Config(location=place, store=str(tmp_path / "store"))
    with Catalog.open(identity="root:ops:admin", create=True, config=config) as catalog:
        take_over(catalog, place, tmp_path)


@pytest.mark.full
def test_two_daemons_many_times(open_it: Open, place: str, tmp_path: Path) -> None:
    """On either database, again and again."""
    catalog = open_it()
    for _ in range(5):
        take_over(catalog, place, tmp_path)
    print(f"5 takeovers on {catalog.database.place.partition(':')[0]}")
