"""imgtool formats: the registries as a table."""

from __future__ import annotations

import sys

import typer

from imgtool.cli.frame import AsJson, epilog, verb
from imgtool.containers import CONTAINERS
from imgtool.detect.registry import Entry
from imgtool.formats import FORMATS
from imgtool.volumes import VOLUMES

app = typer.Typer(add_completion=False, rich_markup_mode=None)

ABILITIES = ("detect", "read", "check")


def _engines(entry: Entry) -> list[str]:
    """What writes a format: "native", "qemu-img", both, or nothing."""
    from imgtool.conversion.qemu_options import TARGETS

    native = ["native"] if entry.writer is not None else []
    return [*native, *(["qemu-img"] if entry.kind == "format" and entry.name in TARGETS else [])]


def _marks(entry: Entry) -> str:
    written = {(): "-", ("qemu-img",): "q"}.get(tuple(_engines(entry)), "w")
    return "".join(ability[0] if ability in entry.abilities else "-" for ability in ABILITIES) + written


@app.command("formats", epilog=epilog("imgtool formats", "imgtool formats --json"))
@verb
def command(as_json: AsJson = False) -> None:
    """List formats, containers and what is known inside them: names here, in QEMU and in Glance."""
    entries = (*FORMATS, *CONTAINERS, *VOLUMES)
    if as_json:
        import json

        for entry in entries:
            told = {
                "name": entry.name,
                "kind": entry.kind,
                "title": entry.title,
                "qemu": entry.qemu,
                "glance": entry.glance,
                "aliases": list(entry.aliases),
                "abilities": [*entry.abilities, *(["write"] if _engines(entry) else [])],
                "engines": _engines(entry),
            }
            print(json.dumps(told))
        return
    rows = [("NAME", "KIND", "QEMU", "GLANCE", "ABILITIES", "WHAT IT IS")]
    for entry in entries:
        rows.append((entry.name, entry.kind, entry.qemu or "-", entry.glance or "-", _marks(entry), entry.title))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        sys.stdout.write(f"{cells}  {row[-1]}\n")
    sys.stdout.write("\nabilities: d detected, r read, c checked, w written natively, q written by qemu-img\n")
