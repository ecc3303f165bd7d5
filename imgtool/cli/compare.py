"""imgtool compare: whether two images show a guest the same bytes, whatever their formats."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.disk import Follow, FollowIn, Format, opened
from imgtool.cli.frame import AsJson, Device, Quiet, ShowProgress, epilog, leave, verb
from imgtool.cli.progress import Meter
from imgtool.errors import EXIT_DONE, EXIT_NO
from imgtool.render import comparison

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool compare disk.img same.img",
    "imgtool compare --json disk.img same.img",
    "imgtool compare --format qcow2 --other-format raw --ignore-size disk.img same.img",
    "imgtool compare --follow --follow-in images --limit 10 --device disk.img same.img",
    "imgtool compare --quiet --progress none disk.img same.img",
)


@app.command("compare", epilog=epilog(*EXAMPLES))
@verb
def command(
    first: Annotated[str, typer.Argument(metavar="A", help="An image.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    as_json: AsJson = False,
    ignore_size: Annotated[
        bool, typer.Option("--ignore-size", help="Let sizes differ where the longer one ends in zeros.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Differing ranges to list.")] = 100,
    format: Format = None,
    other_format: Annotated[
        str | None, typer.Option("--other-format", "-F", metavar="NAME", help="What B is; detected when not given.")
    ] = None,
    follow: Follow = False,
    follow_in: FollowIn = None,
    device: Device = False,
    quiet: Quiet = False,
    progress: ShowProgress = "auto",
) -> None:
    """Compare what two images show a guest; exit 1 when it differs, with the ranges."""
    from imgtool.disks.compare import compare_disks

    with (
        opened(first, format=format, follow=follow, follow_in=follow_in, device=device) as one,
        opened(second, format=other_format, follow=follow, follow_in=follow_in, device=device) as two,
        Meter(f"{first} and {second}", max(one.size, two.size), progress, quiet) as meter,
    ):
        result = compare_disks(one, two, ignore_size=ignore_size, limit=limit, progress=meter)
    if as_json:
        sys.stdout.write(comparison.json_line(first, second, result))
    elif not quiet:
        sys.stdout.write(comparison.text(first, second, result))
    leave(EXIT_DONE if result.identical else EXIT_NO)
