"""imgtool instance delete: an instance and its disks go at once."""

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
        "imgtool instance delete vm1",
        "imgtool instance delete vm2 --json",
        "imgtool instance delete vm3 --quiet",
    ),
)
@verb
def command(
    instances: Annotated[
        list[str], typer.Argument(metavar="INSTANCE...", help="Instances: ids, or names that only one has.")
    ],
    as_json: AsJson = False,
    quiet: Quiet = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Delete instances with their disks, at once: there is no way back. The images below them stay."""
    from imgtool.render.instances import json_line, removed_line

    with opened(config, catalog, act_as, access) as there:

        def delete(called: str) -> bool:
            gone = there.instances.delete(called)
            if as_json or not quiet:
                sys.stdout.write(json_line(gone) if as_json else removed_line(gone))
            return True

        each(instances, delete, as_json=as_json)
