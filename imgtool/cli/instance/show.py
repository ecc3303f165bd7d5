"""imgtool instance show: one instance."""

from __future__ import annotations

import sys

import typer

from imgtool.cli.frame import AsJson, epilog, verb
from imgtool.cli.guests import Instance
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("show", epilog=epilog("imgtool instance show vm1", "imgtool instance show vm1 --json | jq -r .image_id"))
@verb
def command(
    instance: Instance,
    as_json: AsJson = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Show an instance: memory and swap in MiB, disks in GiB, `size` of the root disk in bytes."""
    from imgtool.render.instances import json_line, record_table

    with opened(config, catalog, act_as, access) as there:
        record = there.instances.show(instance)
    sys.stdout.write(json_line(record) if as_json else record_table(record))
