"""imgtool read: guest bytes to standard output."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.disk import Follow, FollowIn, Format, Member, Snapshot, opened
from imgtool.cli.frame import Device, epilog, verb
from imgtool.units import parse_size

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool read --length 512 disk.img",
    "imgtool read --offset 64K --length 1M disk.img",
    "imgtool read --format qcow2 --snapshot first --follow --device --length 1K snapshots.img",
    "imgtool read --member disk1.vmdk --length 512 appliance.ova",
    "imgtool read --follow-in images --length 512 disk.img",
)


@app.command("read", epilog=epilog(*EXAMPLES))
@verb
def command(
    path: Annotated[str, typer.Argument(metavar="PATH", help="An image.")],
    offset: Annotated[str, typer.Option("--offset", "-o", metavar="SIZE", help="Where to begin (64K, 1G).")] = "0",
    length: Annotated[
        str | None,
        typer.Option("--length", "-n", metavar="SIZE", help="How much; to the end when not given."),
    ] = None,
    format: Format = None,
    snapshot: Snapshot = None,
    member: Member = None,
    follow: Follow = False,
    follow_in: FollowIn = None,
    device: Device = False,
) -> None:
    """Write the guest's bytes of an image to standard output."""
    from imgtool.disks.stream import chunks

    start, count = parse_size(offset), None if length is None else parse_size(length)
    with opened(
        path, format=format, snapshot=snapshot, member=member, follow=follow, follow_in=follow_in, device=device
    ) as disk:
        zeros = memoryview(bytes(1 << 20))
        for run, data in chunks(disk, start, count):
            if data is not None:
                sys.stdout.buffer.write(data)
                continue
            left = run.length
            while left:
                left -= sys.stdout.buffer.write(zeros[: min(left, len(zeros))])
        sys.stdout.buffer.flush()
