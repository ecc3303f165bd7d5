"""Signals that end the program: each is an exception where the main thread is, and remembered.

Such an exception can come anywhere, also in a library that makes another failure of it: what was heard decides how
the program ends, whatever came of it. One that comes where nothing can be raised (a finalizer, a callback of the
interpreter) is raised anew a moment later.
"""

from __future__ import annotations

import os
import signal
import sys

from imgtool.errors import EXIT_HUNG_UP, EXIT_INTERRUPTED, EXIT_TERMINATED


class Terminated(BaseException):
    """SIGTERM arrived, or SIGHUP."""


#: The statuses of the signals that were heard, in order.
_heard: list[int] = []

_AGAIN = 0.005  #: seconds until what could not be raised is raised anew


def hear() -> None:
    """From now on SIGTERM raises Terminated; unless they are ignored, SIGHUP does, and SIGINT KeyboardInterrupt."""
    sys.unraisablehook = _unraised
    for number, handler in _HANDLERS:
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def heard() -> int | None:
    """The status of the first signal that came; None where none did."""
    return _heard[0] if _heard else None


def unhear() -> None:
    """From now on a signal ends the process, as there is nothing left to put away."""
    for number, handler in _HANDLERS:
        if signal.getsignal(number) is handler:
            signal.signal(number, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0)


def end_at_once(status: int) -> None:
    """End without waiting for other threads, and without what runs at the end of a program."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        pass
    os._exit(status)


def _unraised(told: sys.UnraisableHookArgs) -> None:
    """What was raised where nothing can be: a signal is not lost by that, and leaves no trace on stderr."""
    if _heard and issubclass(told.exc_type, (Terminated, KeyboardInterrupt)):
        signal.signal(signal.SIGALRM, _again)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
    else:
        sys.__unraisablehook__(told)


def _again(number: int, frame: object) -> None:
    raise KeyboardInterrupt if _heard[0] == EXIT_INTERRUPTED else Terminated


def _terminate(number: int, frame: object) -> None:
    _heard.append(EXIT_TERMINATED)
    raise Terminated


def _hang_up(number: int, frame: object) -> None:
    _heard.append(EXIT_HUNG_UP)
    raise Terminated


def _interrupt(number: int, frame: object) -> None:
    _heard.append(EXIT_INTERRUPTED)
    raise KeyboardInterrupt


_HANDLERS = ((signal.SIGTERM, _terminate), (signal.SIGHUP, _hang_up), (signal.SIGINT, _interrupt))
