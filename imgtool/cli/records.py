"""What the verbs of images share: options of a record's fields, and several images at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from imgtool.cli.frame import leave, say_error
from imgtool.errors import EXIT_DONE, EXIT_NO, ImgtoolError, UsageError, worst

if TYPE_CHECKING:
    from imgtool.model.image import ImageRecord

Image = Annotated[str, typer.Argument(metavar="IMAGE", help="The image: its id, or a name that only one has.")]
Images = Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Images: ids, or names that only one has.")]
Visibility = Annotated[
    str | None,
    typer.Option("--visibility", metavar="public|community|shared|private", help="Who sees it."),
]
Protected = Annotated[bool | None, typer.Option("--protected/--unprotected", help="Whether its deletion is refused.")]
Owner = Annotated[str | None, typer.Option("--owner", metavar="PROJECT", help="The project that it belongs to.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="A tag; repeatable.")]
Properties = Annotated[
    list[str] | None, typer.Option("--property", metavar="NAME=VALUE", help="A property; repeatable.")
]
DiskFormat = Annotated[
    str | None, typer.Option("--disk-format", metavar="NAME", help="The format of the disk: qcow2, raw, vmdk …")
]
ContainerFormat = Annotated[
    str | None, typer.Option("--container-format", metavar="NAME", help="What is around it: bare, ova, docker …")
]
MinDisk = Annotated[
    int | None, typer.Option("--min-disk", metavar="GIB", help="The disk that an instance must have at least.")
]
MinRam = Annotated[
    int | None, typer.Option("--min-ram", metavar="MIB", help="The memory that an instance must have at least.")
]
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why: it is kept in the image's history.")
]


def parsed_properties(given: Iterable[str] | None) -> dict[str, str]:
    """`NAME=VALUE` as typed. Raises UsageError, also for one name with two values."""
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--property is NAME=VALUE, not {text!r}")
        if found.setdefault(name, value) != value:
            raise UsageError(f"--property {name} is given as {found[name]!r} and as {value!r}")
    return found


def each(called: Iterable[str], do: Callable[[str], bool], *, as_json: bool) -> None:
    """Do it with every image, and end with the worst status: a failure is told, and the others are done.

    `do`: False is the answer no.
    """
    statuses = [EXIT_DONE]
    for one in called:
        try:
            statuses.append(EXIT_DONE if do(one) else EXIT_NO)
        except ImgtoolError as error:
            say_error(error, as_json=as_json, path=one)
            statuses.append(error.exit_status)
    leave(worst(statuses))


def move_each(
    called: Iterable[str], move: Callable[[str, str], ImageRecord], why: str, *, as_json: bool, quiet: bool
) -> None:
    """Change the status of every image, and tell what each is then."""
    from imgtool.render.images import json_line, status_line

    def one(image: str) -> bool:
        record = move(image, why)
        if as_json:
            sys.stdout.write(json_line(record))
        elif not quiet:
            sys.stdout.write(status_line(record))
        return True

    each(called, one, as_json=as_json)


def show_record(record: ImageRecord, *, as_json: bool, quiet: bool) -> None:
    """A record as it is now: its table, or its object."""
    from imgtool.render.images import json_line, record_table

    if as_json:
        sys.stdout.write(json_line(record))
    elif not quiet:
        sys.stdout.write(record_table(record))
