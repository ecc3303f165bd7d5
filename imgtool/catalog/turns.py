"""Turns: writers of a file come to theirs, however many there are and however often the others come back.

SQLite lets them in as it happens: who was just done is the first to be back, and who waits looks the less often the
longer it waits, so that one of many can wait for minutes. Here one process at a time is the next; only that one asks
SQLite, and who was just done is behind it. The longer one waits for being next, the more often it looks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

from imgtool.catalog.held import locked

_PAUSE = 0.03  #: seconds at most between two looks of one that begins to wait
_NEXT = 0.001  #: seconds between two looks of the one that is next


def take_turn(path: str, take: Callable[[], bool], patience: float) -> bool:
    """Call `take` until it says that it has it, as the only process; `path` is the file that the next one holds.

    False when `patience` (seconds) is over. Where that file cannot be held, there are no turns.
    """
    began = time.monotonic()
    fd = -1
    with suppress(OSError):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        is_next = fd < 0
        while True:
            is_next = is_next or _held(fd)
            if is_next and take():
                return True
            waited = time.monotonic() - began
            if waited > patience:
                return False
            time.sleep(_NEXT if is_next and fd >= 0 else _pause(waited))
    finally:
        if fd >= 0:
            os.close(fd)


def _pause(waited: float) -> float:
    """Seconds until the next look of one that has waited so long."""
    import random

    return random.uniform(_NEXT, max(2 * _NEXT, _PAUSE / (1 + waited)))


def _held(fd: int) -> bool:
    try:
        return locked(fd)
    except OSError:  # a file system without locks
        return True
