"""What the verbs of instances share: their options, and starting one."""

from __future__ import annotations

from typing import Annotated

import typer

Instance = Annotated[str, typer.Argument(metavar="INSTANCE", help="Its id, or a name that only one has.")]
Network = Annotated[bool, typer.Option("--network", help="Give it a network, behind this machine's address.")]
Display = Annotated[bool, typer.Option("--display", help="Show its screen in a window.")]
Accel = Annotated[
    str,
    typer.Option("--accel", metavar="auto|kvm|tcg", help="By the processor (kvm), in software (tcg)."),
]
