"""imgtool image delete: its data goes when the grace period is over."""

from __future__ import annotations

import typer

from imgtool.cli.frame import AsJson, Quiet, epilog, verb
from imgtool.cli.records import Images, Reason, move_each
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool image delete web shared --reason 'no longer built'",
    "imgtool image delete public --json",
    "imgtool image delete reserved --quiet",
)


@app.command("delete", epilog=epilog(*EXAMPLES))
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
    """Delete images. Their data is kept for the grace period: until then `image restore` brings them back."""
    with opened(config, catalog, act_as, access) as there:
        move_each(images, there.delete, reason or "deleted", as_json=as_json, quiet=quiet)
