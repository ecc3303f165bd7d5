"""imgtool instance snapshot: what an instance has become is a new image."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, Quiet, ShowProgress, epilog, verb
from imgtool.cli.guests import Instance
from imgtool.cli.progress import Meter
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "snapshot",
    epilog=epilog(
        "imgtool instance snapshot vm1 golden",
        "imgtool instance snapshot vm1 golden-2 --json --progress none",
        "imgtool instance snapshot vm1 golden-3 --quiet",
    ),
)
@verb
def command(
    instance: Instance,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the new image is called.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: ShowProgress = "auto",
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Register an instance's root disk, with the image below it, as a new image that stands by itself.

    It is private to the instance's project, and is validated as every image; image_type, base_image_ref and
    instance_uuid among its properties say where it comes from. The image below is as it was.
    """
    from imgtool.render.images import json_line, record_table

    with opened(config, catalog, act_as, access) as there, Meter(name, None, progress, quiet) as meter:
        record = there.instances.snapshot(instance, name, progress=meter)
    if as_json:
        sys.stdout.write(json_line(record))
    elif not quiet:
        sys.stdout.write(record_table(record))
