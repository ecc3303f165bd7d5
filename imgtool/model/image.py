"""An image of the catalog, its members and its history, as they are shown. Sizes are integers of bytes but where
their names are those of the image service: `min_disk` is GiB, `min_ram` MiB. Times are RFC 3339 in UTC.

References: the Image API v2 of OpenStack, "Images" and "Sharing".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

SCHEMA = "imgtool.image/1"
MEMBER = "imgtool.member/1"
CHANGE = "imgtool.change/1"

Status = Literal["queued", "saving", "active", "deactivated", "killed", "pending_delete", "deleted"]
Visibility = Literal["public", "community", "shared", "private"]
MemberStatus = Literal["pending", "accepted", "rejected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """One image of the catalog.

    id: a UUID. name: need not be unique. status: where it is in its life. visibility: who sees it.
    protected: it cannot be deleted. owner: the project that it belongs to. tags: in order of the alphabet.
    disk_format, container_format: as registered; null until they are known.
    size: bytes of the data. virtual_size: what a guest would see, bytes. checksum: md5 of the data, hex.
    os_hash_algo, os_hash_value: the digest that reading is verified with, hex. All of them null without data.
    min_disk: GiB, and min_ram: MiB, that an instance must have.
    reason: why the last upload failed. properties: free ones.
    """

    id: str
    name: str
    status: Status
    visibility: Visibility
    protected: bool
    owner: str
    tags: tuple[str, ...]
    disk_format: str | None
    container_format: str | None
    size: int | None
    virtual_size: int | None
    checksum: str | None
    os_hash_algo: str | None
    os_hash_value: str | None
    min_disk: int
    min_ram: int
    created_at: str
    updated_at: str
    reason: str | None
    properties: Mapping[str, str]

    def to_dict(self) -> dict[str, object]:
        """The record as plain JSON values, as `imgtool image show --json` prints it."""
        from imgtool.model.jsonable import jsonable

        return {"schema": SCHEMA, **cast("dict[str, object]", jsonable(self))}


class Member(NamedTuple):
    """A project that an image is shared with, and whether it took it."""

    image_id: str
    member: str
    status: MemberStatus
    created_at: str
    updated_at: str


class Change(NamedTuple):
    """One change of an image's status: when, from what (null when it was made) to what, by whom, why."""

    at: str
    before: Status | None
    after: Status
    who: str
    why: str
