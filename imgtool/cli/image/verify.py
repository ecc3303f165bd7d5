"""imgtool image verify: the data of images is read anew."""

from __future__ import annotations

import sys

import typer

from imgtool.cli.frame import AsJson, Quiet, ShowProgress, colour_wanted, epilog, verb
from imgtool.cli.progress import Meter
from imgtool.cli.records import Images, each
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool image verify web quarantined",
    "imgtool image verify web --quiet --progress none",
    "imgtool image verify web --json | jq .findings",
)


@app.command("verify", epilog=epilog(*EXAMPLES))
@verb
def command(
    images: Images,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: ShowProgress = "auto",
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Read the data of images anew, and compare it with what the records say; nothing is changed.

    What differs is a finding (`imgtool rule CAT`), and the status is 1.
    """
    from imgtool.render import upkeep

    with opened(config, catalog, act_as, access) as there:

        def one(image: str) -> bool:
            with Meter(image, there.show(image).size, progress, quiet) as meter:
                found = there.verify(image, progress=meter)
            if as_json:
                sys.stdout.write(upkeep.json_line(found.to_dict()))
            elif not (quiet and found):
                sys.stdout.write(upkeep.verification(found, colour=colour_wanted()))
            sys.stdout.flush()
            return bool(found)

        each(images, one, as_json=as_json or progress == "json")
