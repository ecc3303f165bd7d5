"""Facts of a format by their name, as policies refuse them: "qcow2.extended_l2", "luks.version=2", "a.b.c!=9"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from importlib.util import find_spec

from imgtool.errors import UsageError
from imgtool.formats import FORMATS
from imgtool.model.facts import Facts
from imgtool.model.report import Report

_CONDITION = re.compile(r"([a-z0-9]+)\.([a-z0-9_]+(?:\.[a-z0-9_]+)*)(?:(!?=)(.+))?")

#: Facts that name the program an image was made by.
_CREATORS = ("creator_application", "creator")


def holds(condition: str, report: Report) -> str | None:
    """The value of the fact where the condition holds for a report; None where it does not, or has no such fact."""
    match = _CONDITION.fullmatch(condition)
    if match is None or match[1] != report.format or report.details is None:
        return None
    value: object = report.details
    for name in match[2].split("."):
        value = getattr(value, name, None)
    if value is None:
        return None
    shown = _shown(value)
    if match[3] is None:
        return shown if value else None
    return shown if (shown == match[4]) == (match[3] == "=") else None


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return str(len(value))
    return str(value)


def check_condition(condition: str) -> None:
    """Raises UsageError where a condition is not one, or names a format or fact that there is not."""
    match = _CONDITION.fullmatch(condition)
    if match is None:
        raise UsageError(f"not a condition: {condition!r} (say format.fact, format.fact=value, format.fact!=value)")
    if match[1] not in {entry.name for entry in FORMATS}:
        raise UsageError(f"no such format: {match[1]!r}, in {condition!r}")
    known, name = _facts_of(match[1]), match[2].partition(".")[0]
    if name not in known:
        raise UsageError(f"{match[1]} has no fact {name!r} (it has {', '.join(sorted(known))})")


def _facts_of(name: str) -> set[str]:
    """The names of a format's facts."""
    entry = next(entry for entry in FORMATS if entry.name == name)
    place = entry.reader.partition(":")[0].rpartition(".")[0] + ".facts"
    kinds = vars(import_module(place)).values() if find_spec(place) is not None else ()
    found = {field.name for field in fields(Facts)}
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Facts) and is_dataclass(kind):
            found |= {field.name for field in fields(kind)}
    return found


def creators_of(report: Report) -> Iterator[tuple[str, str]]:
    """The programs that an image says it was made by: the fact's name and its value."""
    for name in _CREATORS:
        value = getattr(report.details, name, None)
        if isinstance(value, str) and value.strip("\0 "):
            yield name, value
