"""Conversions and measures as text and as JSON lines (schemas imgtool.conversion/1, measure/1). No I/O.

Text is made from the JSON objects, so that what an earlier run wrote into its journal is shown as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from imgtool.render.escape import terminal
from imgtool.render.tables import table
from imgtool.units import human_size

Told = Mapping[str, Any]


def json_line(told: Told, *, earlier: bool = False) -> str:
    """One object on one line; `earlier`: it was done by a run before this one."""
    import json

    return json.dumps({**told, "resumed": True} if earlier else dict(told)) + "\n"


def text(told: Told, *, earlier: bool = False) -> str:
    """One conversion, for people: what was written, how large, by what, proved or not, and what was lost."""
    lines = [f"{_words(told, 'path')} → {_words(told, 'target')}"]
    rows = [
        ("format", f"{_source(told)} → {_words(told, 'format')}{_options(told)}"),
        ("virtual size", _size(told.get("virtual_size"))),
        ("file", _file(told)),
        ("engine", _engine(told, earlier)),
        ("content", _content(told)),
    ]
    lines += [f"  {name:<13} {value}" for name, value in rows]
    lines += _findings(told.get("losses"), "lost")
    lines += _findings(told.get("findings"), "found")
    return "\n".join(lines) + "\n"


def measured(told: Told) -> str:
    """One measure, for people: how large the target would be, and what would be lost."""
    size = human_size(int(told.get("required") or 0))
    about = f"{told.get('required')} bytes ({size})" + ("" if told.get("exact") else ", an estimate")
    target = f" → {_words(told, 'target')}" if told.get("target") else ""
    lines = [f"{_words(told, 'path')}{target}"]
    rows = [
        ("format", f"{_source(told)} → {_words(told, 'format')}{_options(told)}"),
        ("virtual size", _size(told.get("virtual_size"))),
        ("file", about),
        ("engine", _words(told, "engine")),
    ]
    lines += [f"  {name:<13} {value}" for name, value in rows]
    lines += _findings(told.get("losses"), "lost")
    return "\n".join(lines) + "\n"


def summary(done: Iterable[tuple[Told, bool]], failed: Iterable[tuple[str, str]]) -> str:
    """Many conversions as one table: those that are done (True: by an earlier run), then those that failed; and how
    much was written now."""
    rows: list[tuple[str, ...]] = [("source", "target", "format", "virtual", "file", "seconds", "content")]
    conversions = list(done)
    for told, earlier in conversions:
        rows.append(
            (
                _words(told, "path") + (f" ({_words(told, 'member')})" if told.get("member") else ""),
                _words(told, "target"),
                _words(told, "format"),
                human_size(int(told.get("virtual_size") or 0)),
                human_size(int(told.get("file_size") or 0)),
                "earlier" if earlier else f"{float(told.get('seconds') or 0):.1f}",
                "proved" if told.get("verified") else "not compared",
            )
        )
    failures = list(failed)
    lines = table(rows).splitlines() if conversions else []
    lines += [
        f"failed: {terminal(message if message.startswith(path) else f'{path}: {message}')}"
        for path, message in failures
    ]
    plural = "" if len(conversions) == 1 else "s"
    written = human_size(_written(conversions))
    lines.append(f"{len(conversions)} conversion{plural} done, {len(failures)} failed; {written} written")
    return "\n".join(lines) + "\n"


def options_table(title: str, options: Iterable[tuple[str, str, str, tuple[str, ...]]]) -> str:
    """Creation options of a target: (name, default, meaning, choices) each."""
    rows = [("option", "default", "")]
    for name, default, meaning, choices in options:
        named = ", ".join(one for one in choices if one)
        rows.append((name, default or "-", f"{meaning} ({named})" if named else meaning))
    return "\n".join([f"{title}:", *(f"  {line}" for line in table(rows).splitlines())]) + "\n"


def summary_line(done: Iterable[tuple[Told, bool]], failed: Iterable[tuple[str, str]]) -> str:
    """The same as one JSON object of the type "summary": counts, bytes written now, and who failed."""
    import json

    conversions, failures = list(done), list(failed)
    told = {
        "type": "summary",
        "done": len(conversions),
        "resumed": sum(earlier for _, earlier in conversions),
        "failed": len(failures),
        "written": _written(conversions),
        "failures": [terminal(path) for path, _ in failures],
    }
    return json.dumps(told) + "\n"


def _written(conversions: Iterable[tuple[Told, bool]]) -> int:
    """Bytes of what this run wrote, not an earlier one."""
    return sum(int(told.get("file_size") or 0) for told, earlier in conversions if not earlier)


def _words(told: Told, name: str) -> str:
    return terminal(str(told.get(name) or ""))


def _source(told: Told) -> str:
    name = _words(told, "source_format") or "unknown"
    container = _words(told, "container")
    member = _words(told, "member")
    around = f" in {container}" if container not in ("", "bare") else ""
    return f"{name}{around}{f' ({member})' if member else ''}"


#: Options that say what kind of target it is; the others are in the JSON object.
_TELLING = ("subformat", "static", "compress", "cluster_size", "block_size", "preallocation")


def _options(told: Told) -> str:
    options = told.get("options") or {}
    kept = [
        (name, options[name]) for name in _TELLING if options.get(name) not in (None, False, "", "off", "none", 0)
    ]
    shown = [f"{terminal(name)}={terminal(_option(value))}" for name, value in kept]
    return f" ({', '.join(shown)})" if shown else ""


def _option(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return human_size(value).replace(" ", "") if isinstance(value, int) and value >= 512 else str(value)


def _size(size: object) -> str:
    return f"{human_size(size)} ({size} bytes)" if isinstance(size, int) else "unknown"


def _file(told: Told) -> str:
    size, allocated = told.get("file_size"), told.get("allocated")
    taken = f", {human_size(allocated)} on disk" if isinstance(allocated, int) else ""
    return f"{human_size(size)}{taken}" if isinstance(size, int) else "unknown"


def _engine(told: Told, earlier: bool) -> str:
    spent = "by an earlier run" if earlier else f"{float(told.get('seconds') or 0):.1f} s"
    return f"{_words(told, 'engine')}, {spent}"


def _content(told: Told) -> str:
    if not told.get("verified"):
        return "not compared"
    return f"proved: blocks {_words(told, 'digest')}"


def _findings(found: object, what: str) -> list[str]:
    if not isinstance(found, (list, tuple)):
        return []
    return [
        f"  {what:<13} {terminal(str(one.get('code')))} {terminal(str(one.get('name')))}: "
        f"{terminal(str(one.get('message')))}"
        for one in found
        if isinstance(one, Mapping)
    ]
