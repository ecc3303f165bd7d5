"""The inputs of a command: paths, folders with -r, lists with --files0-from."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import IO

from imgtool.cli.streams import standard_input
from imgtool.errors import InputError, UsageError


def inputs(
    paths: list[str],
    recursive: bool,
    files0_from: str | None,
    without: Collection[str] = (),
    *,
    piped: bool = True,
) -> Iterator[str]:
    """Every input in order; folders are walked in the order of their names, links to folders are not followed.

    `without`: files and folders that are left out where a walk comes by them. `piped`: standard input can be one.
    """
    if files0_from is not None:
        if paths:
            raise UsageError("give paths or --files0-from, not both")
        paths = _names(files0_from)
    elif not paths:
        raise UsageError(f"no input: name a file{', or - for standard input' if piped else ''}")
    left_out = frozenset(map(os.path.realpath, without))
    for path in paths:
        if recursive and path != "-" and os.path.isdir(path):
            yield from _below(path, left_out)
        else:
            yield path


def readable(path: str) -> str | IO[bytes]:
    """An input as the library takes it: a path as it is, for `-` standard input. Raises InputError."""
    return standard_input() if path == "-" else path


def listed(place: str) -> bytes:
    """A list that the user names, whole; `-` is standard input. Raises InputError."""
    try:
        if place == "-":
            return standard_input().read()
        with open(place, "rb") as file:
            return file.read()
    except OSError as error:
        raise InputError(f"{place}: {error.strerror}") from error


def _names(place: str) -> list[str]:
    return [os.fsdecode(name) for name in listed(place).split(b"\0") if name]


def _below(folder: str, left_out: frozenset[str]) -> Iterator[str]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _among(os.path.join(here, name), left_out))
        for name in sorted(names):
            path = os.path.join(here, name)
            if os.path.isfile(path) and not _among(path, left_out):
                yield path


def _among(path: str, left_out: frozenset[str]) -> bool:
    return bool(left_out) and os.path.realpath(path) in left_out
