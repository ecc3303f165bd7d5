"""imgtool image save: an image's data into a file or a pipe, verified; or converted on the way."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgtool.cli.disk import Member
from imgtool.cli.frame import AsJson, Quiet, ShowProgress, epilog, verb
from imgtool.cli.progress import Board
from imgtool.cli.records import Image
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened
from imgtool.cli.targets import Compress, IfUnsafe, Level, Options, To, parsed_options
from imgtool.errors import OutputError, UsageError

if TYPE_CHECKING:
    from imgtool.catalog.service import Catalog
    from imgtool.model.conversion import Conversion
    from imgtool.model.image import ImageRecord

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool image save web --output web.qcow2",
    "imgtool image save web --output other.img --force --resume --progress none --quiet",
    "imgtool image save web -o - | sha512sum",
    "imgtool image save web --to vmdk --option subformat=streamOptimized --output web.vmdk --json",
    "imgtool image save web --to qcow2 --compress zstd --level 3 --policy strict --if-unsafe reject -o small.qcow2",
    "imgtool image save appliance --member disk1.vmdk --to raw -o disk.raw",
)


@app.command("save", epilog=epilog(*EXAMPLES))
@verb
def command(
    image: Image,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE|-", help="Where to: a file, or - for standard output.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that exists, when the new one is whole.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Keep what a run that is cut off wrote, hidden beside FILE, and go on with it."
        ),
    ] = False,
    to: To = "",
    option: Options = None,
    compress: Compress = None,
    level: Level = None,
    member: Member = None,
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="NAME|FILE", help="What is converted must satisfy it, not the catalog's."),
    ] = None,
    if_unsafe: IfUnsafe = "reject",
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: ShowProgress = "auto",
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Write an image's data to a file, or a pipe, through the digest that was recorded.

    A file appears only where it is right; what a pipe was given was right where the command ends with 0.
    """
    how: dict[str, Any] = {"compress": compress, "level": level, "member": member, "policy": policy}
    said = {**how, "option": option, "if-unsafe": None if if_unsafe == "reject" else if_unsafe}
    given = [f"--{name}" for name, value in said.items() if value is not None]
    _check(output, resume, to, given, as_json)
    how |= {"options": parsed_options(option, to) if to else {}, "if_unsafe": if_unsafe}
    with opened(config, catalog, act_as, access) as there, Board(1, progress, quiet) as board:
        told: dict[str, Any] = {
            "watch": lambda total: board.begin(command, image, total),
            "progress": lambda count: board.count(command, count),
        }
        if output == "-":
            _to_stdout(there, image, **told)
        elif to:
            conversion = there.save_as(image, output, to, force=force, **how, **told)
            _print_conversion(conversion, as_json=as_json, quiet=quiet)
        else:
            record = there.save(image, output, force=force, resume=resume, **told)
            _print_record(record, output, as_json=as_json, quiet=quiet)


def _check(output: str, resume: bool, to: str, converting: list[str], as_json: bool) -> None:
    """Raises UsageError for what does not go together."""
    if not output:
        raise UsageError("the name of the file is empty; name it by --output, or give - for standard output")
    if converting and not to:
        raise UsageError(f"{converting[0]} is for converting: say into what, --to FORMAT")
    if resume and to:
        raise UsageError("a conversion cannot go on where it stopped: leave --resume out, or convert what was saved")
    if output != "-":
        return
    if to:
        raise UsageError("a target is written at any place and read back, which a pipe cannot; name a file")
    if resume:
        raise UsageError("a pipe has nothing to go on with; --resume is for a file")
    if as_json:
        raise UsageError("standard output is the image's data; --json needs a file beside it")
    if sys.stdout.isatty():
        raise UsageError("an image is no text for a terminal; name a file, or redirect standard output")


def _to_stdout(there: Catalog, image: str, **how: Any) -> None:
    """The data, and nothing else. Raises OutputError."""
    stream = sys.stdout.buffer
    try:
        there.save_to(image, stream, **how)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output: {error.strerror or error}") from error


def _print_conversion(conversion: Conversion, *, as_json: bool, quiet: bool) -> None:
    from imgtool.render.conversions import json_line, text

    told = conversion.to_dict()
    if as_json or not quiet:
        sys.stdout.write(json_line(told) if as_json else text(told))


def _print_record(record: ImageRecord, output: str, *, as_json: bool, quiet: bool) -> None:
    from imgtool.render.images import json_line, saved_line

    if as_json or not quiet:
        sys.stdout.write(json_line(record) if as_json else saved_line(record, output))
