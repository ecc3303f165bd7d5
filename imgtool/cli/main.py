"""The `imgtool` command: a group whose verbs are imported when they are used."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from imgtool.cli.disk import spell_follow
from imgtool.cli.frame import epilog, leave, say_error
from imgtool.cli.groups import GROUPS, NAMES, command_of
from imgtool.cli.signals import Terminated, end_at_once, hear, heard, unhear
from imgtool.cli.streams import stand
from imgtool.errors import EXIT_BUG, EXIT_DONE, EXIT_INTERRUPTED, EXIT_PIPE, EXIT_TERMINATED, OutputError
from imgtool.version import __version__

#: The verbs, in the order of the help; each is the module of its name, or one of `GROUPS`.
VERBS = (
    "inspect",
    "checksum",
    "map",
    "compare",
    "read",
    "check",
    "validate",
    "convert",
    "measure",
    "rule",
    "policy",
    "access",
    "config",
    "formats",
    "schema",
    "doctor",
)


class Verbs(TyperGroup):
    """Imports the module of a verb when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*VERBS, *GROUPS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in GROUPS:
            return command_of(cmd_name)
        if cmd_name not in VERBS:
            return None
        return typer.main.get_command(import_module(f"imgtool.cli.{cmd_name}").app)


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=NAMES,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"imgtool {__version__}")
        raise typer.Exit


@app.callback(epilog=epilog("imgtool inspect disk.img", "imgtool checksum disk.img", "imgtool inspect --help"))
def _group(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Inspect, validate and convert disk images that nobody vouches for."""


def main() -> None:
    """Run the command line; ends by SystemExit with a status of `imgtool.errors.EXIT_TABLE`."""
    try:
        try:
            hear()
            _run()
        finally:
            unhear()
    except SystemExit:
        raise
    except BaseException:  # a signal that came while the end was under way
        status = heard()
        if status is None:
            raise
        end_at_once(status)


def _run() -> None:
    stand()
    try:
        app(args=spell_follow(sys.argv[1:]))
    except Terminated:
        leave(EXIT_TERMINATED)
    except KeyboardInterrupt:
        leave(EXIT_INTERRUPTED)
    except BrokenPipeError:
        leave(EXIT_PIPE)
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else EXIT_DONE)
    except OutputError as error:
        say_error(error, as_json=False)
        leave(error.exit_status)
    except Exception:  # noqa: BLE001 - a bug: the trace and status 70 are the contract
        status = heard()
        if status is None:
            import traceback

            traceback.print_exc()
            print("imgtool: this is a bug; please report it with the lines above", file=sys.stderr)
        leave(EXIT_BUG)
