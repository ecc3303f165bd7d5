"""Creation options of a target: a table for each format, and what was typed checked against it before work starts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from imgtool.errors import UsageError
from imgtool.units import is_power_of_two, parse_size

#: What an option's value is, once it was checked: sizes and numbers are int, flags bool.
Value = int | bool | str


class Option(NamedTuple):
    """One option of a target. `kind`: a size as people type it (bytes; `power`: of two only), a number, a choice, a
    flag (on | off), or text. `default` is spelled as it would be typed."""

    name: str
    kind: Literal["size", "number", "choice", "flag", "text"]
    default: str
    meaning: str
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = (1 << 63) - 1
    power: bool = False


_FLAGS = {"on": True, "yes": True, "true": True, "1": True, "off": False, "no": False, "false": False, "0": False}


def checked(table: Iterable[Option], given: Mapping[str, str], target: str) -> dict[str, Value]:
    """A value for each option of `table`: what was given, else the default. Raises UsageError for one that there is
    not, and for a value that cannot be."""
    options = {option.name: option for option in table}
    for name in given:
        if name not in options:
            near = difflib.get_close_matches(name, options, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"{target} has no option {name!r}{hint} (there are: {', '.join(options) or 'none'})")
    return {name: _value(option, given.get(name, option.default), target) for name, option in options.items()}


def _value(option: Option, text: str, target: str) -> Value:
    what = f"{target} option {option.name}"
    if option.kind == "text":
        return text
    if option.kind == "choice":
        for choice in option.choices:
            if choice.lower() == text.strip().lower():
                return choice
        raise UsageError(f"{what} is one of {', '.join(option.choices)}, not {text!r}")
    if option.kind == "flag":
        if text.strip().lower() not in _FLAGS:
            raise UsageError(f"{what} is on or off, not {text!r}")
        return _FLAGS[text.strip().lower()]
    return _number(option, text, what)


def _number(option: Option, text: str, what: str) -> int:
    if option.kind == "size":
        value = parse_size(text)
    else:
        try:
            value = int(text)
        except ValueError:
            raise UsageError(f"{what} is a number, not {text!r}") from None
    if not option.least <= value <= option.most or (option.power and not is_power_of_two(value)):
        power = "a power of two " if option.power else ""
        raise UsageError(f"{what} is {power}from {option.least} to {option.most}, not {text!r}")
    return value
