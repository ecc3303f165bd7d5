"""imgtool checksum: digests as sha256sum writes them, several algorithms in one pass; and lists verified."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.batch import file_size
from imgtool.cli.disk import Follow, FollowIn, Format, opened
from imgtool.cli.frame import (
    AsJson,
    Device,
    Files0From,
    Quiet,
    Recursive,
    ShowProgress,
    epilog,
    leave,
    say_error,
    verb,
)
from imgtool.cli.inputs import inputs, listed, readable
from imgtool.cli.progress import Meter
from imgtool.errors import EXIT_DONE, EXIT_NO, ImgtoolError, InputError, UsageError, worst
from imgtool.ingest.digests import algorithm
from imgtool.inspection.api import checksum
from imgtool.render.lines import BY_LENGTH, Expected, checksum_line, parse_line, tagged_line

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool checksum disk.img",
    "imgtool checksum --algorithm md5 --algorithm sha512 disk.img other.img",
    "imgtool checksum --tag --recursive --device images/",
    "imgtool checksum --json --quiet --progress none disk.img",
    "imgtool checksum disk.img > SHA256SUMS && imgtool checksum --check SHA256SUMS",
    "find images -type f -print0 | imgtool checksum --files0-from -",
    "imgtool checksum --content disk.img same.img",
    "imgtool checksum --content --format qcow2 --algorithm sha256 --follow --follow-in images disk.img",
    "cat disk.img | imgtool checksum -",
)


@app.command("checksum", epilog=epilog(*EXAMPLES))
@verb
def command(
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH...", help="Files; - is standard input.")] = None,
    algorithms: Annotated[
        list[str] | None,
        typer.Option("--algorithm", "-a", metavar="ALG", help="Digest to compute, repeatable; else sha256."),
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option("--check", metavar="FILE", help="Verify the files listed in FILE; exit 1 where one differs."),
    ] = None,
    content: Annotated[
        bool,
        typer.Option("--content", help="Digest what a guest sees; `blocks` is a fast tree hash."),
    ] = False,
    tag: Annotated[bool, typer.Option("--tag", help="Write lines that name their algorithm.")] = False,
    as_json: AsJson = False,
    recursive: Recursive = False,
    files0_from: Files0From = None,
    follow: Follow = False,
    follow_in: FollowIn = None,
    format: Format = None,
    device: Device = False,
    quiet: Quiet = False,
    progress: ShowProgress = "auto",
) -> None:
    """Print digests of whole files, in one pass for all algorithms; or verify a list of them."""
    names = tuple(name if content and name == "blocks" else algorithm(name) for name in algorithms or ())
    if follow_in is not None:
        from imgtool.disks.links import permission

        permission(follow_in, None)  # what is no folder is said of whole files, too, which follow nothing
    if check:
        if paths or files0_from:
            raise UsageError("--check takes the names from its list; give no paths beside it")
        leave(worst([_check_list(place, names, as_json, quiet, progress) for place in check]))
    statuses = {EXIT_DONE}
    chosen = names or ("blocks" if content else "sha256",)
    for path in inputs(paths or [], recursive, files0_from):
        try:
            if content:
                sums = _content(
                    path, chosen, quiet, progress, format=format, follow=follow, follow_in=follow_in, device=device
                )
            else:
                sums = _digests(path, chosen, device, quiet, progress)
        except InputError as error:
            say_error(error, as_json=as_json or progress == "json", path=path)
            statuses.add(error.exit_status)
            continue
        _print(path, sums, tag or len(chosen) > 1, as_json)
    leave(worst(list(statuses)))


def _digests(path: str, names: tuple[str, ...], device: bool, quiet: bool, progress: str) -> dict[str, str]:
    with Meter(path, file_size(path), progress, quiet) as meter:
        return checksum(readable(path), names, device=device, progress=meter)


def _content(
    path: str,
    names: tuple[str, ...],
    quiet: bool,
    progress: str,
    *,
    format: str | None,
    follow: bool,
    follow_in: str | None,
    device: bool,
) -> dict[str, str]:
    from imgtool.disks.digest import content_digests

    with (
        opened(path, format=format, follow=follow, follow_in=follow_in, device=device) as disk,
        Meter(path, disk.size, progress, quiet) as meter,
    ):
        return content_digests(disk, names, meter)


def _print(path: str, sums: dict[str, str], tagged: bool, as_json: bool) -> None:
    if as_json:
        import json

        from imgtool.model.jsonable import named_value

        print(json.dumps({**named_value("path", path), "checksums": sums}), flush=True)
        return
    for name, digest in sums.items():
        line = tagged_line(path, name, digest) if tagged else checksum_line(path, digest)
        _write(line)


def _write(line: str) -> None:
    """A line with the file's name byte for byte, as other programs expect it in such lists."""
    sys.stdout.flush()
    sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def _check_list(place: str, names: tuple[str, ...], as_json: bool, quiet: bool, progress: str) -> int:
    """Verify one list; its exit status."""
    statuses = {EXIT_DONE}
    seen = 0
    for line in _lines(place):
        expected = parse_line(line)
        if expected is None:
            continue
        seen += 1
        statuses.add(_check_one(expected, names, as_json, quiet, progress))
    if not seen:
        raise InputError(f"{place}: no checksum lines in it")
    return worst(list(statuses))


def _check_one(expected: Expected, names: tuple[str, ...], as_json: bool, quiet: bool, progress: str) -> int:
    verdict, status = "OK", EXIT_DONE
    try:
        known = expected.algorithm or (names[0] if names else BY_LENGTH.get(len(expected.digest), ""))
        chosen = algorithm(known)
        actual = _digests(expected.name, (chosen,), False, quiet, progress)[chosen]
        if actual != expected.digest:
            verdict, status = "FAILED", EXIT_NO
    except ImgtoolError as error:
        say_error(error, as_json=as_json or progress == "json", path=expected.name)
        verdict, status = "FAILED open or read", error.exit_status
    if as_json:
        import json

        from imgtool.model.jsonable import named_value

        print(json.dumps({**named_value("path", expected.name), "ok": status == EXIT_DONE}), flush=True)
    elif not quiet or status != EXIT_DONE:
        mark, escaped = checksum_line(expected.name, "").rstrip("\n").split("  ", 1)
        _write(f"{mark}{escaped}: {verdict}\n")
    return status


def _lines(place: str) -> list[str]:
    return listed(place).decode("utf-8", "surrogateescape").split("\n")
