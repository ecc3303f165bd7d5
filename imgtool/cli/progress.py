"""Progress on stderr: bars when a terminal waits longer than a second, or JSON lines for programs."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from imgtool.errors import UsageError
from imgtool.render.escape import terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PATIENCE = 1.0  #: seconds before bars appear, and between two JSON lines of one input


class _Line:
    """One input: what is done of it, and when that was last told."""

    __slots__ = ("done", "name", "task", "told", "total")

    def __init__(self, name: str, total: int | None) -> None:
        self.name = name
        self.total = total
        self.done = 0
        self.told = time.monotonic()
        self.task: TaskID | None = None


class Board:
    """Counts bytes of several inputs, told from several threads. `how`: "auto", "json" or "none". A context."""

    def __init__(self, files: int, how: str, quiet: bool) -> None:
        if how not in ("auto", "json", "none"):
            raise UsageError(f"--progress is auto, json or none, not {how!r}")
        self._json = how == "json"
        self._bars = how == "auto" and not quiet and sys.stderr.isatty()
        self._files = files
        self._ended = 0
        self._since = time.monotonic()
        self._lock = threading.Lock()
        self._lines: dict[object, _Line] = {}
        self._shown: Progress | None = None
        self._all: TaskID | None = None

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown.stop()

    def begin(self, key: object, name: str, total: int | None) -> None:
        """An input begins; `total` are the bytes that will go by."""
        with self._lock:
            self._lines[key] = _Line(name, total)

    def count(self, key: object, count: int) -> None:
        """`count` bytes of an input went by."""
        line = self._lines.get(key)
        if line is None or not (self._json or self._bars):
            return
        with self._lock:
            line.done += count
            now = time.monotonic()
            if self._json and now - line.told >= _PATIENCE:
                line.told = now
                self._say(line)
            elif self._bars and now - self._since >= _PATIENCE:
                self._draw(line)

    def end(self, key: object) -> None:
        """An input is done, or failed; of several each is told of in JSON, however short it was."""
        with self._lock:
            line = self._lines.pop(key, None)
            self._ended += 1
            if self._json and self._files > 1 and line is not None:
                self._say(line)
            if self._shown is not None:
                if line is not None and line.task is not None:
                    self._shown.remove_task(line.task)
                if self._all is not None:
                    self._shown.update(self._all, completed=self._ended)

    def _say(self, line: _Line) -> None:
        import json

        told = {"type": "progress", "path": terminal(line.name), "done": line.done, "total": line.total}
        if self._files > 1:
            told |= {"files_done": self._ended, "files": self._files}
        print(json.dumps(told), file=sys.stderr, flush=True)

    def _draw(self, line: _Line) -> None:
        from rich.markup import escape

        shown = self._started()
        if line.task is None:
            line.task = shown.add_task(escape(terminal(line.name)), total=line.total)
        shown.update(line.task, completed=line.done)

    def _started(self) -> Progress:
        if self._shown is None:
            from rich import progress as bars
            from rich.console import Console

            alone = (bars.DownloadColumn(), bars.TransferSpeedColumn())
            told = (bars.TaskProgressColumn(),) if self._files > 1 else alone  # the bar of all counts files
            columns = ("{task.description}", bars.BarColumn(), *told, bars.TimeRemainingColumn())
            self._shown = bars.Progress(*columns, console=Console(stderr=True), transient=True)
            if self._files > 1:
                self._all = self._shown.add_task(f"{self._files} files", total=self._files, completed=self._ended)
            self._shown.start()
        return self._shown


class Meter:
    """The progress of one input: a board of one line, told by calling it. A context."""

    def __init__(self, name: str, total: int | None, how: str, quiet: bool) -> None:
        self._board = Board(1, how, quiet)
        self._board.begin(self, name, total)

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._board.__exit__(kind, error, trace)

    def __call__(self, count: int) -> None:
        self._board.count(self, count)
