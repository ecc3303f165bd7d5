"""imgtool image set: change what an image's record says."""

from __future__ import annotations

from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, Quiet, epilog, verb
from imgtool.cli.records import (
    ContainerFormat,
    DiskFormat,
    Image,
    MinDisk,
    MinRam,
    Owner,
    Properties,
    Protected,
    Tags,
    Visibility,
    parsed_properties,
    show_record,
)
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened
from imgtool.errors import UsageError

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool image set web --visibility public --protected --json",
    "imgtool image set web --owner lab --unprotected --quiet",
    "imgtool image set web --name web-12 --tag linux --property os_version=12 --min-disk 10 --min-ram 512",
    "imgtool image set reserved --disk-format vmdk --container-format ova",
)


@app.command("set", epilog=epilog(*EXAMPLES))
@verb
def command(
    image: Image,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Another name.")] = None,
    visibility: Visibility = None,
    protected: Protected = None,
    owner: Owner = None,
    tag: Tags = None,
    properties: Properties = None,
    disk_format: DiskFormat = None,
    container_format: ContainerFormat = None,
    min_disk: MinDisk = None,
    min_ram: MinRam = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Change fields of an image, add tags, set properties: all or none. Formats are fixed once it has data."""
    from imgtool.catalog.images import NO_CHANGES, Changes

    changes = Changes(name, owner, visibility, protected, disk_format, container_format, min_disk, min_ram)
    own = parsed_properties(properties)
    if changes == NO_CHANGES and not tag and not own:
        raise UsageError("nothing to set: name a field, a tag or a property")
    with opened(config, catalog, act_as, access) as there:
        record = there.change(image, changes, tags=tag or (), properties=own)
    show_record(record, as_json=as_json, quiet=quiet)
