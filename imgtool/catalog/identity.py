"""Who acts: a user, a project, roles. A label that records and access rules go by; no security boundary: whoever may
write the store's files may do everything.

Roles imply those below them, as the identity service has it by default: admin → manager → member → reader.
Reference: OpenStack Keystone, "Default roles"; oslo.context for the names of attributes.
"""

from __future__ import annotations

import os
import unicodedata
from typing import NamedTuple

from imgtool.errors import UsageError

ADMIN, MANAGER, MEMBER, READER = "admin", "manager", "member", "reader"

#: Each implies all behind it.
HIERARCHY = (ADMIN, MANAGER, MEMBER, READER)

_FORM = "say USER:PROJECT:ROLE or USER:PROJECT:ROLE,ROLE"
_LONGEST = 255
_MOST_ROLES = 64


class Identity(NamedTuple):
    """Who acts. `roles`: in small letters, with those that they imply, in order."""

    user: str
    project: str
    roles: tuple[str, ...]

    def __str__(self) -> str:
        """As histories have it: user:project."""
        return f"{self.user}:{self.project}"


def identity(user: str, project: str, roles: tuple[str, ...]) -> Identity:
    """An identity with the roles that its roles imply. Raises UsageError."""
    lowered = [_part("a role", role).lower() for role in roles]
    if not lowered:
        raise UsageError(f"{user}:{project} has no role: {_FORM}")
    if len(lowered) > _MOST_ROLES:
        raise UsageError(f"more than {_MOST_ROLES} roles")
    highest = min((HIERARCHY.index(role) for role in lowered if role in HIERARCHY), default=len(HIERARCHY))
    implied = (*lowered, *HIERARCHY[highest:])
    return Identity(_part("the user", user), _part("the project", project), tuple(dict.fromkeys(implied)))


def owner_of(place: str) -> int | None:
    """Who owns a store (uid); None where it is made now. Raises UsageError for what is no path."""
    try:
        return os.stat(place).st_uid
    except OSError:
        return None
    except ValueError as error:
        raise UsageError(f"{place!r}: is no path: {error}") from None


def parse_identity(text: str) -> Identity:
    """The identity that "user:project:role,role" says. Raises UsageError with what is missing."""
    parts = text.split(":")
    if len(parts) != 3:
        said = {1: "the project and the roles are missing", 2: "the roles are missing"}
        raise UsageError(f"{text!r}: {said.get(len(parts), 'too many colons')}: {_FORM}")
    user, project, roles = parts
    try:
        return identity(user, project, tuple(roles.split(",")) if roles else ())
    except UsageError as error:
        raise UsageError(f"{text!r}: {error}") from None


def acting(said: str | None, where: str, owner: int | None) -> Identity:
    """Who acts: what option, environment or configuration say (`where` names which), else the user of this machine.

    That is an administrator for whoever owns the store (`owner`: its uid, None for one that is made now) and for
    root, a member of a project of the user's own name for others. Raises UsageError.
    """
    if said is not None:
        try:
            return parse_identity(said)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
    mine = os.geteuid()
    name = login_name(mine)
    return identity(name, name, (ADMIN if mine in (0, owner) or owner is None else MEMBER,))


def login_name(uid: int) -> str:
    """The name of a user of this machine; `uid1000` where it has none that could be written."""
    import pwd

    try:
        return _part("the user", pwd.getpwuid(uid).pw_name)
    except (KeyError, UsageError):
        return f"uid{uid}"


def _part(what: str, text: str) -> str:
    """A name: 1 to 255 characters, no separator, none that controls a terminal, no space at its ends."""
    if not text.strip():
        raise UsageError(f"{what} is empty: {_FORM}")
    if len(text) > _LONGEST:
        raise UsageError(f"{what} has more than {_LONGEST} characters")
    if text != text.strip() or any(unicodedata.category(one)[0] == "C" or one in ":," for one in text):
        raise UsageError(f"{what} has a character that no name has: {text!r}")
    return text
