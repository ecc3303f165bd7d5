"""imgtool access: who may do what in the catalog."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, epilog, verb
from imgtool.cli.settings import AccessFile, ConfigFile, configured
from imgtool.errors import UsageError
from imgtool.render.escape import terminal

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "access",
    epilog=epilog(
        "imgtool access show",
        "imgtool access show --json",
        "imgtool access show --access access.yaml",
        "imgtool access show --config imgtool.toml",
    ),
)
@verb
def command(
    action: Annotated[str, typer.Argument(metavar="show", help="Print every rule that holds.")],
    access: AccessFile = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the rules that decide who may do what in the catalog, as a file of rules that can be changed.

    The language is that of oslo.policy; --access, IMGTOOL_ACCESS or imgtool.toml name a file that overrules the
    built-in rules by name.
    """
    if action != "show":
        raise UsageError("say `imgtool access show`")
    show(access, config, as_json=as_json)


def show(access: str | None, config: str | None, *, as_json: bool) -> None:
    """Print the rules that hold under a file of rules, else the configuration's."""
    import json

    from imgtool.catalog.access import load_access

    rules = load_access(configured(config, access=access).access).rules
    if as_json:
        for rule in rules:
            told = {"name": rule.name, "rule": rule.text, "source": rule.source, "about": rule.about}
            print(json.dumps(told))
        return
    for number, rule in enumerate(rules):
        sys.stdout.write("\n" if number else "")
        sys.stdout.write(f"# {rule.about} ({terminal(rule.source)})\n")
        name = rule.name if rule.name.isidentifier() and rule.name.isascii() else json.dumps(rule.name)
        sys.stdout.write(f"{name}: {json.dumps(rule.text)}\n")
