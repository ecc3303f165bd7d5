"""Who sees which image. Pure: a project, what is known of an image, yes or no; `listing` asks the database the same.

| visibility | seen by its id | in a list without being asked for |
| --- | --- | --- |
| public | everybody | everybody |
| community | everybody | its owner's project; others where that visibility, or its owner, is asked for |
| shared | its owner's project; members, whatever they said to it | its owner's project; members that accepted it |
| private | its owner's project | its owner's project |

An administrator sees and lists every image. What is deleted, or waits for it, is seen by its owner's project and by
administrators alone. Nobody is a member of an image that is not `shared`: rows that are left of a time when it was
are no membership. Reference: Image API v2, "Images" (visibility), "Sharing" (member_status), "List images".
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from imgtool.catalog.status import LISTED
from imgtool.model.image import MemberStatus, Status, Visibility


class Seen(NamedTuple):
    """What decides who sees an image. `membership`: of the project that looks, None where it is no member."""

    owner: str
    visibility: Visibility
    status: Status = "active"
    membership: MemberStatus | None = None


def sees(image: Seen, project: str | None) -> bool:
    """True where a project sees the image that it names by its id. `project`: None is an administrator."""
    if project is None or project == image.owner:
        return True
    if image.status not in LISTED:
        return False
    if image.visibility == "shared":
        return image.membership is not None
    return image.visibility in ("public", "community")


def lists(
    image: Seen,
    project: str | None,
    *,
    member_status: MemberStatus | Literal["all"] = "accepted",
    asked: bool = False,
) -> bool:
    """True where the list of a project shows the image, as far as visibility goes. `project`: None is an
    administrator. `member_status`: what the project said to images that are shared with it. `asked`: the list is one
    of community images, or of one owner's."""
    if project is None or project == image.owner:
        return True
    if not sees(image, project):
        return False
    if image.visibility == "shared":
        return member_status in ("all", image.membership)
    return image.visibility == "public" or asked


def is_member(image: Seen) -> bool:
    """True where the project that looks is a member: what `member_id` of an access rule stands for."""
    return image.visibility == "shared" and image.membership is not None
