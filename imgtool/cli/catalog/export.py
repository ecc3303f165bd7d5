"""imgtool catalog export: records and data go into a folder."""

from __future__ import annotations

from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, Quiet, ShowProgress, epilog, verb
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened
from imgtool.cli.transfers import Telling, end

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "export",
    epilog=epilog(
        "imgtool catalog export copy",
        "imgtool catalog export some web public --quiet --progress none",
        "imgtool catalog export all --json | jq .what",
    ),
)
@verb
def command(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The folder to make.")],
    images: Annotated[
        list[str] | None, typer.Argument(metavar="[IMAGE...]", help="Images by id or name; all where none is named.")
    ] = None,
    quiet: Quiet = False,
    progress: ShowProgress = "auto",
    as_json: AsJson = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Write images with their records, members, histories and verdicts into a new folder, their data verified on the
    way. The folder appears when it is whole. What cannot be exported is left out, and told of; what waits for its
    deletion is no failure, unless it is named."""
    telling = Telling(as_json=as_json, quiet=quiet, progress=progress)
    with opened(config, catalog, act_as, access) as there:
        done = there.export(target, *(images or ()), tell=telling.tell, meters=telling.meter)
    end(done)
