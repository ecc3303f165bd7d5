"""A deep check as text and as JSON (schema imgtool.check/1). No I/O."""

from __future__ import annotations

from imgtool.model.jsonable import jsonable, named_value
from imgtool.model.tables import SCHEMA, Check, Totals
from imgtool.render.escape import terminal
from imgtool.render.text import findings_text
from imgtool.units import human_size


def json_line(result: Check) -> str:
    """One object on one line."""
    import json

    body = jsonable(result)
    assert isinstance(body, dict)
    return json.dumps({"schema": SCHEMA, **named_value("path", result.path), **body}) + "\n"


def text(result: Check, *, colour: bool = False) -> str:
    """For people: the totals, then what was found."""
    head = "clean" if result.clean else "not clean"
    lines = [f"{terminal(result.path)}: {result.format or 'unknown'}, {head}"]
    if result.totals is not None:
        lines += (f"  {name:<22}{value}" for name, value in _totals(result.totals))
    for finding in result.findings:
        lines += findings_text([finding], colour=colour, inside=finding.member or "")
    return "\n".join(lines) + "\n"


def _totals(totals: Totals) -> list[tuple[str, str]]:
    rows = []
    if totals.total_clusters is not None and totals.allocated_clusters is not None:
        share = 100 * totals.allocated_clusters / max(1, totals.total_clusters)
        rows.append(("allocated", f"{totals.allocated_clusters} of {totals.total_clusters} clusters ({share:.3g} %)"))
    if totals.fragmented_clusters is not None:
        share = 100 * totals.fragmented_clusters / max(1, totals.allocated_clusters or 0)
        rows.append(("fragmented", f"{totals.fragmented_clusters} ({share:.3g} %)"))
    if totals.compressed_clusters:
        rows.append(("compressed", str(totals.compressed_clusters)))
    if totals.image_end_offset is not None:
        rows.append(("image ends at", f"{totals.image_end_offset} ({human_size(totals.image_end_offset)})"))
    for name in ("leaks", "corruptions", "check_errors"):
        rows.append((name.replace("_", " "), str(getattr(totals, name))))
    return rows
