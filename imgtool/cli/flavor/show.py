"""imgtool flavor show: one flavor."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, epilog, verb
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("show", epilog=epilog("imgtool flavor show m1.small", "imgtool flavor show m1.small --json"))
@verb
def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The flavor.")],
    as_json: AsJson = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Show a flavor: memory and swap in MiB, disks in GiB."""
    from imgtool.render.instances import json_line, record_table

    with opened(config, catalog, act_as, access) as there:
        found = there.flavors.show(name)
    sys.stdout.write(json_line(found) if as_json else record_table(found))
