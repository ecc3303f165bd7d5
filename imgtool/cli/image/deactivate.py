"""imgtool image deactivate: none but administrators may have its data."""

from __future__ import annotations

import typer

from imgtool.cli.frame import AsJson, Quiet, epilog, verb
from imgtool.cli.records import Images, Reason, move_each
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool image deactivate web --reason 'a backdoor was reported'",
    "imgtool image deactivate public --json",
    "imgtool image deactivate shared --quiet",
)


@app.command("deactivate", epilog=epilog(*EXAMPLES))
@verb
def command(
    images: Images,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Keep the data of images from all but administrators: no save, no conversion, no instance for others."""
    with opened(config, catalog, act_as, access) as there:
        move_each(images, there.deactivate, reason or "deactivated", as_json=as_json, quiet=quiet)
