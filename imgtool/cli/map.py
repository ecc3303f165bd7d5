"""imgtool map: where data, zeros, holes, compressed and referenced runs of the guest's disk lie."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from imgtool.cli.disk import Follow, FollowIn, Format, Member, Snapshot, opened
from imgtool.cli.frame import Device, epilog, verb
from imgtool.errors import OutputError, ToolMissingError, UsageError
from imgtool.targets.output import FileOutput, free_target

if TYPE_CHECKING:
    from imgtool.sources.disk import Disk

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool map disk.img",
    "imgtool map --json disk.img",
    "imgtool map --extents disk.img",
    "imgtool map --svg map.svg --png map.png disk.img",
    "imgtool map --format qcow2 --snapshot first --follow --device snapshots.img",
    "imgtool map --follow-in images --width 40 disk.img",
    "imgtool map --member disk1.vmdk appliance.ova",
)


@app.command("map", epilog=epilog(*EXAMPLES))
@verb
def command(
    path: Annotated[str, typer.Argument(metavar="PATH", help="An image.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print qemu-img map's JSON, on one line.")] = False,
    extents: Annotated[bool, typer.Option("--extents", help="List runs: start, length, kind, place.")] = False,
    svg: Annotated[str | None, typer.Option("--svg", metavar="FILE", help="Draw it as SVG (- is stdout).")] = None,
    png: Annotated[str | None, typer.Option("--png", metavar="FILE", help="Draw it as PNG (- is stdout).")] = None,
    width: Annotated[int, typer.Option("--width", min=8, max=400, metavar="N", help="Cells on a line.")] = 64,
    format: Format = None,
    snapshot: Snapshot = None,
    member: Member = None,
    follow: Follow = False,
    follow_in: FollowIn = None,
    device: Device = False,
) -> None:
    """Show the allocation map of an image: a picture, totals, the runs, or qemu-img's JSON."""
    if as_json and extents:
        raise UsageError("--json and --extents exclude each other")
    from imgtool.render import maps

    with opened(
        path, format=format, snapshot=snapshot, member=member, follow=follow, follow_in=follow_in, device=device
    ) as disk:
        if svg is not None or png is not None:
            _draw(path, disk, svg, png)
        if as_json:
            sys.stdout.writelines(maps.qemu_json(disk.extents()))
        elif extents:
            sys.stdout.writelines(maps.extent_line(extent) for extent in disk.extents())
        elif svg is None and png is None:
            cells = maps.Cells(disk.size, width * 16)
            for extent in disk.extents():
                cells.add(extent)
            sys.stdout.write(maps.map_text(path, cells, width))


def _draw(path: str, disk: Disk, svg: str | None, png: str | None) -> None:
    from imgtool.render import pictures

    drawing = pictures.Drawing(path, disk.size, _file_size(path), disk.allocated)
    for extent in disk.extents():
        drawing.add(extent)
    if svg is not None:
        _write(svg, pictures.svg(drawing))
    if png is not None:
        try:
            _write(png, pictures.png(drawing))
        except ImportError:
            raise ToolMissingError("a PNG needs Pillow: pip install pillow (or draw it with --svg)") from None


def _file_size(path: str) -> int:
    return os.stat(path).st_size


def _write(place: str, data: bytes) -> None:
    if place == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    if free_target(place, force=True):
        raise OutputError(f"{place}: is a block device; name a file")
    with FileOutput(place, force=True) as output:
        output.write_at(0, data)
        output.commit()
