"""The status flow: what the service allows, and nothing else."""

from __future__ import annotations

import itertools

import pytest

from imgtool.catalog.status import ACTIONS, STATUSES, TRANSITIONS, refusal, target
from imgtool.errors import RefusedError

#: The flow as it is written down for users.
FLOW = {
    "queued": {"saving", "deleted"},
    "saving": {"active", "killed"},
    "active": {"deactivated", "pending_delete", "deleted"},
    "deactivated": {"active", "pending_delete", "deleted"},
    "killed": {"queued", "deleted"},
    "pending_delete": {"active", "deactivated", "deleted"},
    "deleted": set(),
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(FLOW, FLOW)))
def test_every_pair(before: str, after: str) -> None:
    """Some action leads from one to the other where the flow has it."""
    came = (None, *STATUSES) if before == "pending_delete" else (None,)
    reached = {target(action, before, one) for action in ACTIONS for one in came}  # type: ignore[arg-type] # a status
    assert (after in reached) == (after in FLOW[before])


def test_every_status_and_action_is_used() -> None:
    """The table and the lists name the same."""
    assert set(FLOW) == set(STATUSES)
    assert {one.action for one in TRANSITIONS} == set(ACTIONS)


def test_a_restore_leads_back() -> None:
    """What was deactivated when it was deleted does not come back active."""
    assert target("restore", "pending_delete", "deactivated") == "deactivated"
    assert target("restore", "pending_delete", "active") == "active"
    assert target("restore", "pending_delete", None) is None
    assert target("restore", "pending_delete", "queued") is None


def test_an_action_has_one_end() -> None:
    """From one status an action leads to one other, but for the restore."""
    pairs = [(one.action, one.before) for one in TRANSITIONS if one.action != "restore"]
    assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize(
    ("action", "status", "said"),
    [
        ("deactivate", "killed", "image web is killed: only an active image can be deactivated"),
        (
            "delete",
            "saving",
            "image web is saving: an upload into it is under way, or was ended by force (`catalog repair` tells it "
            "broken off)",
        ),
        ("restore", "deleted", "image web is deleted: nothing can be done with it any more"),
        ("upload", "active", "image web is active: only a queued image takes data"),
    ],
)
def test_refusals_say_why(action: str, status: str, said: str) -> None:
    """The status, and what the action needs."""
    error = refusal(action, "web", status)  # type: ignore[arg-type] # they are actions and statuses
    assert isinstance(error, RefusedError)
    assert str(error) == said
