"""A comparison of two disks as text and as JSON (schema imgtool.compare/1). No I/O."""

from __future__ import annotations

from imgtool.model.comparison import SCHEMA, Comparison
from imgtool.model.jsonable import jsonable, named_value
from imgtool.render.escape import terminal
from imgtool.units import human_size


def json_line(first: str, second: str, result: Comparison) -> str:
    """One object on one line."""
    import json

    body = jsonable(result)
    assert isinstance(body, dict)
    return json.dumps({"schema": SCHEMA, **named_value("a", first), **named_value("b", second), **body}) + "\n"


def text(first: str, second: str, result: Comparison) -> str:
    """For people: the answer, then every differing range."""
    names = f"{terminal(first)} and {terminal(second)}"
    if result.identical:
        return f"{names}: the same {human_size(result.sizes[0])} for a guest\n"
    lines = [f"{names}: differ"]
    if result.sizes[0] != result.sizes[1]:
        lines.append(f"  size  {result.sizes[0]} bytes against {result.sizes[1]}")
    if result.ranges:
        plural = "" if result.ranges == 1 else "s"
        lines.append(f"  {human_size(result.differing)} in {result.ranges} range{plural}:")
    lines += (f"  {difference.start:>16} {difference.length:>12}" for difference in result.differences)
    if result.ranges > len(result.differences):
        lines.append(f"  and {result.ranges - len(result.differences)} more")
    return "\n".join(lines) + "\n"
