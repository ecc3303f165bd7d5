"""imgtool flavor delete: instances that have it keep what it gave them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, Quiet, epilog, verb
from imgtool.cli.records import each
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "delete",
    epilog=epilog(
        "imgtool flavor delete m1.large m1.xlarge",
        "imgtool flavor delete m1.medium --json",
        "imgtool flavor delete m1.small --quiet",
    ),
)
@verb
def command(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Flavors.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Delete flavors. Instances that were made with one keep what it gave them."""
    from imgtool.render.instances import json_line, removed_line

    with opened(config, catalog, act_as, access) as there:

        def delete(name: str) -> bool:
            gone = there.flavors.show(name)
            there.flavors.delete(name)
            if as_json or not quiet:
                sys.stdout.write(json_line(gone) if as_json else removed_line(gone))
            return True

        each(names, delete, as_json=as_json)
