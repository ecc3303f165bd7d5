"""imgtool image restore: a deletion is taken back."""

from __future__ import annotations

import typer

from imgtool.cli.frame import AsJson, Quiet, epilog, verb
from imgtool.cli.records import Images, Reason, move_each
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool image restore retired --reason 'still in use'",
    "imgtool image delete web --quiet && imgtool image restore web --json",
    "imgtool image delete web --quiet && imgtool image restore web --quiet",
)


@app.command("restore", epilog=epilog(*EXAMPLES))
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
    """Take deletions back, while the grace period lasts: each image is again what it was before."""
    with opened(config, catalog, act_as, access) as there:
        move_each(images, there.restore, reason or "restored", as_json=as_json, quiet=quiet)
