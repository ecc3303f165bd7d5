"""What the verbs over a guest's disk share: their options, and opening it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from imgtool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtool.sources.disk import Disk

Format = Annotated[
    str | None, typer.Option("--format", "-f", metavar="NAME", help="What the image is; detected when not given.")
]
Snapshot = Annotated[
    str | None, typer.Option("--snapshot", metavar="NAME", help="An internal snapshot, by name or id.")
]
Member = Annotated[
    str | None, typer.Option("--member", metavar="NAME", help="Which disk of a container, where there are several.")
]
Follow = Annotated[
    bool,
    typer.Option("--follow", help="Open what the image refers to in its own folder (--follow=FOLDER: below that)."),
]
FollowIn = Annotated[str | None, typer.Option("--follow-in", metavar="FOLDER", help="As --follow=FOLDER.")]


def spell_follow(arguments: list[str]) -> list[str]:
    """`--follow=FOLDER` as the option it stands for; everything after `--` as it is."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [
        f"--follow-in={argument.removeprefix('--follow=')}"
        if place < end and argument.startswith("--follow=")
        else argument
        for place, argument in enumerate(arguments)
    ]


@contextmanager
def opened(
    path: str,
    *,
    format: str | None,
    snapshot: str | None = None,
    member: str | None = None,
    follow: bool = False,
    follow_in: str | None = None,
    device: bool = False,
) -> Iterator[Disk]:
    """The guest's disk of an image, closed at the end. Raises what `open_disk` raises."""
    from imgtool.disks.open import open_disk

    if path == "-":
        raise UsageError("a disk must be read at any place, which standard input cannot; name a file")
    allowed: bool | str = follow_in if follow_in is not None else follow
    with open_disk(path, format=format, snapshot=snapshot, member=member, follow=allowed, device=device) as disk:
        yield disk
