"""imgtool measure: how large a target would be."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated, Any

import typer

from imgtool.cli.disk import Follow, FollowIn, Format, Member, Snapshot
from imgtool.cli.frame import AsJson, Device, Quiet, ShowProgress, epilog, leave, say_error, verb
from imgtool.cli.inputs import inputs
from imgtool.cli.progress import Board
from imgtool.cli.targets import (
    Align,
    Compress,
    Engine,
    IfUnsafe,
    Level,
    Options,
    PolicyName,
    To,
    parsed_options,
)
from imgtool.errors import EXIT_DONE, ImgtoolError, UsageError, worst
from imgtool.render import conversions

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool measure disk.img --to qcow2",
    "imgtool measure disk.img other.img --to qcow2 --compress zlib --level 6 --json",
    "imgtool measure disk.img --to vhd --option subformat=fixed --align 1MiB",
    "imgtool measure disk.img --to vhdx --engine qemu-img --quiet --progress none",
    "imgtool measure snapshots.img --format qcow2 --snapshot first --to raw --policy default --if-unsafe reject",
    "imgtool measure disk.img --follow --follow-in images --device --to vdi",
    "imgtool measure appliance.ova --member disk1.vmdk --to qcow2",
)


@app.command("measure", epilog=epilog(*EXAMPLES))
@verb
def command(
    paths: Annotated[list[str] | None, typer.Argument(metavar="SRC...", help="Images.")] = None,
    to: To = "",
    compress: Compress = None,
    level: Level = None,
    option: Options = None,
    engine: Engine = "auto",
    align: Align = None,
    if_unsafe: IfUnsafe = "reject",
    policy: PolicyName = "default",
    format: Format = None,
    snapshot: Snapshot = None,
    member: Member = None,
    follow: Follow = False,
    follow_in: FollowIn = None,
    device: Device = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: ShowProgress = "auto",
) -> None:
    """Tell how many bytes `convert` would write: exactly where the native engine writes, else an estimate."""
    options = parsed_options(option, to)
    from imgtool.conversion.api import measure

    how: dict[str, Any] = {"options": options, "compress": compress, "level": level, "engine": engine}
    how |= {"align": align if align is not None else 0, "if_unsafe": if_unsafe, "policy": policy, "format": format}
    how |= {"snapshot": snapshot, "follow": follow_in if follow_in is not None else follow, "device": device}
    statuses = {EXIT_DONE}
    sources = list(inputs(paths or [], False, None, piped=False))
    if "-" in sources:
        raise UsageError("a disk must be read at any place, which standard input cannot; name a file")
    with Board(len(sources), progress, quiet) as board:
        for path in sources:
            board.begin(path, path, None)
            try:
                for name in _disks(path, member, format, device, how["follow"]):
                    result = measure(path, to, member=name, progress=partial(board.count, path), **how)
                    show = conversions.json_line if as_json else conversions.measured
                    sys.stdout.write(show(result.to_dict()))
                    sys.stdout.flush()
            except ImgtoolError as error:
                say_error(error, as_json=as_json or progress == "json", path=path)
                statuses.add(error.exit_status)
            finally:
                board.end(path)
    leave(worst(list(statuses)))


def _disks(
    path: str, member: str | None, format: str | None, device: bool, follow: bool | str
) -> tuple[str | None, ...]:
    """The disks of a source that are measured: all of a container, one by one, where none is named."""
    from imgtool.conversion.batch import look_inside

    if member is not None or format is not None:
        return (member,)
    return look_inside(path, device=device, follow=follow).disks or (None,)
