"""imgtool inspect: what an image really is, its virtual size, what is inside, what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated

import typer

from imgtool.cli.batch import file_size, in_order
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
from imgtool.findings.core import SEVERITIES
from imgtool.inspection.api import inspect
from imgtool.limits import DEFAULT
from imgtool.model.report import Report
from imgtool.render import text

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool inspect disk.img",
    "imgtool inspect --json disk.img",
    "imgtool inspect --checksum md5 --checksum sha512 disk.img",
    "imgtool inspect --no-checksum --jobs 2 disk.img other.img",
    "imgtool inspect --expect md5:463d9a94ab58a1f59050bfba0835a320 disk.img",
    "imgtool inspect --fields disk.img",
    "imgtool inspect --fail-on error disk.img",
    "imgtool inspect --recursive --depth 2 images/",
    "imgtool inspect --verbose --device --quiet --progress none disk.img",
    "find images -type f -print0 | imgtool inspect --files0-from -",
    "cat disk.img | imgtool inspect -",
)


@app.command("inspect", epilog=epilog(*EXAMPLES))
@verb
def command(
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH...", help="Images; - is standard input.")] = None,
    as_json: AsJson = False,
    checksum: Annotated[
        list[str] | None,
        typer.Option("--checksum", "-c", metavar="ALG", help="Digest to compute, repeatable; else sha256."),
    ] = None,
    no_checksum: Annotated[bool, typer.Option("--no-checksum", help="Read headers only.")] = False,
    expect: Annotated[
        list[str] | None,
        typer.Option("--expect", metavar="ALG:HEX", help="Digest the input must have; exit 1 where it has another."),
    ] = None,
    fields: Annotated[
        bool, typer.Option("--fields", help="Show every field of every header with offset, hex, value, meaning.")
    ] = False,
    depth: Annotated[
        int,
        typer.Option("--depth", min=0, max=16, metavar="N", help="Levels looked into; 0: the file's own headers."),
    ] = DEFAULT.depth,
    fail_on: Annotated[
        str | None,
        typer.Option("--fail-on", metavar="error|warning", help="Exit 1 for findings of this severity or worse."),
    ] = None,
    recursive: Recursive = False,
    files0_from: Files0From = None,
    jobs: Jobs = 1,
    device: Device = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every fact of the format.")] = False,
    quiet: Quiet = False,
    progress: ShowProgress = "auto",
) -> None:
    """Say what an image really is, how large it is for a guest, what is inside, and what is wrong with it."""
    if fail_on not in (None, "error", "warning"):
        raise UsageError(f"--fail-on is error or warning, not {fail_on!r}")
    if no_checksum and checksum:
        raise UsageError("--checksum and --no-checksum exclude each other")
    found = inputs(paths or [], recursive, files0_from)
    sums = () if no_checksum else tuple(checksum or ("sha256",))
    ask = partial(_report, checksums=sums, expect=tuple(expect or ()), depth=depth, structures=fields, device=device)
    show: _Show
    first = _take(found, 2)
    if as_json:
        show = _Json()
    elif len(first) > 1 and not fields:
        show = _Table()
    else:
        show = _Text(colour_wanted(), verbose, fields)
    statuses = set()
    for path, result in _results(_chain(first, found), ask, show, jobs, progress, quiet):
        if isinstance(result, ImgtoolError):
            say_error(result, as_json=as_json or progress == "json", path=path)
            statuses.add(result.exit_status)
        else:
            show.done(result)
            statuses.add(_status(result, fail_on, bool(expect)))
    leave(worst(list(statuses)))


class _Show:
    """How reports are printed: `facts` before the digests are there, `done` with them."""

    def facts(self, report: Report) -> None:
        """The report is there, its digests are not yet."""

    def done(self, report: Report) -> None:
        """The report is whole."""


class _Json(_Show):
    def done(self, report: Report) -> None:
        import json

        print(json.dumps(report.to_dict()), flush=True)


class _Table(_Show):
    def __init__(self) -> None:
        self._begun = False

    def done(self, report: Report) -> None:
        if not self._begun:
            sys.stdout.write(text.table_head())
            self._begun = True
        sys.stdout.write(text.table_row(report))
        sys.stdout.flush()


class _Text(_Show):
    def __init__(self, colour: bool, verbose: bool, fields: bool) -> None:
        self._colour = colour
        self._verbose = verbose
        self._fields = fields
        self._shown: Report | None = None

    def facts(self, report: Report) -> None:
        sys.stdout.write(text.report_text(report, colour=self._colour, verbose=self._verbose))
        sys.stdout.flush()
        self._shown = report

    def done(self, report: Report) -> None:
        if self._shown is None:
            self.facts(report)
            later = []
        else:
            later = [finding for finding in report.findings if finding not in self._shown.findings]
        sys.stdout.write(text.checksums_text(report))
        sys.stdout.writelines(f"{line}\n" for line in text.findings_text(later, colour=self._colour))
        if self._fields:
            sys.stdout.write("\n" + text.structures_text(report.structures))
        self._shown = None


_Result = Report | ImgtoolError


def _results(
    paths: Iterator[str],
    ask: Callable[..., Report],
    show: _Show,
    jobs: int,
    progress: str,
    quiet: bool,
) -> Iterator[tuple[str, _Result]]:
    """Each input with its report or failure, in order."""
    on_facts = show.facts if jobs == 1 else None

    def one(path: str) -> _Result:
        try:
            with Meter(path, file_size(path), progress, quiet) as meter:
                return ask(path, progress=meter, on_facts=on_facts)
        except UsageError:
            raise
        except ImgtoolError as error:
            return error

    return in_order(paths, one, jobs)


def _report(
    path: str,
    *,
    checksums: tuple[str, ...],
    expect: tuple[str, ...],
    depth: int,
    structures: bool,
    device: bool,
    progress: Meter,
    on_facts: Callable[[Report], None] | None,
) -> Report:
    return inspect(
        readable(path),
        checksums,
        expect=expect,
        depth=depth,
        structures=structures,
        device=device,
        progress=progress,
        on_facts=on_facts,
    )


def _status(report: Report, fail_on: str | None, expected: bool) -> int:
    codes = {finding.code for finding in report.findings}
    if expected and "IMG301" in codes:
        return EXIT_NO
    if fail_on is None:
        return EXIT_DONE
    bad = SEVERITIES[: 1 if fail_on == "error" else 2]
    return EXIT_NO if any(text.count_findings(report, severity) for severity in bad) else EXIT_DONE


def _take(found: Iterator[str], count: int) -> list[str]:
    return [path for _, path in zip(range(count), found, strict=False)]


def _chain(first: list[str], rest: Iterator[str]) -> Iterator[str]:
    yield from first
    yield from rest
