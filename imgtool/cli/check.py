"""imgtool check: every table of an image, deep."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.disk import Follow, FollowIn
from imgtool.cli.frame import AsJson, Device, Quiet, colour_wanted, epilog, leave, verb
from imgtool.errors import EXIT_DONE, EXIT_NO, UsageError
from imgtool.findings.core import SEVERITIES
from imgtool.inspection.deep import check
from imgtool.render import checks

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool check disk.img",
    "imgtool check --json disk.img",
    "imgtool check --fail-on error --device disk.img",
    "imgtool check --quiet disk.img",
    "imgtool check --follow disk.img",
    "imgtool check --follow-in images disk.img",
)


@app.command("check", epilog=epilog(*EXAMPLES))
@verb
def command(
    path: Annotated[str, typer.Argument(metavar="PATH", help="An image.")],
    as_json: AsJson = False,
    fail_on: Annotated[
        str, typer.Option("--fail-on", metavar="error|warning", help="Exit 1 for findings this bad or worse.")
    ] = "error",
    follow: Follow = False,
    follow_in: FollowIn = None,
    device: Device = False,
    quiet: Quiet = False,
) -> None:
    """Check every table of an image: entries, reference counts, leaks, overlaps, fragmentation; of a container every
    digest that it states of its members, and their own tables. Never repairs."""
    if fail_on not in ("error", "warning"):
        raise UsageError(f"--fail-on is error or warning, not {fail_on!r}")
    result = check(path, follow=follow_in if follow_in is not None else follow, device=device)
    if as_json:
        sys.stdout.write(checks.json_line(result))
    elif not quiet:
        sys.stdout.write(checks.text(result, colour=colour_wanted()))
    bad = SEVERITIES[: 1 if fail_on == "error" else 2]
    leave(EXIT_NO if any(finding.severity in bad for finding in result.findings) else EXIT_DONE)
