"""Frozen values as plain JSON values.

Bytes become hex. A string that was not UTF-8 in the file is given with U+FFFD, and exactly under
`<key>_b64`. Fields that every Facts has are not repeated in `details`: the report itself carries them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from imgtool.model.facts import Facts
from imgtool.model.report import SCHEMA, Report

if TYPE_CHECKING:
    from imgtool.model.verdict import Verdict


def jsonable(value: object) -> object:
    """`value` as JSON values: dict, list, str, int, float, bool, None."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Facts):
        return _object(value, details_names(value))
    if is_dataclass(value):
        return _object(value, _names(_kind(value)))
    if isinstance(value, Mapping):
        return _pairs((str(key), item) for key, item in value.items())
    names = getattr(value, "_fields", None)
    if names is not None:
        return _object(value, names)
    if isinstance(value, (tuple, list, frozenset, set)):
        return [jsonable(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    raise TypeError(f"no JSON form for {type(value).__name__}")


def report_object(report: Report) -> dict[str, object]:
    """The JSON object of a report; `schema` first, annotated structures only where they were asked for."""
    body = _object(report, _names(Report))
    if not report.structures:
        body.pop("structures")
    body["members"] = [report_object(member) for member in report.members]
    return {"schema": SCHEMA, **body}


def verdict_object(verdict: Verdict) -> dict[str, object]:
    """The JSON object of a verdict; `schema` first, the report with its own."""
    from imgtool.model.verdict import SCHEMA as VERDICT

    body = _object(verdict, tuple(name for name in verdict._fields if name != "report"))
    return {"schema": VERDICT, **body, "report": report_object(verdict.report)}


def value_object(value: Any, schema: str) -> dict[str, object]:
    """The JSON object of a NamedTuple that is printed by itself; `schema` first."""
    return {"schema": schema, **_object(value, value._fields)}


def named_value(name: str, value: str) -> dict[str, object]:
    """`{name: value}`, with the exact bytes beside it under `<name>_b64` where `value` is not UTF-8."""
    return _pairs([(name, value)])


def _kind(value: object) -> Any:
    return type(value)


def details_names(facts: Facts) -> tuple[str, ...]:
    """The names of facts that `details` shows: the format's own, without those every report has."""
    return _details_names(_kind(facts))


@cache
def _details_names(kind: Any) -> tuple[str, ...]:
    hidden = {name for base in kind.__mro__ if "HIDDEN" in vars(base) for name in vars(base)["HIDDEN"]}
    common = set(_names(Facts)) | hidden
    return tuple(name for name in _names(kind) if name not in common)


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _object(value: object, names: tuple[str, ...]) -> dict[str, object]:
    return _pairs((name, getattr(value, name)) for name in names)


def _pairs(items: Iterable[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for raw_key, value in items:
        key = _clean(raw_key)
        result[key] = jsonable(value)
        if isinstance(value, str) and result[key] != value:
            import base64

            result[f"{key}_b64"] = base64.b64encode(_raw(value)).decode("ascii")
    return result


def _clean(value: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return _raw(value).decode("utf-8", "replace")
    return value


def _raw(value: str) -> bytes:
    """The bytes that a string was in the file; of surrogates that stand for no byte (JSON has them), their own."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")
