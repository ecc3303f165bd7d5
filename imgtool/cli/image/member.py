"""imgtool image member: the projects that an image is shared with."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, Quiet, epilog, verb
from imgtool.cli.groups import NAMES
from imgtool.cli.records import Image
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened
from imgtool.model.image import Member

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings=NAMES,
    help="The projects that an image of visibility `shared` is shared with, and what they said to it.",
    epilog=epilog(
        "imgtool image member add web lab",
        "imgtool image member set web lab accepted --as carol:lab:member",
        "imgtool image member list web",
    ),
)

Project = Annotated[str, typer.Argument(metavar="PROJECT", help="The project.")]


@app.command("list", epilog=epilog("imgtool image member list shared", "imgtool image member list shared --json"))
@verb
def show(
    image: Image,
    as_json: AsJson = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """List the members of an image; a member sees himself alone."""
    with opened(config, catalog, act_as, access) as there:
        _show(there.members(image), as_json)


@app.command(
    "add",
    epilog=epilog("imgtool image member add web lab --json", "imgtool image member add web research --quiet"),
)
@verb
def add(
    image: Image,
    project: Project,
    as_json: AsJson = False,
    quiet: Quiet = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Share an image with a project, which finds it in its lists once it accepted."""
    with opened(config, catalog, act_as, access) as there:
        _show((there.add_member(image, project),), as_json, quiet)


@app.command(
    "set",
    epilog=epilog(
        "imgtool image member set shared lab accepted --as carol:lab:member --json",
        "imgtool image member set shared lab rejected --as carol:lab:member --quiet",
    ),
)
@verb
def change(
    image: Image,
    project: Project,
    status: Annotated[str, typer.Argument(metavar="accepted|rejected|pending", help="What it says to the image.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Accept or reject an image that is shared with one's project."""
    with opened(config, catalog, act_as, access) as there:
        _show((there.set_member(image, project, status),), as_json, quiet)


@app.command("remove", epilog=epilog("imgtool image member remove shared lab"))
@verb
def remove(
    image: Image,
    project: Project,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Share an image with a project no longer."""
    with opened(config, catalog, act_as, access) as there:
        there.remove_member(image, project)


def _show(members: tuple[Member, ...], as_json: bool, quiet: bool = False) -> None:
    from imgtool.render.images import member_line, members_table

    if as_json:
        sys.stdout.writelines(map(member_line, members))
    elif not quiet:
        sys.stdout.write(members_table(members))
