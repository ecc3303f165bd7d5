"""Verbs that have verbs of their own: each of those is a module, loaded when it is used."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup

from imgtool.cli.frame import epilog

NAMES = {"help_option_names": ["-h", "--help"]}


class Group(NamedTuple):
    """A verb with verbs: what it is for, those in the order of the help, and examples of what all of them take."""

    about: str
    verbs: tuple[str, ...]
    examples: tuple[str, ...]


GROUPS: dict[str, Group] = {
    "image": Group(
        "Register images, and follow them through their life: only what passes validation becomes active.",
        (
            "create",
            "upload",
            "list",
            "show",
            "set",
            "unset",
            "tag",
            "delete",
            "restore",
            "deactivate",
            "reactivate",
            "member",
            "verify",
            "save",
            "history",
        ),
        (
            "imgtool image list --config imgtool.toml",
            "imgtool image list --catalog catalog --as carol:lab:member",
            "imgtool image show public --access access.yaml",
        ),
    ),
    "catalog": Group(
        "Make a catalog, and look after it: its numbers, its cleaning, its soundness, copies of it.",
        ("init", "info", "scrub", "verify", "repair", "export", "import"),
        (
            "imgtool catalog info --config imgtool.toml",
            "imgtool catalog info --catalog catalog --as carol:lab:reader --access access.yaml",
        ),
    ),
    "flavor": Group(
        "What instances can get: processors, memory, disks.",
        ("create", "list", "show", "delete"),
        (
            "imgtool flavor list --config imgtool.toml --access access.yaml",
            "imgtool flavor list --catalog catalog --as carol:lab:reader",
        ),
    ),
    "instance": Group(
        "Machines that stand on images, which never change by that: made, started, kept as new images.",
        ("create", "list", "show", "boot", "snapshot", "delete"),
        (
            "imgtool instance list --config imgtool.toml --access access.yaml",
            "imgtool instance list --catalog catalog --as carol:lab:reader",
        ),
    ),
}


def lazily(package: str, names: Sequence[str]) -> type[TyperGroup]:
    """A group of commands: each is `app` of the module of its name in a package, imported when it is asked for."""

    class Lazy(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return list(names)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            if cmd_name not in names:
                return None
            return typer.main.get_command(import_module(f"{package}.{cmd_name}").app)

    return Lazy


def command_of(name: str) -> Any:
    """The command of a group."""
    group = GROUPS[name]
    app = typer.Typer(
        cls=lazily(f"imgtool.cli.{name}", group.verbs),
        no_args_is_help=True,
        rich_markup_mode=None,
        add_completion=False,
        context_settings=NAMES,
    )
    app.callback(help=group.about, epilog=epilog(*group.examples))(_nothing)
    found = typer.main.get_command(app)
    found.name = name
    return found


def _nothing() -> None:
    """A group does nothing by itself."""
