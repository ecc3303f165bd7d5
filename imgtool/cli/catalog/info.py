"""imgtool catalog info: a catalog in numbers."""

from __future__ import annotations

import sys

import typer

from imgtool.cli.frame import AsJson, epilog, verb
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("info", epilog=epilog("imgtool catalog info", "imgtool catalog info --json | jq .images"))
@verb
def command(
    as_json: AsJson = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Say what a catalog has, by status and by owner; the next deletion, leases, and what is to be repaired."""
    with opened(config, catalog, act_as, access) as there:
        told = there.info()
    from imgtool.render import upkeep

    sys.stdout.write(upkeep.json_line(told.to_dict()) if as_json else upkeep.info(told))
