"""Options of the verbs that judge an image: what is claimed of it, and by which policy and rules."""

from __future__ import annotations

from typing import Annotated

import typer

DiskFormat = Annotated[
    str | None, typer.Option("--disk-format", metavar="NAME", help="Claim: the disk is this; else an error.")
]
ContainerFormat = Annotated[
    str | None, typer.Option("--container-format", metavar="NAME", help="Claim: this is around it; bare is none.")
]
PolicyName = Annotated[
    str, typer.Option("--policy", metavar="NAME|FILE", help="default, glance, strict, permissive, or a TOML file.")
]
MinDisk = Annotated[
    str | None, typer.Option("--min-disk", metavar="SIZE", help="Claim: it fits on a disk of this size (10G).")
]
MinRam = Annotated[
    str | None, typer.Option("--min-ram", metavar="SIZE", help="Claim: it starts in this much memory (512M).")
]
MaxVirtualSize = Annotated[
    str | None, typer.Option("--max-virtual-size", metavar="SIZE", help="Reject larger disks.")
]
Expect = Annotated[
    list[str] | None, typer.Option("--expect", metavar="ALG:HEX", help="Digest that the input must have.")
]
Select = Annotated[
    list[str] | None,
    typer.Option("--select", metavar="CODES", help="Only these rules: QCW101, QCW1, QCW or a rule's name."),
]
Ignore = Annotated[list[str] | None, typer.Option("--ignore", metavar="CODES", help="All but these rules.")]
FailOn = Annotated[
    str | None, typer.Option("--fail-on", metavar="error|warning", help="What rejects; else as the policy says.")
]
