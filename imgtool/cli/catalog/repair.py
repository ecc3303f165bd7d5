"""imgtool catalog repair: what killed processes left is put right."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, Quiet, colour_wanted, epilog, leave, say_error, verb
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened
from imgtool.errors import EXIT_DONE, EXIT_NO, EXIT_OUTPUT, OutputError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "repair",
    epilog=epilog(
        "imgtool catalog repair", "imgtool catalog repair --dry-run --json", "imgtool catalog repair --quiet"
    ),
)
@verb
def command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """End uploads whose process is gone, and remove data that nobody owns; never what a record owns, or a living
    upload brings. Data that is missing cannot be brought back: it is told, and the status is 1."""
    with opened(config, catalog, act_as, access) as there:
        done = there.repair(dry_run=dry_run)
    from imgtool.render import upkeep

    if as_json:
        sys.stdout.write(upkeep.json_line(done.to_dict()))
    elif not quiet or done.missing:
        sys.stdout.write(upkeep.repaired(done, dry_run=dry_run, colour=colour_wanted()))
    for message in done.failed:
        say_error(OutputError(message), as_json=as_json)
    leave(EXIT_OUTPUT if done.failed else EXIT_NO if done.missing else EXIT_DONE)
