"""imgtool image show: everything that the catalog has of an image."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, colour_wanted, epilog, verb
from imgtool.cli.records import Image
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened
from imgtool.errors import NotFoundError

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool image show web",
    "imgtool image show --json web | jq .virtual_size",
    "imgtool image show --report web",
)


@app.command("show", epilog=epilog(*EXAMPLES))
@verb
def command(
    image: Image,
    report: Annotated[
        bool, typer.Option("--report", help="Show what validation said of its data, as `imgtool validate` does.")
    ] = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Show an image's record, or the report that was kept when its data came."""
    from imgtool.render.images import json_line, record_table

    with opened(config, catalog, act_as, access) as there:
        if report:
            sys.stdout.write(_report(there.report(image), image, as_json))
        else:
            record = there.show(image)
            sys.stdout.write(json_line(record) if as_json else record_table(record))


def _report(kept: str | None, image: str, as_json: bool) -> str:
    if kept is None:
        raise NotFoundError(f"image {image!r} has no report: no data came yet")
    from imgtool.render import verdicts

    verdict = verdicts.kept(kept)
    if as_json:
        import json

        return json.dumps(json.loads(kept)) + "\n"
    return verdicts.text(verdict, colour=colour_wanted())
