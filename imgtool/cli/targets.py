"""What the verbs that make a target share: its format and options, the engine, and what stops it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.frame import leave
from imgtool.errors import EXIT_DONE, UsageError

Compress = Annotated[
    str | None, typer.Option("--compress", metavar="zlib|zstd", help="Compress the clusters of a qcow2.")
]
Level = Annotated[
    int | None, typer.Option("--level", metavar="N", help="How hard to compress: zlib 1-12, zstd 1-22.")
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="KEY=VALUE", help="A creation option of the target, repeatable; `help` lists them."
    ),
]
Engine = Annotated[
    str,
    typer.Option("--engine", metavar="auto|native|qemu-img", help="What writes; auto is native where it can."),
]
Align = Annotated[
    str | None, typer.Option("--align", metavar="SIZE", help="Let the disk grow to a multiple of SIZE (Azure: 1MiB).")
]
IfUnsafe = Annotated[
    str,
    typer.Option(
        "--if-unsafe",
        metavar="reject|allow[:CODES]",
        help="What happens to a source that the policy rejects; CODES are let through alone.",
    ),
]
PolicyName = Annotated[
    str,
    typer.Option("--policy", metavar="NAME|FILE", help="What the source must satisfy; `imgtool policy` lists them."),
]


def _formats(incomplete: str) -> list[str]:
    """The targets that a shell completes to."""
    from imgtool.conversion.request import target_names

    return [name for name in target_names() if name.startswith(incomplete)]


To = Annotated[
    str,
    typer.Option(
        "--to",
        "-t",
        metavar="FORMAT",
        autocompletion=_formats,
        help="raw, qcow2, vhd, vhdx, vmdk, vdi, qed, parallels, luks, ami …",
    ),
]


def tell_options(to: str) -> None:
    """Print the creation options of a target, of the native engine and of qemu-img. Raises UsageError."""
    from imgtool.conversion.native import options_of
    from imgtool.conversion.qemu_options import TARGETS
    from imgtool.conversion.qemu_options import options_of as qemu_options_of
    from imgtool.conversion.request import target_named
    from imgtool.render.conversions import options_table

    entry, _ = target_named(to)
    tables = {"native": options_of(entry), "qemu-img": qemu_options_of(entry.name) if entry.name in TARGETS else ()}
    if not any(tables.values()):
        print(f"{entry.name} has no creation options")
    for engine, table in tables.items():
        if table:
            rows = [(one.name, one.default, one.meaning, one.choices) for one in table]
            sys.stdout.write(options_table(f"{entry.name} by {engine}", rows))


def parsed_options(given: list[str] | None, to: str) -> dict[str, str]:
    """`KEY=VALUE` as typed, also several with commas between them. Raises UsageError.

    `help` alone prints the options of the target and ends the command.
    """
    if not to:
        raise UsageError("say into what: --to FORMAT")
    if given == ["help"]:
        tell_options(to)
        leave(EXIT_DONE)
    options: dict[str, str] = {}
    for text in given or ():
        for one in text.split(","):
            name, equals, value = one.partition("=")
            if not equals or not name.strip():
                raise UsageError(f"--option is KEY=VALUE (`--option help` lists them), not {one!r}")
            options[name.strip()] = value.strip()
    return options
