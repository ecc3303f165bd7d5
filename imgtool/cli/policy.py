"""imgtool policy: what a policy says, effective."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.frame import epilog, verb
from imgtool.errors import UsageError
from imgtool.inspection.validate import policy_named
from imgtool.policy.builtin import BUILTIN
from imgtool.policy.dump import to_toml

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "policy",
    epilog=epilog(
        "imgtool policy list",
        "imgtool policy show strict",
        "imgtool policy show site.toml",
        "imgtool policy show catalog",
    ),
)
@verb
def command(
    action: Annotated[
        str, typer.Argument(metavar="show|list", help="Print one policy, or the names of the built-in.")
    ],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME|FILE", help="A built-in policy, or a TOML file.")
    ] = None,
) -> None:
    """Print a policy as TOML, every key with what holds; or list those that are built in.

    `catalog` is no policy of content: it shows the access rules of the catalog, as `imgtool access show` does.
    """
    if action == "list" and name is None:
        for policy in BUILTIN.values():
            sys.stdout.write(f"{policy.name:<12}{policy.title}\n")
    elif action == "show" and name == "catalog":
        from imgtool.cli.access import show

        show(None, None, as_json=False)
    elif action == "show" and name is not None:
        sys.stdout.write(to_toml(policy_named(name)))
    else:
        raise UsageError("say `imgtool policy show NAME|FILE` or `imgtool policy list`")
