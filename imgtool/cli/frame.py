"""What every verb shares: exit statuses, errors on stderr, shared options. The verbs are thin over it."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

from imgtool.cli.signals import heard
from imgtool.cli.streams import let_go
from imgtool.errors import (
    EXIT_BUG,
    EXIT_HUNG_UP,
    EXIT_INTERRUPTED,
    EXIT_OUTPUT,
    EXIT_PIPE,
    EXIT_TABLE,
    EXIT_TERMINATED,
    ImgtoolError,
    OutputError,
    worst,
)
from imgtool.render.escape import terminal


def epilog(*examples: str) -> str:
    """The end of a command's help: examples (each is run by a test) and the exit statuses."""
    lines = ["\b", "Examples:", *(f"  $ {example}" for example in examples)]
    statuses = ["\b", "Exit status:", *(f"  {status:>3}  {meaning}" for status, meaning in EXIT_TABLE)]
    return "\n".join([*lines, "", *statuses])


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """A command: failures become one clear line on stderr and their exit status."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        gc.freeze()
        gc.enable()
        try:
            function(*args, **kwargs)
            sys.stdout.flush()
        except KeyboardInterrupt:
            leave(EXIT_INTERRUPTED)
        except BrokenPipeError:
            leave(EXIT_PIPE)
        except ImgtoolError as error:
            if heard() is not None:  # what a signal made of somebody's work
                leave(error.exit_status)
            say_error(error, as_json=bool(kwargs.get("as_json")) or kwargs.get("progress") == "json")
            leave(error.exit_status)

    return run


#: Statuses with which work in other threads is given up.
_ABANDONS = frozenset({EXIT_INTERRUPTED, EXIT_TERMINATED, EXIT_HUNG_UP, EXIT_PIPE})


def leave(status: int) -> NoReturn:
    """End with `status`, or that of a signal that came; what was printed is flushed if somebody still reads it.

    When nobody wants the result any more, threads that are still at work are not waited for.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        let_go()
        status = status or EXIT_PIPE
    except OutputError as error:
        let_go()
        if status != EXIT_OUTPUT:
            say_error(error, as_json=False)
        status = worst([status, EXIT_OUTPUT])
    status = heard() or status
    if status in _ABANDONS:
        sys.stderr.flush()
        os._exit(status)
    raise SystemExit(status)


def say_error(error: Exception, *, as_json: bool, path: str | None = None) -> None:
    """A line on stderr for each fault; under --json one object of type "error"."""
    code = getattr(error, "code", "bug")
    status = getattr(error, "exit_status", EXIT_BUG)
    faults = [terminal(fault) for fault in getattr(error, "faults", ()) or (str(error),)]
    if as_json:
        import json

        told = {"type": "error", "code": code, "message": "; ".join(faults), "exit": status}
        line = json.dumps(told if path is None else {**told, "path": terminal(path)})
    else:
        line = "\n".join(f"imgtool: {fault}" for fault in faults)
    print(line, file=sys.stderr)


def colour_wanted() -> bool:
    """True when stdout is a terminal and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per input, one per line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print less: no progress, no lines that say OK.")]
Device = Annotated[bool, typer.Option("--device", help="Admit block devices as input.")]
ShowProgress = Annotated[
    str,
    typer.Option("--progress", metavar="auto|json|none", help="Progress on stderr: a bar, JSON lines, or nothing."),
]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Take the files below folders.")]
Files0From = Annotated[
    str | None,
    typer.Option("--files0-from", metavar="FILE", help="Read NUL-terminated names of inputs from FILE (- is stdin)."),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, metavar="N", help="Work on N inputs at once.")]
