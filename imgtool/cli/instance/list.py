"""imgtool instance list: what stands on images."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, epilog, verb
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "list",
    epilog=epilog(
        "imgtool instance list",
        "imgtool instance list --long --image quarantined",
        "imgtool instance list --name vm1 --json",
    ),
)
@verb
def command(
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Those that are called so.")] = None,
    image: Annotated[str | None, typer.Option("--image", metavar="IMAGE", help="Those that stand on it.")] = None,
    long: Annotated[bool, typer.Option("--long", help="Owners and sizes, too.")] = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """List the instances of your project, the newest first; an administrator sees all."""
    from imgtool.render.instances import instances_table, json_line

    with opened(config, catalog, act_as, access) as there:
        found = there.instances.list(name=name, image=image)
    sys.stdout.write("".join(map(json_line, found)) if as_json else instances_table(found, long=long))
