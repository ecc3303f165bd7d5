"""The status flow of an image, as one table. Pure: it knows no database and no identity.

Whoever moves an image names an action; from the status that the image has, the table tells where that leads. What is
not in the table does not happen. Reference: the image service's status flow (Image API v2, "Image status"), with two
things that are ours: a grace period that can be taken back, and a fresh upload into an image whose upload failed.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from imgtool.errors import RefusedError
from imgtool.model.image import Status

Action = Literal[
    "upload",
    "finish",
    "fail",
    "requeue",
    "deactivate",
    "reactivate",
    "delete",
    "erase",
    "scrub",
    "restore",
]

STATUSES: tuple[Status, ...] = get_args(Status)
ACTIONS: tuple[Action, ...] = get_args(Action)


class Transition(NamedTuple):
    """`action` leads from `before` to `after`."""

    action: Action
    before: Status
    after: Status


#: Every move there is. `delete` keeps data for the grace period, `erase` does not; `restore` leads back to where
#: the image came from (`previous`), never elsewhere.
TRANSITIONS: tuple[Transition, ...] = (
    Transition("upload", "queued", "saving"),
    Transition("finish", "saving", "active"),
    Transition("fail", "saving", "killed"),
    Transition("requeue", "killed", "queued"),
    Transition("deactivate", "active", "deactivated"),
    Transition("reactivate", "deactivated", "active"),
    Transition("delete", "active", "pending_delete"),
    Transition("delete", "deactivated", "pending_delete"),
    Transition("delete", "queued", "deleted"),
    Transition("delete", "killed", "deleted"),
    Transition("erase", "active", "deleted"),
    Transition("erase", "deactivated", "deleted"),
    Transition("erase", "queued", "deleted"),
    Transition("erase", "killed", "deleted"),
    Transition("scrub", "pending_delete", "deleted"),
    Transition("restore", "pending_delete", "active"),
    Transition("restore", "pending_delete", "deactivated"),
)

#: Statuses in which the store holds the image's data.
WITH_DATA: frozenset[Status] = frozenset({"active", "deactivated", "pending_delete"})

#: Statuses that a list shows where none is asked for.
LISTED: tuple[Status, ...] = ("queued", "saving", "active", "deactivated", "killed")

#: Actions that a protected image refuses. (`scrub` is none: an image that waits for it can no longer be changed.)
REMOVING: frozenset[Action] = frozenset({"delete", "erase"})

#: What each action needs, in the words of its refusal.
_NEEDS: dict[Action, str] = {
    "upload": "only a queued image takes data",
    "finish": "no upload into it is under way",
    "fail": "no upload into it is under way",
    "requeue": "only an image whose upload failed takes a fresh one",
    "deactivate": "only an active image can be deactivated",
    "reactivate": "only a deactivated image can be reactivated",
    "delete": "it cannot be deleted now",
    "erase": "it cannot be deleted now",
    "scrub": "only an image that waits for its deletion is scrubbed",
    "restore": "only an image that waits for its deletion can be restored",
}


def target(action: Action, before: Status, previous: Status | None = None) -> Status | None:
    """Where an action leads from a status; None where it is not allowed. `previous`: what the image was before it
    was deleted; `restore` leads there."""
    found = [one.after for one in TRANSITIONS if one.action == action and one.before == before]
    if action == "restore":
        return previous if previous in found else None
    return found[0] if found else None


def refusal(action: Action, image: str, status: Status) -> RefusedError:
    """The failure of an action that the table does not have, for an image by its name or id."""
    said = {
        "saving": "an upload into it is under way, or was ended by force (`catalog repair` tells it broken off)",
        "deleted": "nothing can be done with it any more",
    }
    why = said.get(status) if action in REMOVING or status == "deleted" else None
    return RefusedError(f"image {image} is {status}: {why or _NEEDS[action]}")
