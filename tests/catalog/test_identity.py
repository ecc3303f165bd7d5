"""Who acts: as it is typed, as it is configured, and where nothing says it."""

from __future__ import annotations

import os

import pytest

from imgtool.catalog.identity import Identity, acting, identity, login_name, parse_identity
from imgtool.errors import UsageError


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("alice:research:member", ("member", "reader")),
        ("alice:research:admin", ("admin", "manager", "member", "reader")),
        ("alice:research:reader", ("reader",)),
        ("alice:research:Publisher,MEMBER", ("publisher", "member", "reader")),
        ("alice:research:auditor", ("auditor",)),
        ("alice:research:reader,reader,admin", ("reader", "admin", "manager", "member")),
    ],
)
def test_roles_imply_those_below(text: str, roles: tuple[str, ...]) -> None:
    """In small letters, each once; a role of no hierarchy implies none."""
    who = parse_identity(text)
    assert who == Identity("alice", "research", roles)
    assert str(who) == "alice:research"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the project and the roles are missing"),
        ("alice", "the project and the roles are missing"),
        ("alice:research", "the roles are missing"),
        ("alice:research:", "has no role"),
        ("alice::member", "the project is empty"),
        (":research:member", "the user is empty"),
        ("alice:research:member,", "a role is empty"),
        ("a:b:c:d", "too many colons"),
        (" alice:research:member", "a character that no name has"),
        ("ali\x1bce:research:member", "a character that no name has"),
        ("alice:re\u202esearch:member", "a character that no name has"),
        ("al,ice:research:member", "a character that no name has"),
        (f"{'a' * 256}:research:member", "more than 255 characters"),
        ("alice:research:" + ",".join(f"r{number}" for number in range(65)), "more than 64 roles"),
    ],
)
def test_what_is_no_identity(text: str, said: str) -> None:
    """A usage error says what is missing."""
    with pytest.raises(UsageError, match=said):
        parse_identity(text)


def test_names_may_hold_what_names_hold() -> None:
    """Other letters and inner spaces."""
    assert parse_identity("åsa b:größe:member").user == "åsa b"


def test_what_is_said_acts() -> None:
    """An option or a setting, whoever owns the store; its mistakes name where it was said."""
    assert acting("bob:lab:reader", "--as", os.geteuid()) == Identity("bob", "lab", ("reader",))
    with pytest.raises(UsageError, match=r"^IMGTOOL_AS: 'bob': the project"):
        acting("bob", "IMGTOOL_AS", None)


def test_the_owner_of_the_store_is_its_administrator(monkeypatch: pytest.MonkeyPatch) -> None:
    """As is root; others are members of a project of their own name."""
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    name = "uid4000000"
    assert login_name(4_000_000) == name
    admin = identity(name, name, ("admin",))
    assert acting(None, "--as", 4_000_000) == admin
    assert acting(None, "--as", None) == admin
    assert acting(None, "--as", 0) == Identity(name, name, ("member", "reader"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert acting(None, "--as", 4_000_000) == identity("root", "root", ("admin",))
