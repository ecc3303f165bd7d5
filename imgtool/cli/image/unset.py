"""imgtool image unset: take tags and properties off an image."""

from __future__ import annotations

from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, Quiet, epilog, verb
from imgtool.cli.records import Image, Tags, show_record
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened
from imgtool.errors import UsageError

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool image unset web --tag linux --property os_distro",
    "imgtool image unset web --tag stable --json",
    "imgtool image unset shared --property os_distro --quiet",
)


@app.command("unset", epilog=epilog(*EXAMPLES))
@verb
def command(
    image: Image,
    tag: Tags = None,
    properties: Annotated[
        list[str] | None, typer.Option("--property", metavar="NAME", help="A property; repeatable.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Take tags off an image, and remove properties: all of them, or none."""
    if not tag and not properties:
        raise UsageError("nothing to unset: name a tag or a property")
    with opened(config, catalog, act_as, access) as there:
        record = there.unset(image, tags=tag or (), properties=properties or ())
    show_record(record, as_json=as_json, quiet=quiet)
