"""imgtool validate: yes or no to an image, and why."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Annotated, TypeVar

import typer

from imgtool.cli.batch import file_size, in_order
from imgtool.cli.claims import (
    ContainerFormat,
    DiskFormat,
    Expect,
    FailOn,
    Ignore,
    MaxVirtualSize,
    MinDisk,
    MinRam,
    PolicyName,
    Select,
)
from imgtool.cli.disk import Follow, FollowIn
from imgtool.cli.frame import (
    AsJson,
    Device,
    Files0From,
    Jobs,
    Quiet,
    Recursive,
    ShowProgress,
    colour_wanted,
    epilog,
    leave,
    say_error,
    verb,
)
from imgtool.cli.inputs import inputs, readable
from imgtool.cli.progress import Meter
from imgtool.errors import EXIT_DONE, EXIT_NO, ImgtoolError, UsageError, worst
from imgtool.inspection.validate import policy_named, selectors, validate
from imgtool.model.verdict import Verdict
from imgtool.policy import names
from imgtool.policy.policy import THRESHOLDS
from imgtool.render import verdicts
from imgtool.units import parse_size

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool validate disk.img",
    "imgtool validate --disk-format qcow2 --container-format bare disk.img",
    "imgtool validate --policy strict --min-disk 10G --min-ram 512M --max-virtual-size 2T disk.img",
    "imgtool validate --policy site.toml --fail-on warning --follow --follow-in images disk.img",
    "imgtool validate --expect md5:463d9a94ab58a1f59050bfba0835a320 --progress none disk.img",
    "imgtool validate --select QCW,IMG1 --ignore not-whole-sectors disk.img",
    "imgtool validate --deep --device --json disk.img",
    "imgtool validate --output-format sarif --recursive --jobs 2 images/",
    "imgtool validate --quiet disk.img other.img",
    "imgtool validate --output-format github snapshots.img",
    "find images -type f -print0 | imgtool validate --files0-from -",
    "cat disk.img | imgtool validate -",
)

OUTPUTS = ("text", "json", "sarif", "junit", "github")


@app.command("validate", epilog=epilog(*EXAMPLES))
@verb
def command(
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH...", help="Images; - is standard input.")] = None,
    disk_format: DiskFormat = None,
    container_format: ContainerFormat = None,
    policy: PolicyName = "default",
    min_disk: MinDisk = None,
    min_ram: MinRam = None,
    max_virtual_size: MaxVirtualSize = None,
    expect: Expect = None,
    select: Select = None,
    ignore: Ignore = None,
    fail_on: FailOn = None,
    deep: Annotated[bool, typer.Option("--deep", help="Check every table too, as `imgtool check`.")] = False,
    output_format: Annotated[
        str, typer.Option("--output-format", metavar="|".join(OUTPUTS), help="How verdicts are written.")
    ] = "text",
    as_json: AsJson = False,
    follow: Follow = False,
    follow_in: FollowIn = None,
    recursive: Recursive = False,
    files0_from: Files0From = None,
    jobs: Jobs = 1,
    device: Device = False,
    quiet: Quiet = False,
    progress: ShowProgress = "auto",
) -> None:
    """Say yes or no to an image, and why: what it claims to be, what it is, what is wrong with it."""
    form = _output(output_format, as_json)
    ask = partial(
        validate,
        disk_format=_checked(names.disk_format, disk_format),
        container_format=_checked(names.container_format, container_format),
        policy=policy_named(policy),
        expect=tuple(expect or ()),
        min_disk=_checked(parse_size, min_disk),
        min_ram=_checked(parse_size, min_ram),
        max_virtual_size=_checked(parse_size, max_virtual_size),
        select=selectors(select or ()),
        ignore=selectors(ignore or ()),
        fail_on=_checked(_threshold, fail_on),
        deep=deep,
        follow=follow_in if follow_in is not None else follow,
        device=device,
    )
    show = _Show(form, quiet)
    statuses = {EXIT_DONE}
    one = partial(_judged, ask=ask, progress=progress, quiet=quiet)
    for path, result in in_order(inputs(paths or [], recursive, files0_from), one, jobs):
        if isinstance(result, ImgtoolError):
            say_error(result, as_json="json" in (form, progress), path=path)
            show.failure(path, result)
            statuses.add(result.exit_status)
        else:
            show.one(result)
            statuses.add(EXIT_DONE if result.accepted else EXIT_NO)
    show.end()
    leave(worst(list(statuses)))


def _output(output_format: str, as_json: bool) -> str:
    if output_format not in OUTPUTS:
        raise UsageError(f"--output-format is one of {', '.join(OUTPUTS)}, not {output_format!r}")
    if as_json and output_format not in ("text", "json"):
        raise UsageError(f"--json and --output-format {output_format} exclude each other")
    return "json" if as_json else output_format


T = TypeVar("T")


def _checked(check: Callable[[str], T], given: str | None) -> T | None:
    return None if given is None else check(given)


def _threshold(given: str) -> str:
    if given not in THRESHOLDS:
        raise UsageError(f"--fail-on is error or warning, not {given!r}")
    return given


def _judged(path: str, *, ask: Callable[..., Verdict], progress: str, quiet: bool) -> Verdict | ImgtoolError:
    try:
        with Meter(path, file_size(path), progress, quiet) as meter:
            return ask(readable(path), progress=meter)
    except UsageError:
        raise
    except ImgtoolError as error:
        return error


class _Show:
    """Writes verdicts as they come; those formats that are one document, at the end."""

    def __init__(self, form: str, quiet: bool) -> None:
        self._form = form
        self._quiet = quiet
        self._colour = colour_wanted()
        self._all: list[Verdict] = []
        self._failures: list[tuple[str, str]] = []

    def one(self, verdict: Verdict) -> None:
        """A verdict is there. Quiet text leaves accepted inputs out."""
        if self._form in ("sarif", "junit"):
            self._all.append(verdict)
        elif self._form == "json":
            sys.stdout.write(verdicts.json_line(verdict))
        elif self._form == "github":
            from imgtool.render import github

            sys.stdout.write(github.lines(verdict))
        elif not (self._quiet and verdict.accepted):
            sys.stdout.write(verdicts.text(verdict, colour=self._colour))
        sys.stdout.flush()

    def failure(self, path: str, error: ImgtoolError) -> None:
        """An input could not be judged. Text and JSON leave it to stderr."""
        if self._form in ("sarif", "junit"):
            self._failures.append((path, str(error)))
        elif self._form == "github":
            from imgtool.render import github

            sys.stdout.write(github.failure(path, str(error)))
            sys.stdout.flush()

    def end(self) -> None:
        """All verdicts are there."""
        if self._form == "sarif":
            from imgtool.render import sarif

            sys.stdout.write(sarif.document(self._all, self._failures))
        elif self._form == "junit":
            from imgtool.render import junit

            sys.stdout.write(junit.document(self._all, self._failures))
