"""imgtool catalog init: a catalog where there is none."""

from __future__ import annotations

import sys

import typer

from imgtool.cli.frame import AsJson, Quiet, epilog, verb
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened
from imgtool.errors import NotFoundError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "init",
    epilog=epilog(
        "imgtool catalog init --catalog fresh",
        "imgtool catalog init --json",
        "imgtool catalog init --quiet",
    ),
)
@verb
def command(
    as_json: AsJson = False,
    quiet: Quiet = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Make a catalog in a folder, or its tables in a PostgreSQL database. One that is there is left as it is."""
    new = False
    try:
        there = opened(config, catalog, act_as, access)
    except NotFoundError:
        there = opened(config, catalog, act_as, access, create=True)
        new = True
    with there:
        told = there.info()
    from imgtool.render import upkeep

    if as_json:
        sys.stdout.write(upkeep.json_line(told.to_dict()))
    elif not quiet:
        sys.stdout.write(upkeep.made(told, new=new))
