"""imgtool instance create: a machine's disks over an image."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, Quiet, epilog, verb
from imgtool.cli.guests import Accel, Display, Network
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened
from imgtool.errors import UsageError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


EXAMPLES = (
    "imgtool instance create web1 --image web --flavor m1.tiny",
    "imgtool instance create web2 --image web --flavor m1.small --json",
    "imgtool instance create web3 --image web --flavor m1.tiny --quiet --boot",
    "imgtool instance create web4 --image web --flavor m1.tiny --boot --network --display --accel tcg",
)


@app.command("create", epilog=epilog(*EXAMPLES))
@verb
def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called; need not be unique.")],
    image: Annotated[str, typer.Option("--image", metavar="IMAGE", help="What it stands on: an id, or a name.")],
    flavor: Annotated[str, typer.Option("--flavor", metavar="NAME", help="What it gets; see `imgtool flavor list`.")],
    boot: Annotated[bool, typer.Option("--boot", help="Start it; the console is this terminal.")] = False,
    network: Network = False,
    display: Display = False,
    accel: Accel = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Make an instance: a root disk over an image, which is never written to, and what else its flavor gives.

    With --boot it is started as by `imgtool instance boot`.
    """
    if boot and as_json:
        raise UsageError("with --boot stdout is the guest's: leave --json out, or start it afterwards")
    if not boot and (network or display or accel != "auto"):
        raise UsageError("--network, --display and --accel are for --boot")
    from imgtool.render.instances import json_line, record_table

    with opened(config, catalog, act_as, access) as there:
        record = there.instances.create(name, image, flavor)
        if as_json:
            sys.stdout.write(json_line(record))
        elif not quiet:
            sys.stdout.write(record_table(record))
        if boot:
            sys.stdout.flush()
            there.instances.boot(record.id, network=network, display=display, accel=accel)
