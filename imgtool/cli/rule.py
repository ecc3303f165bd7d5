"""imgtool rule: the page of a rule, or the table of all."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, epilog, verb
from imgtool.errors import UsageError
from imgtool.findings.ledger import LEDGER
from imgtool.findings.ledger.published import Published
from imgtool.findings.pages import page, rule_of

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "rule",
    epilog=epilog(
        "imgtool rule", "imgtool rule IMG101", "imgtool rule external-reference", "imgtool rule --json QCW1"
    ),
)
@verb
def command(
    name: Annotated[
        str | None, typer.Argument(metavar="[CODE|NAME]", help="A rule; the beginning of codes lists those.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the page of a rule: what it checks, why it matters, what to do. Without a rule, the table of all."""
    lines = [line for line in LEDGER if _is_meant(line, name)]
    if not lines:
        raise UsageError(f"no rule is called {name!r} (see `imgtool rule`)")
    exact = name is not None and len(lines) == 1
    if as_json:
        _objects(lines)
    elif exact:
        _page(lines[0])
    else:
        _table(lines)


def _is_meant(line: Published, name: str | None) -> bool:
    return name is None or line.code.startswith(name.upper()) or line.name == name.lower()


def _objects(lines: list[Published]) -> None:
    import json

    for line in lines:
        rule, about = rule_of(line.code), page(line.code)
        told: dict[str, object] = {"code": line.code, "name": line.name}
        if rule is None or about is None:
            told["retired"] = True
        else:
            told |= {"severity": rule.severity, "summary": about.summary, "page": dict(about.parts)}
        print(json.dumps(told))


def _page(line: Published) -> None:
    from textwrap import fill

    rule, about = rule_of(line.code), page(line.code)
    print(f"{line.code} {line.name}")
    if rule is None or about is None:
        print("This rule is retired; its code is not used again.")
        return
    print(f"{rule.severity}: {about.summary}")
    for title, text in about.parts:
        print(f"\n{title}:")
        print(fill(text, 100, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False))


def _table(lines: list[Published]) -> None:
    width = max(len(line.name) for line in lines)
    for line in lines:
        rule, about = rule_of(line.code), page(line.code)
        severity = rule.severity if rule is not None else "retired"
        sys.stdout.write(
            f"{line.code}  {severity:<7}  {line.name:<{width}}  {about.summary if about else ''}".rstrip()
        )
        sys.stdout.write("\n")
