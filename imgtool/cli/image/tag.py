"""imgtool image tag: put tags on an image, and take them off."""

from __future__ import annotations

from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, Quiet, epilog, verb
from imgtool.cli.groups import NAMES
from imgtool.cli.records import Image, show_record
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings=NAMES,
    help="Put tags on an image, and take them off.",
    epilog=epilog("imgtool image tag add web stable debian", "imgtool image tag remove web linux"),
)

Names = Annotated[list[str], typer.Argument(metavar="TAG...", help="Tags.")]


@app.command(
    "add",
    epilog=epilog(
        "imgtool image tag add web stable debian",
        "imgtool image tag add web x --json",
        "imgtool image tag add web x --quiet",
    ),
)
@verb
def add(
    image: Image,
    tags: Names,
    as_json: AsJson = False,
    quiet: Quiet = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Put tags on an image; one that it has is no fault."""
    with opened(config, catalog, act_as, access) as there:
        show_record(there.change(image, tags=tags), as_json=as_json, quiet=quiet)


@app.command(
    "remove",
    epilog=epilog("imgtool image tag remove web linux --json", "imgtool image tag remove web stable --quiet"),
)
@verb
def remove(
    image: Image,
    tags: Names,
    as_json: AsJson = False,
    quiet: Quiet = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Take tags off an image: all of them, or none."""
    with opened(config, catalog, act_as, access) as there:
        show_record(there.unset(image, tags=tags), as_json=as_json, quiet=quiet)
