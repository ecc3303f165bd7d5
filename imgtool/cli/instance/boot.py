"""imgtool instance boot: an instance is started in QEMU."""

from __future__ import annotations

import typer

from imgtool.cli.frame import epilog, verb
from imgtool.cli.guests import Accel, Display, Instance, Network
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "boot",
    epilog=epilog(
        "imgtool instance boot vm1",
        "imgtool instance boot vm1 --network",
        "imgtool instance boot vm1 --display --accel tcg",
    ),
)
@verb
def command(
    instance: Instance,
    network: Network = False,
    display: Display = False,
    accel: Accel = "auto",
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Start an instance in QEMU, and wait until it is off. Its serial console is this terminal.

    Ctrl-A X switches it off, Ctrl-A C is QEMU's monitor. It has no network and no display without being asked. What
    the image says of its machine (properties hw_architecture, hw_disk_bus, hw_firmware_type) is heeded. While it runs
    nobody else starts, flattens or deletes it.
    """
    with opened(config, catalog, act_as, access) as there:
        there.instances.boot(instance, network=network, display=display, accel=accel)
