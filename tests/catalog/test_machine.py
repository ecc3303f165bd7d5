"""The catalog against a plain model of it: whatever is done in whatever order, both hold the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from imgtool.catalog import images, moves
from imgtool.catalog.database import Database, open_database
from imgtool.catalog.images import Changes
from imgtool.catalog.listing import Filters, list_images
from imgtool.catalog.status import STATUSES
from imgtool.catalog.tables import tables
from imgtool.errors import RefusedError
from tests.catalog.made import queued
from tests.catalog.server import Server
from tests.catalog.test_moves import act

#: What the model knows of actions: where each leads from where.
LEADS = {
    "upload": {"queued": "saving"},
    "finish": {"saving": "active"},
    "fail": {"saving": "killed"},
    "requeue": {"killed": "queued"},
    "deactivate": {"active": "deactivated"},
    "reactivate": {"deactivated": "active"},
    "delete": {
        "active": "pending_delete",
        "deactivated": "pending_delete",
        "queued": "deleted",
        "killed": "deleted",
    },
    "erase": {"active": "deleted", "deactivated": "deleted", "queued": "deleted", "killed": "deleted"},
    "scrub": {"pending_delete": "deleted"},
}


@dataclass
class Model:
    """One image, as the model has it."""

    status: str = "queued"
    before: str = ""
    protected: bool = False
    uploads: int = 0
    tags: set[str] = field(default_factory=set)
    path: list[str] = field(default_factory=lambda: ["queued"])


class Machine(RuleBasedStateMachine):
    """Images that are made, moved and changed at random."""

    database: ClassVar[Database]
    every = Bundle("every")

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[str, Model] = {}
        with self.database.write() as connection:
            for table in reversed(tables().metadata.sorted_tables):
                connection.execute(table.delete())

    @rule(target=every)
    def create(self) -> str:
        """A new image."""
        with self.database.write() as connection:
            identifier = queued(connection)
        self.models[identifier] = Model()
        return identifier

    @rule(identifier=every, action=st.sampled_from([*LEADS, "restore"]))
    def move(self, identifier: str, action: str) -> None:
        """Any action on any image."""
        model = self.models[identifier]
        after = model.before if action == "restore" else LEADS[action].get(model.status)
        if (action == "restore" and model.status != "pending_delete") or (
            action in ("delete", "erase") and model.protected
        ):
            after = None
        try:
            with self.database.write() as connection:
                act(connection, action, identifier)
        except RefusedError:
            assert not after
            return
        assert after
        if after == "pending_delete":
            model.before = model.status
        model.uploads += action == "upload"
        model.status = after
        model.path.append(after)

    @rule(identifier=every, protected=st.booleans())
    def protect(self, identifier: str, protected: bool) -> None:
        """Set or take back the protection."""
        model = self.models[identifier]
        try:
            with self.database.write() as connection:
                images.update(connection, identifier, Changes(protected=protected))
        except RefusedError:
            assert model.status in ("deleted", "pending_delete")
            return
        model.protected = protected

    @rule(identifier=every, tag=st.sampled_from("abc"), put=st.booleans())
    def retag(self, identifier: str, tag: str, put: bool) -> None:
        """Put a tag on, or take it off."""
        model = self.models[identifier]
        try:
            with self.database.write() as connection:
                (images.add_tags if put else images.remove_tags)(connection, identifier, [tag])
        except RefusedError:
            assert model.status in ("deleted", "pending_delete") or (not put and tag not in model.tags)
            return
        (model.tags.add if put else model.tags.remove)(tag)

    @invariant()
    def both_hold_the_same(self) -> None:
        """Statuses, protection, tags, histories; data where the status has it and nowhere else."""
        with self.database.read() as connection:
            found = {one.record.id: one for one in list_images(connection, Filters(status=STATUSES))}
            assert found.keys() == self.models.keys()
            for identifier, model in self.models.items():
                record = found[identifier].record
                assert (record.status, record.protected, set(record.tags)) == (
                    model.status,
                    model.protected,
                    model.tags,
                )
                assert [change.after for change in moves.history(connection, identifier)] == model.path
                with_data = "active" in model.path
                assert found[identifier].blob == (f"{identifier}.{model.uploads}" if with_data else None)
                assert (record.size is not None) == with_data
                assert (found[identifier].previous or "") == (
                    model.before if model.status == "pending_delete" else ""
                )


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One catalog for all runs of the machine, which empties it first."""
    folder: Path = tmp_path_factory.mktemp("machine")
    place = str(folder)
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("server")
        place = server.fresh("machine")
    with open_database(place, create=True) as database:
        yield database


def run(database: Database, examples: int, steps: int) -> None:
    """Run the machine on a catalog."""
    kind = type("OnThis", (Machine,), {"database": database})
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(kind, settings=chosen)


def test_the_machine(shared: Database) -> None:
    """A sample."""
    run(shared, 8, 30)


@pytest.mark.full
def test_the_machine_for_long(shared: Database) -> None:
    """Many more."""
    run(shared, 60, 50)
