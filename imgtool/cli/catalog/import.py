"""imgtool catalog import: what another catalog exported comes in."""

from __future__ import annotations

from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, Quiet, ShowProgress, epilog, verb
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened
from imgtool.cli.transfers import Telling, end

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "import",
    epilog=epilog(
        "imgtool catalog export copy",
        "imgtool catalog init --catalog second",
        "imgtool catalog import copy --catalog second --json | jq .what",
        "imgtool catalog import copy --skip-existing --quiet --progress none",
    ),
)
@verb
def command(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The folder of an export.")],
    skip_existing: Annotated[
        bool,
        typer.Option("--skip-existing", help="An image whose id is here is no failure, unless an import is at it."),
    ] = False,
    quiet: Quiet = False,
    progress: ShowProgress = "auto",
    as_json: AsJson = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Bring in images of an export, under their own ids. Nothing in it is trusted: each is validated under the policy
    of this catalog, and must have the digests that the export names. One that fails does not stop the rest; an import
    that was broken off goes on where it is called again, with what nobody changed meanwhile."""
    telling = Telling(as_json=as_json, quiet=quiet, progress=progress)
    with opened(config, catalog, act_as, access) as there:
        done = there.import_from(source, skip_existing=skip_existing, tell=telling.tell, meters=telling.meter)
    end(done)
