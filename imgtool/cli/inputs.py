"""The inputs of a command: paths, folders with -r, lists with --files0-from."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from imgtool.errors import InputError, UsageError


def inputs(paths: list[str], recursive: bool, files0_from: str | None) -> Iterator[str]:
    """Every input in order; folders are walked in the order of their names, links to folders are not followed."""
    if files0_from is not None:
        if paths:
            raise UsageError("give paths or --files0-from, not both")
        paths = _names(files0_from)
    elif not paths:
        raise UsageError("no input: name a file, or - for standard input")
    for path in paths:
        if recursive and path != "-" and os.path.isdir(path):
            yield from _below(path)
        else:
            yield path


def listed(place: str) -> bytes:
    """A list that the user names, whole; `-` is standard input. Raises InputError."""
    try:
        if place == "-":
            return sys.stdin.buffer.read()
        with open(place, "rb") as file:
            return file.read()
    except OSError as error:
        raise InputError(f"{place}: {error.strerror}") from error


def _names(place: str) -> list[str]:
    return [os.fsdecode(name) for name in listed(place).split(b"\0") if name]


def _below(folder: str) -> Iterator[str]:
    for here, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(here, name)
            if os.path.isfile(path):
                yield path
