"""Values as they come out of a TOML text, each read as what a key needs. Every reader raises UsageError."""

from __future__ import annotations

from collections.abc import Callable

from imgtool.errors import UsageError
from imgtool.units import parse_size

Reader = Callable[[object], object]

#: What stands for "everything is allowed" where a list or a number could.
ANY = "any"


def unknown_key(key: str, known: tuple[str, ...]) -> str:
    """What is said of a key that there is not, with the known one that is closest."""
    import difflib

    close = difflib.get_close_matches(key, known, 1)
    return f"unknown key {key!r}" + (f" (did you mean {close[0]!r}?)" if close else f" (one of {', '.join(known)})")


def kind(value: object) -> str:
    """What a value is, for messages."""
    kinds = {
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a fraction",
        list: "a list",
        dict: "a table",
    }
    return kinds.get(type(value), type(value).__name__)


def text(value: object) -> str:
    """Text that is not empty."""
    if not isinstance(value, str) or not value:
        raise UsageError(f"text is needed, not {kind(value) if value != '' else 'an empty one'}")
    return value


def switch(value: object) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise UsageError(f"true or false is needed, not {kind(value)}")
    return value


#: The largest number that a TOML text must be able to have. Reference: TOML 1.0, "Integer".
MOST = (1 << 63) - 1


def number(value: object) -> int:
    """A whole number from 0 to 2^63 - 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"a whole number from 0 is needed, not {_told(value)}")
    if value > MOST:
        raise UsageError(f"a number of at most {MOST} is needed")
    return value


def _told(value: object) -> str:
    """A wrong value for a message: the digits of a number that has few, else its kind."""
    return str(value) if isinstance(value, int) and abs(value) <= MOST else kind(value)


def one_of(known: tuple[str, ...]) -> Callable[[object], str]:
    """One of a few words."""

    def read(value: object) -> str:
        if text(value) not in known:
            raise UsageError(f"one of {', '.join(known)} is needed, not {value!r}")
        return str(value)

    return read


def list_of(reader: Callable[[str], str | None]) -> Callable[[object], tuple[str, ...]]:
    """A list of texts, each given to `reader`, which may put another name for it."""

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise UsageError(f"a list is needed, not {kind(value)}")
        return tuple(dict.fromkeys(reader(text(item)) or item for item in value))

    return read


def list_or_any(reader: Callable[[str], str | None]) -> Callable[[object], tuple[str, ...] | None]:
    """A list of texts, or "any": None."""

    def read(value: object) -> tuple[str, ...] | None:
        return None if value == ANY else list_of(reader)(value)

    return read


def size_or_any(value: object) -> int | None:
    """A ceiling in bytes: a number, a size as people type it, or "any": None."""
    if value == ANY:
        return None
    return parse_size(value) if isinstance(value, str) else number(value)
