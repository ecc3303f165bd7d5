"""imgtool schema: the JSON Schema of what --json prints."""

from __future__ import annotations

from typing import Annotated

import typer

from imgtool.cli.frame import epilog, verb
from imgtool.errors import UsageError
from imgtool.model.schema import SCHEMAS

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("schema", epilog=epilog("imgtool schema report", "imgtool schema verdict"))
@verb
def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help=", ".join(SCHEMAS))] = "report",
) -> None:
    """Print the JSON Schema of a kind of output."""
    import json

    if name not in SCHEMAS:
        raise UsageError(f"no such schema: {name!r} (one of {', '.join(SCHEMAS)})")
    print(json.dumps(SCHEMAS[name](), indent=2))
