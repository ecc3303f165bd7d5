"""Progress on stderr: a bar when a terminal waits longer than a second, or JSON lines for programs."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from imgtool.errors import UsageError
from imgtool.render.escape import terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PATIENCE = 1.0  #: seconds before a bar appears, and between two JSON lines


class Meter:
    """Counts bytes that go by; shows them as `how` says: "auto", "json" or "none". A context."""

    def __init__(self, name: str, total: int | None, how: str, quiet: bool) -> None:
        if how not in ("auto", "json", "none"):
            raise UsageError(f"--progress is auto, json or none, not {how!r}")
        self.name = name
        self.total = total
        self.done = 0
        self._json = how == "json"
        self._bar = how == "auto" and not quiet and sys.stderr.isatty()
        self._since = self._told = time.monotonic()
        self._shown: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown.stop()

    def __call__(self, count: int) -> None:
        self.done += count
        if not (self._json or self._bar):
            return
        now = time.monotonic()
        if self._json and now - self._told >= _PATIENCE:
            self._told = now
            self._say()
        elif self._bar and now - self._since >= _PATIENCE:
            self._draw()

    def _say(self) -> None:
        import json

        told = {"type": "progress", "path": terminal(self.name), "done": self.done, "total": self.total}
        print(json.dumps(told), file=sys.stderr, flush=True)

    def _draw(self) -> None:
        if self._shown is None:
            from rich import progress as bars
            from rich.console import Console
            from rich.markup import escape

            columns = ("{task.description}", bars.BarColumn(), bars.DownloadColumn(), bars.TransferSpeedColumn())
            console = Console(stderr=True)
            self._shown = bars.Progress(*columns, bars.TimeRemainingColumn(), console=console, transient=True)
            self._task = self._shown.add_task(escape(terminal(self.name)), total=self.total)
            self._shown.start()
        assert self._task is not None
        self._shown.update(self._task, completed=self.done)
