"""imgtool image history: when an image's status changed, by whom, and why."""

from __future__ import annotations

import sys

import typer

from imgtool.cli.frame import AsJson, epilog, verb
from imgtool.cli.records import Image
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "history", epilog=epilog("imgtool image history quarantined", "imgtool image history --json retired | jq .after")
)
@verb
def command(
    image: Image,
    as_json: AsJson = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Show every change of an image's status, oldest first; deleted images have theirs too."""
    from imgtool.render.images import change_line, history_table

    with opened(config, catalog, act_as, access) as there:
        changes = there.history(image)
    if as_json:
        sys.stdout.writelines(map(change_line, changes))
    else:
        sys.stdout.write(history_table(changes))
