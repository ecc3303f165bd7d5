"""Moves of images, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from imgtool.catalog import images, moves
from imgtool.catalog.database import Database
from imgtool.catalog.images import Changes
from imgtool.catalog.status import ACTIONS, STATUSES, target
from imgtool.errors import NotFoundError, RefusedError
from tests.catalog.made import ID, image_of, queued, stored


def act(connection: Any, action: str, identifier: str) -> images.Kept:
    """Do what an action is called."""
    attempt = images.get(connection, identifier).attempt
    calls: dict[str, Callable[[], images.Kept]] = {
        "upload": lambda: moves.begin_upload(connection, identifier, attempt + 1, "bob"),
        "finish": lambda: moves.finish_upload(
            connection, identifier, attempt, stored(identifier, max(attempt, 1)), "bob"
        ),
        "fail": lambda: moves.fail_upload(connection, identifier, attempt, "bob", "no"),
        "requeue": lambda: moves.requeue(connection, identifier, "bob"),
        "deactivate": lambda: moves.deactivate(connection, identifier, "bob"),
        "reactivate": lambda: moves.reactivate(connection, identifier, "bob"),
        "delete": lambda: moves.delete(connection, identifier, "bob"),
        "erase": lambda: moves.delete(connection, identifier, "bob", delay=False),
        "scrub": lambda: moves.scrub(connection, identifier, "bob"),
        "restore": lambda: moves.restore(connection, identifier, "bob"),
    }
    return calls[action]()


@pytest.mark.parametrize("status", STATUSES)
def test_every_action_from_every_status(database: Database, status: str) -> None:
    """What the table has is done and written down; all else is refused, and changes nothing."""
    for action in ACTIONS:
        with database.write() as connection:
            one = image_of(connection, status)  # type: ignore[arg-type] # it is a status
            before, past = images.get(connection, one), moves.history(connection, one)
            expected = target(action, before.record.status, before.previous)
            if expected is None:
                with pytest.raises(RefusedError, match=f"image {one} is {status}: "):
                    act(connection, action, one)
                assert (images.get(connection, one), moves.history(connection, one)) == (before, past)
                continue
            assert act(connection, action, one).record.status == expected
            last = moves.history(connection, one)
            assert last[:-1] == past
            assert (last[-1].before, last[-1].after, last[-1].who) == (status, expected, "bob")


def test_a_life(database: Database) -> None:
    """Failed, uploaded anew, deactivated, deleted, restored as it was, scrubbed; all in its history."""
    with database.write() as connection:
        one = queued(connection)
        moves.begin_upload(connection, one, 1, "ann")
        failed = moves.fail_upload(connection, one, 1, "ann", "no space is left").record
        assert (failed.status, failed.reason, failed.size) == ("killed", "no space is left", None)
        assert moves.requeue(connection, one, "ann").record.reason is None
        moves.begin_upload(connection, one, 2, "ann")
        kept = moves.finish_upload(connection, one, 2, stored(one, 2), "ann")
        record = kept.record
        assert (kept.blob, kept.attempt, record.size, record.virtual_size) == (f"{one}.2", 2, 4096, 1 << 30)
        assert (record.checksum, record.os_hash_algo) == ("d41d8cd98f00b204e9800998ecf8427e", "sha512")
        moves.deactivate(connection, one, "bob", "looks strange")
        gone = moves.delete(connection, one, "ann")
        assert (gone.record.status, gone.previous, gone.blob) == ("pending_delete", "deactivated", f"{one}.2")
        back = moves.restore(connection, one, "ann")
        assert (back.record.status, back.previous, back.deleted_at) == ("deactivated", None, None)
        moves.delete(connection, one, "ann")
        assert moves.scrub(connection, one, "scrubber").blob == f"{one}.2"
        assert moves.to_remove(connection) == [(one, f"{one}.2")]
        assert moves.data_removed(connection, one, f"{one}.2")
        assert not moves.data_removed(connection, one, f"{one}.2")
        assert moves.to_remove(connection) == []
        past = moves.history(connection, one)
    assert [change.after for change in past] == [
        *("queued", "saving", "killed", "queued", "saving", "active", "deactivated"),
        *("pending_delete", "deactivated", "pending_delete", "deleted"),
    ]
    assert [(change.who, change.why) for change in past][6] == ("bob", "looks strange")
    assert (past[0].before, past[-1].who) == (None, "scrubber")


def test_an_older_upload_moves_nothing(database: Database) -> None:
    """Once another took over, it neither ends nor fails the image."""
    with database.write() as connection:
        one = image_of(connection, "saving")
        moves.fail_upload(connection, one, 1, "repair", "its process is gone")
        moves.requeue(connection, one, "ann")
        with pytest.raises(RefusedError, match="another upload into it has begun since"):
            moves.begin_upload(connection, one, 1, "ann")
        moves.begin_upload(connection, one, 2, "ann")
        with pytest.raises(RefusedError, match="another upload into it has begun since"):
            moves.finish_upload(connection, one, 1, stored(one, 1), "ann")
        with pytest.raises(RefusedError, match="another upload into it has begun since"):
            moves.fail_upload(connection, one, 1, "ann", "late")
        assert moves.finish_upload(connection, one, 2, stored(one, 2), "ann").blob == f"{one}.2"


@pytest.mark.parametrize("delay", [False, True])
def test_protected_images_are_not_deleted(database: Database, delay: bool) -> None:
    """By nobody, until that is taken back."""
    with database.write() as connection:
        one = image_of(connection, "active", protected=True)
        with pytest.raises(RefusedError, match="is protected: it cannot be deleted"):
            moves.delete(connection, one, "root", delay=delay)
        moves.deactivate(connection, one, "root")
        images.update(connection, one, Changes(protected=False))
        assert moves.delete(connection, one, "root", delay=delay).record.status in ("deleted", "pending_delete")


def test_the_grace_period(database: Database) -> None:
    """Those whose time is over, the oldest first."""
    with database.write() as connection:
        first, second = image_of(connection, "pending_delete"), image_of(connection, "pending_delete")
        connection.execute(
            text("UPDATE images SET deleted_at = deleted_at - 100000000 WHERE id = :id"), {"id": second}
        )
        assert moves.due(connection, 0) == [second, first]
        assert moves.due(connection, 99) == [second]
        assert moves.due(connection, 200) == []


def test_what_is_not_there_is_not_moved(database: Database) -> None:
    """No id, no history."""
    with database.write() as connection:
        for call in (
            lambda: moves.deactivate(connection, ID, "ann"),
            lambda: moves.history(connection, ID),
        ):
            with pytest.raises(NotFoundError, match=f"no image {ID}"):
                call()


def test_what_was_changed_since_the_last_move(database: Database) -> None:
    """Uploads that begin and fail do not hide it; what counts as part of the move is none."""
    with database.write() as connection:
        one = queued(connection)
        assert not moves.changed_since(connection, one)
        images.hold(connection, one)
        assert not moves.changed_since(connection, one)
    with database.write() as connection:
        images.add_tags(connection, one, ["linux"])
        assert moves.changed_since(connection, one)
        for action in ("upload", "fail", "requeue"):
            act(connection, action, one)
            assert moves.changed_since(connection, one)
        moves.settle(connection, one)
        assert not moves.changed_since(connection, one)
        for action in ("upload", "fail", "requeue"):
            act(connection, action, one)
            assert not moves.changed_since(connection, one)
