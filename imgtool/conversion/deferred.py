"""Signals that wait: one that raised while a program is started, or killed, would leave it without us."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

#: What may raise in the main thread: SIGALRM where a signal that could not be raised is raised anew.
_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


@contextmanager
def deferred() -> Iterator[Callable[[], None]]:
    """Signals with a handler are kept until the function that is given is called, or until the end: then they are
    raised. In another thread than the main one none is raised, and none is kept."""
    came: list[int] = []
    with ExitStack() as before:

        def heed() -> None:
            before.close()
            while came:
                signal.raise_signal(came.pop(0))

        if threading.current_thread() is threading.main_thread():
            for number in _NUMBERS:
                handler = signal.getsignal(number)
                if callable(handler):
                    before.callback(signal.signal, number, handler)
                    signal.signal(number, lambda number, frame: came.append(number))
        try:
            yield heed
        finally:
            heed()
