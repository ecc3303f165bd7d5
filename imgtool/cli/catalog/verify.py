"""imgtool catalog verify: all data is read anew."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, Quiet, ShowProgress, colour_wanted, epilog, leave, verb
from imgtool.cli.progress import Meter
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened
from imgtool.errors import EXIT_DONE, EXIT_NO, UsageError
from imgtool.render.escape import terminal

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "verify",
    epilog=epilog(
        "imgtool catalog verify --all",
        "imgtool catalog verify --all --quiet --progress none",
        "imgtool catalog verify --all --json | jq .findings",
    ),
)
@verb
def command(
    every: Annotated[bool, typer.Option("--all", help="Every image: one is `imgtool image verify`.")] = False,
    quiet: Quiet = False,
    progress: ShowProgress = "auto",
    as_json: AsJson = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Read the data of every image anew, and say where it is not what the record says (CAT findings: `imgtool rule
    CAT`). Nothing is changed. The status is 1 where there is any finding."""
    if not every:
        raise UsageError("say --all to read the data of every image; one is `imgtool image verify IMAGE`")
    from imgtool.render import upkeep

    sound, colour = True, colour_wanted()
    with opened(config, catalog, act_as, access) as there:
        for found in there.verify_all(
            meters=lambda record: Meter(terminal(record.name), record.size, progress, quiet or as_json)
        ):
            sound = sound and bool(found)
            if as_json:
                sys.stdout.write(upkeep.json_line(found.to_dict()))
            elif not (quiet and found):
                sys.stdout.write(upkeep.verification(found, colour=colour))
            sys.stdout.flush()
    leave(EXIT_DONE if sound else EXIT_NO)
