"""imgtool catalog scrub: the data of deleted images goes when their grace period is over."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from imgtool.cli.frame import AsJson, Quiet, epilog, leave, say_error, verb
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened
from imgtool.errors import EXIT_DONE, EXIT_OUTPUT, OutputError, UsageError
from imgtool.render.escape import terminal

if TYPE_CHECKING:
    from imgtool.catalog.cleaning import Round
    from imgtool.catalog.service import Catalog
    from imgtool.model.upkeep import Scrubbed

app = typer.Typer(add_completion=False, rich_markup_mode=None)

Delay = Annotated[
    str | None,
    typer.Option("--delay", metavar="TIME", help="The grace period: 7d, 12h, 0; else the configuration's."),
]
Daemon = Annotated[
    bool, typer.Option("--daemon", help="Stay, and clean again and again; SIGTERM, SIGHUP or SIGINT end it.")
]
Wakeup = Annotated[
    str | None,
    typer.Option("--wakeup", metavar="TIME", help="The pause between two cleanings; else the configuration's."),
]


@app.command(
    "scrub",
    epilog=epilog(
        "imgtool catalog scrub",
        "imgtool catalog scrub --delay 0 --json",
        "timeout 1 imgtool catalog scrub --daemon --wakeup 5m --quiet || true",
    ),
)
@verb
def command(
    delay: Delay = None,
    daemon: Daemon = False,
    wakeup: Wakeup = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """Remove the data of images whose grace period is over. Of all that run for a catalog, one cleans at a time; with
    --daemon the others wait, and one of them goes on when it ends. What fails is told, and tried again."""
    if wakeup is not None and not daemon:
        raise UsageError("--wakeup is for --daemon")
    with opened(config, catalog, act_as, access, delay=delay, wakeup=wakeup) as there:
        if daemon:
            _stay(there, as_json=as_json, quiet=quiet)
            return
        done = there.scrub()
    _tell(done, as_json=as_json, quiet=quiet)
    leave(EXIT_OUTPUT if done.failed else EXIT_DONE)


def _stay(catalog: Catalog, *, as_json: bool, quiet: bool) -> None:
    """Clean until a signal comes: that is no failure."""
    from threading import Event

    stop = Event()

    def tell(told: Round) -> None:
        if told.error is not None:
            say_error(told.error, as_json=as_json) if told.what == "failed" else _waits(str(told.error), as_json)
        if told.done is not None:
            _tell(told.done, as_json=as_json, quiet=quiet, stamped=True)

    with ExitStack() as before:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            handler = signal.getsignal(number)
            if handler is not signal.SIG_IGN:
                before.callback(signal.signal, number, handler)
                signal.signal(number, lambda *_: stop.set())
        catalog.keep_scrubbing(stop, tell)


def _waits(why: str, as_json: bool) -> None:
    """Another is at it: no failure, but somebody may wonder."""
    import json

    told = json.dumps({"type": "progress", "message": terminal(f"waiting: {why}")})
    print(told if as_json else f"imgtool: waiting: {terminal(why)}", file=sys.stderr, flush=True)


def _tell(done: Scrubbed, *, as_json: bool, quiet: bool, stamped: bool = False) -> None:
    from imgtool.render import upkeep

    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if as_json:
        sys.stdout.write(upkeep.json_line({**done.to_dict(), "at": at}))
    elif not quiet or done.images or done.blobs:
        sys.stdout.write((f"{at} " if stamped else "") + upkeep.scrubbed(done))
    sys.stdout.flush()
    for message in done.failed:
        say_error(OutputError(message), as_json=as_json)
