"""A policy from TOML text, checked as a whole: every fault is told with its place in the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imgtool.errors import UsageError
from imgtool.policy import names, values
from imgtool.policy.builtin import builtin
from imgtool.policy.facts import check_condition
from imgtool.policy.policy import FAILED, LEVELS, REFERENCE_KINDS, THRESHOLDS, Policy

#: The base that changes nothing: what `Policy` itself begins with.
NOTHING = "none"


def load_policy(text: str, place: str) -> Policy:
    """The policy that a TOML text says; `place` is named in errors. Raises UsageError with every fault at once.

    `base` names the built-in policy that the text changes ("default" where it does not say, "none" for one that
    allows everything); severities are added to the base's own.
    """
    import tomllib

    try:
        told: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{place}: not TOML: {error}") from None
    except ValueError:  # of int(), which reads so many digits only
        raise UsageError(f"{place}: not TOML: a number has too many digits") from None
    except RecursionError:
        raise UsageError(f"{place}: not TOML: its values are nested too deeply") from None
    faults: list[str] = []
    changes: dict[str, Any] = {}
    for key, value in told.items():
        if key in SECTIONS:
            _section(key, value, changes, faults)
        elif key in _TOP:
            _take(key, key, value, _TOP[key], changes, faults)
        elif key != "base":
            faults.append(values.unknown_key(key, (*_TOP, "base", *SECTIONS)))
    base = _base(told.get("base", "default"), faults)
    changes.setdefault("name", _stem(place))
    if "severities" in changes:
        own = dict(changes["severities"])
        kept = tuple(pair for pair in base.severities if pair[0] not in own)
        changes["severities"] = (*kept, *changes["severities"])
    if faults:
        raise UsageError(*(f"{place}: {fault}" for fault in faults))
    return base._replace(**changes)


def _base(name: object, faults: list[str]) -> Policy:
    try:
        return Policy("none") if name == NOTHING else builtin(values.text(name))
    except UsageError as error:
        faults.append(f"base: {error}")
        return builtin("default")


def _stem(place: str) -> str:
    return place.rpartition("/")[2].removesuffix(".toml")


def _section(section: str, told: object, changes: dict[str, Any], faults: list[str]) -> None:
    if not isinstance(told, dict):
        faults.append(f"{section}: a table is needed, not {values.kind(told)}")
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
            faults.append(values.unknown_key(f"{section}.{key}", tuple(f"{section}.{known}" for known in keys)))


def _take(
    where: str, field: str, value: object, reader: values.Reader, changes: dict[str, Any], faults: list[str]
) -> None:
    try:
        changes[field] = reader(value)
    except UsageError as error:
        faults.append(f"{where}: {error}")


def _depth(value: object) -> int:
    if not 1 <= values.number(value) <= 16:
        raise UsageError("from 1 to 16")
    return values.number(value)


def _ratio(value: object) -> int | None:
    return None if value == values.ANY else values.number(value)


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
    level = values.one_of(LEVELS)
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


_TOP: dict[str, values.Reader] = {"name": values.text, "title": values.text, "fail_on": values.one_of(THRESHOLDS)}

#: Section → key → the field of Policy that it sets, and what reads it.
SECTIONS: dict[str, dict[str, tuple[str, values.Reader]]] = {
    "formats": {
        "disk": ("disk_formats", values.list_or_any(names.disk_format)),
        "container": ("container_formats", values.list_or_any(names.container_format)),
        "inspected": ("inspected", values.list_or_any(names.container_format)),
    },
    "content": {
        "encrypted": ("encrypted", values.switch),
        "incomplete": ("incomplete", values.switch),
        "refuse": ("refuse", values.list_of(check_condition)),
        "vmdk_create_types": ("create_types", values.list_or_any(_same)),
        "creators": ("creators", values.list_or_any(_same)),
    },
    "references": {
        "allow": ("allow_references", values.list_of(values.one_of(REFERENCE_KINDS))),
        "follow": ("follow_references", values.list_of(values.one_of(REFERENCE_KINDS))),
    },
    "ceilings": {
        "virtual_size": ("virtual_size", values.size_or_any),
        "file_size": ("file_size", values.size_or_any),
        "expansion_ratio": ("expansion_ratio", _ratio),
        "depth": ("depth", _depth),
    },
    "checksums": {"required": ("require_checksums", values.list_of(_algorithm))},
    "severities": {},
}
