"""imgtool image reactivate: a deactivation is taken back."""

from __future__ import annotations

import typer

from imgtool.cli.frame import AsJson, Quiet, epilog, verb
from imgtool.cli.records import Images, Reason, move_each
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool image reactivate quarantined --reason 'looked at, sound'",
    "imgtool image deactivate web --quiet && imgtool image reactivate web --json",
    "imgtool image deactivate web --quiet && imgtool image reactivate web --quiet",
)


@app.command("reactivate", epilog=epilog(*EXAMPLES))
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
    """Take deactivations back: who saw the images has their data again."""
    with opened(config, catalog, act_as, access) as there:
        move_each(images, there.reactivate, reason or "reactivated", as_json=as_json, quiet=quiet)
