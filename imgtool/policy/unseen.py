"""Which rules did not see what they look at: structures of a stream that were not kept, what lies in files that
were not followed, what is behind a key. Their codes come from the ledger; no rule is loaded for it."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.containers import CONTAINERS
from imgtool.detect.registry import Entry
from imgtool.formats import FORMATS
from imgtool.model.report import Report

#: Findings that say so themselves: what was not read, members that were not looked into, not decoded whole.
NOT_READ, TOO_DEEP, NOT_WHOLE = "IMG007", "IMG202", "ZIP007"

#: Findings that say which digests were not compared → the rules that would have been.
NOT_VERIFIED = {"OVA311": ("OVA306",), "DKR305": ("DKR302", "DKR303")}

_VOLUMES = "imgtool.volumes"

#: The rules about where an image ends, which need its tables.
_ENDS = "imgtool.inspection.checks.ends"


def unseen(report: Report, followed: bool = False) -> tuple[bool, tuple[str, ...]]:
    """Whether a report is incomplete, and the codes of the rules that did not see everything they look at.

    `followed`: what the image refers to was opened.
    """
    codes = list(_codes(report, followed))
    told = {finding.code for one in _all(report) for finding in one.findings}
    return bool(codes) or bool(told & {NOT_READ, TOO_DEEP, NOT_WHOLE}), tuple(sorted(set(codes)))


def _all(report: Report) -> Iterator[Report]:
    yield report
    for member in report.members:
        yield from _all(member)


def _codes(report: Report, followed: bool) -> Iterator[str]:
    for one in _all(report):
        entry = entry_of(one)
        fields = [finding.field or "" for finding in one.findings if finding.code == NOT_READ]
        if fields and entry is not None:
            yield from header_codes(entry)
        for finding in one.findings:
            yield from NOT_VERIFIED.get(finding.code, ())
        hidden = one.encrypted or (one.references and not followed)
        if hidden or fields:
            yield from (code for code, _ in _published(_VOLUMES))


def entry_of(report: Report) -> Entry | None:
    """The registry's row of what a report is called."""
    name = report.container_format
    rows = CONTAINERS if name not in ("bare", "aki", "ari", None) else FORMATS
    wanted = name if rows is CONTAINERS else report.format
    return next((entry for entry in rows if entry.name == wanted), None)


def header_codes(entry: Entry) -> Iterator[str]:
    """The codes of a registry row's rules that need no table."""
    tables = _module(entry.table_checks)
    yield from (code for code, place in _published(_module(entry.checks)) if not tables or not _is_in(place, tables))


def table_codes(report: Report) -> tuple[str, ...]:
    """The codes of the rules over tables, of the formats of a report and of its members."""
    entries = [entry_of(one) for one in _all(report)]
    places = [_module(entry.table_checks) for entry in entries if entry is not None and entry in FORMATS]
    return tuple(sorted({code for place in (*places, _ENDS) for code, _ in _published(place)}))


def _module(place: str | None) -> str:
    """The module that a registry names as "module:RULES"; empty for none."""
    return place.partition(":")[0] if place else ""


def _is_in(place: str, module: str) -> bool:
    return place.startswith((f"{module}:", f"{module}."))


def _published(module: str) -> Iterator[tuple[str, str]]:
    """Codes and places of the rules in a module, or below it."""
    from imgtool.findings.ledger import LEDGER

    yield from ((line.code, line.place) for line in LEDGER if module and _is_in(line.place, module))
