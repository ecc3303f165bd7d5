"""A scrubber that stays: it cleans again and again until it is told to stop.

Of all that run for a catalog, on any machine, one has the turn: a lease that it renews, and that ends with it. The
others wait, and the first of them to ask has it then. No failure ends a scrubber: it is told, and tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

from imgtool.catalog.lease import TERM, Lease, acquire
from imgtool.catalog.upkeep import scrub
from imgtool.errors import ImgtoolError, RefusedError
from imgtool.model.upkeep import Scrubbed

if TYPE_CHECKING:
    from threading import Event

    from imgtool.catalog.service import Catalog

TURN = "scrubber"


class Round(NamedTuple):
    """What a scrubber tells: it cleaned (`done`), it waits for its turn, or something failed (`error`)."""

    what: Literal["cleaned", "waits", "failed"]
    done: Scrubbed | None = None
    error: ImgtoolError | None = None


def keep_scrubbing(
    catalog: Catalog, delay: int, wakeup: float, stop: Event, tell: Callable[[Round], None], *, term: int = TERM
) -> None:
    """See `Catalog.keep_scrubbing`. `term`: seconds that the turn is held without being renewed."""
    catalog.access.require("scrub_catalog", catalog.who)
    turns = _Turns(catalog, tell, term)
    due = time.monotonic()
    try:
        while not stop.is_set():
            if turns.take() and time.monotonic() >= due and _clean(catalog, delay, stop, turns):
                due = time.monotonic() + wakeup
            ahead = due - time.monotonic() if turns.held else wakeup
            stop.wait(min(term / 3, ahead if ahead > 0 else wakeup))
    finally:
        turns.release()


def _clean(catalog: Catalog, delay: int, stop: Event, turns: _Turns) -> bool:
    """Clean once: True where it is done. Where a repair is at it, it is tried soon."""
    try:
        done = scrub(catalog, delay, stop)
    except RefusedError as error:
        turns.waits(error)
        return False
    except ImgtoolError as error:
        turns.tell(Round("failed", error=error))
        return True
    turns.cleaned(done)
    return True


class _Turns:
    """The turn of this scrubber, and what was told of it."""

    def __init__(self, catalog: Catalog, tell: Callable[[Round], None], term: int) -> None:
        self._catalog = catalog
        self.tell = tell
        self._term = term
        self._lease: Lease | None = None
        self._waits = False

    @property
    def held(self) -> bool:
        """True while it is this one's turn."""
        return self._lease is not None

    def take(self) -> bool:
        """Take the turn, or keep it: False where another has it, or it cannot be told."""
        try:
            if self._lease is None:
                self._lease = acquire(self._catalog.database, TURN, term=self._term)
            else:
                self._lease.renew()
        except RefusedError as error:
            self._lease = None
            self.waits(error)
            return False
        except ImgtoolError as error:
            self.tell(Round("failed", error=error))
            return False
        return True

    def waits(self, error: ImgtoolError) -> None:
        """Tell once that another is at it."""
        if not self._waits:
            self._waits = True
            self.tell(Round("waits", error=error))

    def cleaned(self, done: Scrubbed) -> None:
        """Tell what was cleaned."""
        self._waits = False
        self.tell(Round("cleaned", done))

    def release(self) -> None:
        """Let others have the turn."""
        if self._lease is not None:
            with suppress(ImgtoolError):
                self._lease.release()
