"""A policy from TOML text, checked as a whole: every fault is told with its place in the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from imgtool.errors import UsageError
from imgtool.policy import names
from imgtool.policy.builtin import builtin
from imgtool.policy.facts import check_condition
from imgtool.policy.policy import FAILED, LEVELS, REFERENCE_KINDS, THRESHOLDS, Policy
from imgtool.units import parse_size

#: What stands for "everything is allowed" where a list or a number could.
ANY = "any"

#: The base that changes nothing: what `Policy` itself begins with.
NOTHING = "none"

Reader = Callable[[object], object]


def load_policy(text: str, place: str) -> Policy:
    """The policy that a TOML text says; `place` is named in errors. Raises UsageError with every fault at once.

    `base` names the built-in policy that the text changes ("default" where it does not say, "none" for one that
    allows everything); severities are added to the base's own.
    """
    import tomllib

    try:
        told: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{place}: not TOML: {error}") from None
    faults: list[str] = []
    changes: dict[str, Any] = {}
    for key, value in told.items():
        if key in SECTIONS:
            _section(key, value, changes, faults)
        elif key in _TOP:
            _take(key, key, value, _TOP[key], changes, faults)
        elif key != "base":
            faults.append(_unknown(key, (*_TOP, "base", *SECTIONS)))
    base = _base(told.get("base", "default"), faults)
    changes.setdefault("name", _stem(place))
    if "severities" in changes:
        own = dict(changes["severities"])
        kept = tuple(pair for pair in base.severities if pair[0] not in own)
        changes["severities"] = (*kept, *changes["severities"])
    if faults:
        raise UsageError("\n".join(f"{place}: {fault}" for fault in faults))
    return base._replace(**changes)


def _base(name: object, faults: list[str]) -> Policy:
    try:
        return Policy("none") if name == NOTHING else builtin(_text(name))
    except UsageError as error:
        faults.append(f"base: {error}")
        return builtin("default")


def _stem(place: str) -> str:
    return place.rpartition("/")[2].removesuffix(".toml")


def _section(section: str, told: object, changes: dict[str, Any], faults: list[str]) -> None:
    if not isinstance(told, dict):
        faults.append(f"{section}: a table is needed, not {_kind(told)}")
        return
    if section == "severities":
        _take("severities", "severities", told, _severities, changes, faults)
        return
    keys = SECTIONS[section]
    for key, value in told.items():
        if key in keys:
            field, reader = keys[key]
            _take(f"{section}.{key}", field, value, reader, changes, faults)
        else:
            faults.append(_unknown(f"{section}.{key}", tuple(f"{section}.{known}" for known in keys)))


def _take(where: str, field: str, value: object, reader: Reader, changes: dict[str, Any], faults: list[str]) -> None:
    try:
        changes[field] = reader(value)
    except UsageError as error:
        faults.append(f"{where}: {error}")


def _unknown(key: str, known: tuple[str, ...]) -> str:
    import difflib

    close = difflib.get_close_matches(key, known, 1)
    return f"unknown key {key!r}" + (f" (did you mean {close[0]!r}?)" if close else f" (one of {', '.join(known)})")


def _kind(value: object) -> str:
    kinds = {
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a fraction",
        list: "a list",
        dict: "a table",
    }
    return kinds.get(type(value), type(value).__name__)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f"text is needed, not {_kind(value)}")
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"true or false is needed, not {_kind(value)}")
    return value


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"a whole number from 0 is needed, not {value if isinstance(value, int) else _kind(value)}")
    return value


def _depth(value: object) -> int:
    if not 1 <= _number(value) <= 16:
        raise UsageError("from 1 to 16")
    return _number(value)


def _ratio(value: object) -> int | None:
    return None if value == ANY else _number(value)


def _bytes(value: object) -> int | None:
    """A ceiling in bytes: a number, a size as people type it, or "any"."""
    if value == ANY:
        return None
    return parse_size(value) if isinstance(value, str) else _number(value)


def _one_of(known: tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if _text(value) not in known:
            raise UsageError(f"one of {', '.join(known)} is needed, not {value!r}")
        return str(value)

    return read


def _list(reader: Callable[[str], str | None]) -> Callable[[object], tuple[str, ...]]:
    """A list of texts, each given to `reader`, which may put another name for it."""

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise UsageError(f"a list is needed, not {_kind(value)}")
        return tuple(dict.fromkeys(reader(_text(item)) or item for item in value))

    return read


def _list_or_any(reader: Callable[[str], str | None]) -> Callable[[object], tuple[str, ...] | None]:
    def read(value: object) -> tuple[str, ...] | None:
        return None if value == ANY else _list(reader)(value)

    return read


def _same(name: str) -> str:
    return name


def _algorithm(name: str) -> str:
    from imgtool.ingest.digests import algorithm

    return algorithm(name)


def known_selector(selector: str) -> None:
    """Raises UsageError where a selector names no rule that was ever published."""
    from imgtool.findings.ledger import LEDGER
    from imgtool.policy.policy import selects

    if not selector or not any(selects(selector, line.code, line.name) for line in LEDGER):
        raise UsageError(f"no rule is called {selector!r} (a code, the beginning of codes, or a rule's name)")


def _severities(value: object) -> tuple[tuple[str, str], ...]:
    assert isinstance(value, Mapping)
    level = _one_of(LEVELS)
    pairs = []
    for selector, told in value.items():
        known_selector(selector)
        if selector.startswith(FAILED):
            raise UsageError(f"{selector}: a check that failed always rejects")
        try:
            pairs.append((selector, level(told)))
        except UsageError as error:
            raise UsageError(f"{selector}: {error}") from None
    return tuple(pairs)


_TOP: dict[str, Reader] = {"name": _text, "title": _text, "fail_on": _one_of(THRESHOLDS)}

#: Section → key → the field of Policy that it sets, and what reads it.
SECTIONS: dict[str, dict[str, tuple[str, Reader]]] = {
    "formats": {
        "disk": ("disk_formats", _list_or_any(names.disk_format)),
        "container": ("container_formats", _list_or_any(names.container_format)),
        "inspected": ("inspected", _list_or_any(names.container_format)),
    },
    "content": {
        "encrypted": ("encrypted", _switch),
        "incomplete": ("incomplete", _switch),
        "refuse": ("refuse", _list(check_condition)),
        "vmdk_create_types": ("create_types", _list_or_any(_same)),
        "creators": ("creators", _list_or_any(_same)),
    },
    "references": {
        "allow": ("allow_references", _list(_one_of(REFERENCE_KINDS))),
        "follow": ("follow_references", _list(_one_of(REFERENCE_KINDS))),
    },
    "ceilings": {
        "virtual_size": ("virtual_size", _bytes),
        "file_size": ("file_size", _bytes),
        "expansion_ratio": ("expansion_ratio", _ratio),
        "depth": ("depth", _depth),
    },
    "checksums": {"required": ("require_checksums", _list(_algorithm))},
    "severities": {},
}
