"""imgtool image create: register an image, in one pass over its bytes."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, ShowProgress, epilog, verb
from imgtool.cli.records import (
    ContainerFormat,
    DiskFormat,
    MinDisk,
    MinRam,
    Owner,
    Properties,
    Protected,
    Tags,
    Visibility,
    parsed_properties,
)
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened
from imgtool.cli.uploading import Checksum, Expect, Import, OnlyId, PolicyName, Wanted, bring, show_new
from imgtool.errors import UsageError

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool image create web-12 --file disk.img",
    "imgtool image create web-12 --file disk.img --disk-format qcow2 --container-format bare --visibility public",
    "imgtool image create web-12 --file disk.img --tag linux --property os_distro=debian --min-disk 1 --min-ram 512",
    "imgtool image create web-12 --file disk.img --protected --owner ops --policy strict --json",
    "imgtool image create web-12 --file disk.img --expect md5:463d9a94ab58a1f59050bfba0835a320 --checksum sha256",
    "imgtool image create disc --id 6f9d2f4e-7b1c-4c1e-9d55-0c5a3c7f1e2a --unprotected --quiet",
    "cat disk.img | imgtool image create piped --file - --progress none",
    "imgtool image create web-13 --file other.img --import move",
)


@app.command("create", epilog=epilog(*EXAMPLES))
@verb
def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name; several images may have the same.")],
    file: Annotated[
        str | None,
        typer.Option("--file", metavar="FILE|-", help="Its data, - is standard input; else it comes by `upload`."),
    ] = None,
    disk_format: DiskFormat = None,
    container_format: ContainerFormat = None,
    visibility: Visibility = None,
    protected: Protected = None,
    tag: Tags = None,
    properties: Properties = None,
    min_disk: MinDisk = None,
    min_ram: MinRam = None,
    identifier: Annotated[str | None, typer.Option("--id", metavar="UUID", help="Its id; else a fresh one.")] = None,
    owner: Owner = None,
    policy: PolicyName = None,
    expect: Expect = None,
    checksum: Checksum = None,
    how: Import = None,
    as_json: AsJson = False,
    quiet: OnlyId = False,
    progress: ShowProgress = "auto",
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Register an image: its bytes go into the store and are validated in one pass.

    Formats that are not stated are detected; stated ones must hold. What the policy does not let through is killed:
    its data is gone, its record says why, and the command ends with 1.
    """
    from imgtool.catalog.images import New

    if file is None and (policy, how, expect, checksum) != (None, None, None, None):
        raise UsageError("--policy, --import, --expect and --checksum are of the data: name it by --file")
    with opened(config, catalog, act_as, access) as there:
        new = New(
            name=name,
            owner=there.who.project if owner is None else owner,
            id=identifier,
            visibility=there.config.visibility if visibility is None else visibility,
            protected=bool(protected),
            disk_format=disk_format,
            container_format=container_format,
            min_disk=min_disk or 0,
            min_ram=min_ram or 0,
            tags=tag or (),
            properties=parsed_properties(properties),
        )
        if file is None:
            record = there.create(new)
        else:
            wanted = Wanted(file, how, policy, expect, checksum, progress, quiet, as_json)
            record = bring(there, wanted, partial(there.create, new))
    show_new(record, as_json=as_json, quiet=quiet)
