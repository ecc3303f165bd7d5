"""imgtool flavor list: what instances can get."""

from __future__ import annotations

import sys

import typer

from imgtool.cli.frame import AsJson, epilog, verb
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("list", epilog=epilog("imgtool flavor list", "imgtool flavor list --json | jq .ram"))
@verb
def command(
    as_json: AsJson = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """List the flavors, the smallest memory first: memory and swap in MiB, disks in GiB."""
    from imgtool.render.instances import flavors_table, json_line

    with opened(config, catalog, act_as, access) as there:
        found = there.flavors.list()
    sys.stdout.write("".join(map(json_line, found)) if as_json else flavors_table(found))
