"""The standard streams: those that are closed, and an output that cannot be written."""

from __future__ import annotations

import io
import os
import sys
from typing import IO, BinaryIO, cast

from imgtool.errors import InputError, OutputError


class _Output(io.FileIO):
    """Standard output. What it does not take is a failure to write, and no bug of whoever writes."""

    def write(self, data: object, /) -> int:
        """As of any file. Raises OutputError, BrokenPipeError where the reader went away."""
        try:
            return super().write(data)  # type: ignore[arg-type] # whatever a buffer is
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"standard output: {error.strerror}") from error


def stand() -> None:
    """Have three standard streams, that no file which is opened later becomes one of them.

    Closed standard output fails when it is written; what would be told on closed standard error goes nowhere.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest number that is free
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    was = sys.stdout
    raw = _Output(1, "wb", closefd=False)
    at_once = bool(getattr(was, "write_through", False))
    sys.stdout = io.TextIOWrapper(
        cast("BinaryIO", raw if at_once else io.BufferedWriter(raw)),
        encoding="utf-8" if was is None else was.encoding,
        errors="backslashreplace",
        line_buffering=raw.isatty(),
        write_through=at_once,
    )
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")


def standard_input() -> IO[bytes]:
    """The bytes that come in, unbuffered. Raises InputError where it is closed."""
    if sys.stdin is None:
        raise InputError("standard input is closed")
    return cast("IO[bytes]", getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))


def let_go() -> None:
    """Send what standard output did not take nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
