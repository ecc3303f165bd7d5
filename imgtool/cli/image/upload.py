"""imgtool image upload: bring data into an image that was reserved, or whose upload failed."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, ShowProgress, epilog, verb
from imgtool.cli.records import Image
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened
from imgtool.cli.uploading import Checksum, Expect, Import, OnlyId, PolicyName, Wanted, bring, show_new

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool image upload reserved --file disk.img --policy strict --checksum sha256 --json",
    'cat disk.img | imgtool image upload "$(imgtool image create web-12 --quiet)" --file - --progress none --quiet',
    'imgtool image upload "$(imgtool image create b -q)" --file disk.img --import copy'
    " --expect md5:463d9a94ab58a1f59050bfba0835a320",
)


@app.command("upload", epilog=epilog(*EXAMPLES))
@verb
def command(
    image: Image,
    file: Annotated[str, typer.Option("--file", metavar="FILE|-", help="The data; - is standard input.")],
    policy: PolicyName = None,
    expect: Expect = None,
    checksum: Checksum = None,
    how: Import = None,
    as_json: AsJson = False,
    quiet: OnlyId = False,
    progress: ShowProgress = "auto",
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Bring data into a queued image, or into a killed one: a fresh upload into the same id."""
    with opened(config, catalog, act_as, access) as there:
        wanted = Wanted(file, how, policy, expect, checksum, progress, quiet, as_json)
        record = bring(there, wanted, partial(there.upload, image))
    show_new(record, as_json=as_json, quiet=quiet)
