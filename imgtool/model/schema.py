"""JSON Schemas made from the frozen values themselves, so that they cannot drift from what is printed."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal

from imgtool.model.comparison import SCHEMA as COMPARE
from imgtool.model.comparison import Comparison
from imgtool.model.conversion import MEASURE_SCHEMA, Conversion, Measure
from imgtool.model.conversion import SCHEMA as CONVERSION
from imgtool.model.export import SCHEMA as EXPORT
from imgtool.model.export import TRANSFER, Exported, Transfer
from imgtool.model.facts import Facts
from imgtool.model.image import CHANGE, MEMBER, Change, ImageRecord, Member
from imgtool.model.image import SCHEMA as IMAGE
from imgtool.model.instance import FLAVOR_SCHEMA, INSTANCE_SCHEMA, Flavor, InstanceRecord
from imgtool.model.report import SCHEMA as REPORT
from imgtool.model.report import Report
from imgtool.model.upkeep import CATALOG, REPAIR, SCRUB, VERIFICATION, CatalogInfo, Repaired, Scrubbed, Verification
from imgtool.model.verdict import SCHEMA as VERDICT
from imgtool.model.verdict import Verdict

#: Shown only where it was asked for.
_REPORT_OPTIONAL = frozenset({"structures"})

_PLAIN = {int: "integer", str: "string", bool: "boolean", float: "number", bytes: "string"}


def report_schema() -> dict[str, object]:
    """The schema of imgtool.report/1 (JSON Schema 2020-12)."""
    return _schema_of(Report, REPORT, "One input, inspected.", optional=_REPORT_OPTIONAL)


def compare_schema() -> dict[str, object]:
    """The schema of imgtool.compare/1 (JSON Schema 2020-12)."""
    names: dict[str, object] = {"a": {"type": "string"}, "b": {"type": "string"}}
    return _schema_of(Comparison, COMPARE, "Two disks, compared.", more=names)


def verdict_schema() -> dict[str, object]:
    """The schema of imgtool.verdict/1 (JSON Schema 2020-12)."""
    return _schema_of(Verdict, VERDICT, "One input, judged by a policy.")


def conversion_schema() -> dict[str, object]:
    """The schema of imgtool.conversion/1 (JSON Schema 2020-12)."""
    return _schema_of(Conversion, CONVERSION, "One disk, written in another format.")


def measure_schema() -> dict[str, object]:
    """The schema of imgtool.measure/1 (JSON Schema 2020-12)."""
    return _schema_of(Measure, MEASURE_SCHEMA, "How large a target would be.")


def image_schema() -> dict[str, object]:
    """The schema of imgtool.image/1 (JSON Schema 2020-12)."""
    return _schema_of(ImageRecord, IMAGE, "One image of the catalog.")


def member_schema() -> dict[str, object]:
    """The schema of imgtool.member/1 (JSON Schema 2020-12)."""
    return _schema_of(Member, MEMBER, "One member of an image.")


def change_schema() -> dict[str, object]:
    """The schema of imgtool.change/1 (JSON Schema 2020-12)."""
    return _schema_of(Change, CHANGE, "One change of an image's status.")


def verification_schema() -> dict[str, object]:
    """The schema of imgtool.verification/1 (JSON Schema 2020-12)."""
    return _schema_of(Verification, VERIFICATION, "The data of one image, read anew.")


def catalog_schema() -> dict[str, object]:
    """The schema of imgtool.catalog/1 (JSON Schema 2020-12)."""
    return _schema_of(CatalogInfo, CATALOG, "A catalog in numbers.")


def scrub_schema() -> dict[str, object]:
    """The schema of imgtool.scrub/1 (JSON Schema 2020-12)."""
    at: dict[str, object] = {"at": {"type": "string"}}
    return _schema_of(Scrubbed, SCRUB, "What a scrubbing did, and when.", more=at)


def repair_schema() -> dict[str, object]:
    """The schema of imgtool.repair/1 (JSON Schema 2020-12)."""
    return _schema_of(Repaired, REPAIR, "What a repair did, or would do.")


def export_schema() -> dict[str, object]:
    """The schema of imgtool.export/1 (JSON Schema 2020-12)."""
    return _schema_of(Exported, EXPORT, "One image of an export: a line of its manifest.")


def transfer_schema() -> dict[str, object]:
    """The schema of imgtool.transfer/1 (JSON Schema 2020-12)."""
    return _schema_of(Transfer, TRANSFER, "What became of one image of an export or an import.")


def flavor_schema() -> dict[str, object]:
    """The schema of imgtool.flavor/1 (JSON Schema 2020-12)."""
    return _schema_of(Flavor, FLAVOR_SCHEMA, "What an instance can get.")


def instance_schema() -> dict[str, object]:
    """The schema of imgtool.instance/1 (JSON Schema 2020-12)."""
    return _schema_of(InstanceRecord, INSTANCE_SCHEMA, "One instance of the catalog.")


SCHEMAS = {
    "report": report_schema,
    "compare": compare_schema,
    "verdict": verdict_schema,
    "conversion": conversion_schema,
    "measure": measure_schema,
    "image": image_schema,
    "catalog": catalog_schema,
    "verification": verification_schema,
    "scrub": scrub_schema,
    "repair": repair_schema,
    "export": export_schema,
    "transfer": transfer_schema,
    "member": member_schema,
    "change": change_schema,
    "flavor": flavor_schema,
    "instance": instance_schema,
}


def _schema_of(
    kind: type,
    name: str,
    description: str,
    *,
    more: Mapping[str, object] | None = None,
    optional: frozenset[str] = frozenset(),
) -> dict[str, object]:
    """The schema of a top-level object: `more` are fields beside the value's own, `optional` may be absent."""
    definitions: dict[str, object] = {"Report": {"$ref": "#"}} if kind is Report else {}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": name,
        "title": name,
        **_named(kind, name, definitions, more or {}, optional),
        "description": f"{description} Sizes and offsets in bytes. Fields may be added within /1.",
        "$defs": definitions,
    }


def _named(
    kind: type, name: str, definitions: dict[str, object], more: Mapping[str, object], optional: frozenset[str]
) -> dict[str, object]:
    """An object that says in `schema` which kind it is."""
    body = _object(kind, definitions)
    properties = {**more, **typing.cast("dict[str, object]", body["properties"])}
    return {
        **body,
        "properties": {"schema": {"const": name}, **properties},
        "required": ["schema", *(field for field in properties if field not in optional)],
    }


def _object(kind: type, definitions: dict[str, object]) -> dict[str, object]:
    hints = typing.get_type_hints(kind)
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else list(getattr(kind, "_fields", ()))
    return {
        "type": "object",
        "description": " ".join((kind.__doc__ or "").split()),
        "properties": {name: _schema(hints[name], definitions) for name in names},
        "required": names,
    }


def _schema(hint: Any, definitions: dict[str, object]) -> dict[str, object]:
    if hint is type(None):
        return {"type": "null"}
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if hint is object:
        return {}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(argument, definitions) for argument in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    if hint is Facts:
        return {"type": "object", "description": "Facts of the format; see the format's page."}
    return _reference(hint, definitions)


def _reference(kind: type, definitions: dict[str, object]) -> dict[str, object]:
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}
        if kind is Report:
            definitions["Report"] = _named(kind, REPORT, definitions, {}, _REPORT_OPTIONAL)
        else:
            definitions[kind.__name__] = _object(kind, definitions)
    return {"$ref": f"#/$defs/{kind.__name__}"}
