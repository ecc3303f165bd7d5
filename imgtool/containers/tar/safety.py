"""What makes a member of a tar unsafe to unpack; the rules of ova and docker say it in their families.

References: CVE-2007-4559, CVE-2025-4517 (names and links that leave the folder).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from imgtool.containers.tar.archive import TarMember, plain


class Fault(NamedTuple):
    """What is wrong with a member, and where its header lies."""

    message: str
    offset: int


def unsafe_names(members: Iterable[TarMember]) -> Iterator[Fault]:
    """Names that are absolute, leave the folder, or mean something else on another system."""
    for member in members:
        reason = name_fault(member.name)
        if reason:
            yield Fault(f"member {member.name!r}: {reason}", member.header_offset)


def name_fault(name: str) -> str | None:
    """Why a name is not a plain one inside the archive; None when it is."""
    if not name:
        return "no name"
    if "\0" in name:
        return "a NUL"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "control characters"
    if name.startswith("/"):
        return "an absolute path"
    if "\\" in name:
        return "a backslash"
    if ".." in name.split("/"):
        return "leaves its folder by `..`"
    if len(name) > 1 and name[1] == ":" and name[0].isascii() and name[0].isalpha():
        return "a drive"
    return None


def special_members(members: Iterable[TarMember]) -> Iterator[Fault]:
    """Devices, FIFOs and types that no archive of images needs."""
    for member in members:
        if member.kind in ("char-device", "block-device", "fifo", "other"):
            what = "of an unknown type" if member.kind == "other" else f"a {member.kind}"
            yield Fault(f"member {member.name!r} is {what}", member.header_offset)


def duplicates(members: Iterable[TarMember]) -> Iterator[Fault]:
    """Names that come twice (folders aside)."""
    seen: set[str] = set()
    for member in members:
        name = posixpath.normpath(member.name)
        if member.kind != "folder" and name in seen:
            yield Fault(f"member {member.name!r} comes again", member.header_offset)
        seen.add(name)


def links(members: Iterable[TarMember]) -> Iterator[tuple[TarMember, bool]]:
    """Every link, and whether it points at another member of the archive."""
    listed = tuple(members)
    names = {posixpath.normpath(member.plain_name) for member in listed if member.has_data}
    for member in listed:
        if member.kind in ("symlink", "hardlink"):
            yield member, link_target(member) in names


def followed(member: TarMember | None, members: Mapping[str, TarMember]) -> TarMember | None:
    """The member with data that `member` is or points at, through at most eight links inside the archive."""
    for _ in range(8):
        if member is None or member.has_data:
            return member
        target = link_target(member)
        member = members.get(target) if target else None
    return None


def link_target(member: TarMember) -> str | None:
    """The name that a link points at, from the root of the archive; None where that is outside."""
    target = member.link
    if member.kind not in ("symlink", "hardlink") or not target or target.startswith("/") or "\0" in target:
        return None
    if member.kind == "symlink":
        target = posixpath.join(posixpath.dirname(member.plain_name), target)
    target = posixpath.normpath(plain(target))
    return None if target == ".." or target.startswith("../") else target
