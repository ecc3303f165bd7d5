"""imgtool flavor create: what instances can get."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, Quiet, epilog, verb
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "create",
    epilog=epilog(
        "imgtool flavor create build --vcpus 4 --ram 4096 --disk 20",
        "imgtool flavor create scratch --ephemeral 100 --swap 512 --private",
        "imgtool flavor create small --json",
        "imgtool flavor create tiny --public --quiet",
    ),
)
@verb
def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that no flavor has.")],
    vcpus: Annotated[int, typer.Option("--vcpus", metavar="N", help="Virtual CPUs.")] = 1,
    ram: Annotated[int, typer.Option("--ram", metavar="MIB", help="Memory.")] = 256,
    disk: Annotated[int, typer.Option("--disk", metavar="GIB", help="Root disk; 0 is the image's own size.")] = 0,
    ephemeral: Annotated[int, typer.Option("--ephemeral", metavar="GIB", help="A second disk, empty.")] = 0,
    swap: Annotated[int, typer.Option("--swap", metavar="MIB", help="A disk to swap to.")] = 0,
    public: Annotated[bool, typer.Option("--public/--private", help="For everybody, or for administrators.")] = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Add a flavor: processors, memory and disks that instances can get."""
    from imgtool.model.instance import Flavor
    from imgtool.render.instances import json_line, record_table

    wanted = Flavor(name=name, vcpus=vcpus, ram=ram, disk=disk, ephemeral=ephemeral, swap=swap, public=public)
    with opened(config, catalog, act_as, access) as there:
        made = there.flavors.create(wanted)
    if as_json:
        sys.stdout.write(json_line(made))
    elif not quiet:
        sys.stdout.write(record_table(made))
