"""Verdicts for people: accepted or rejected, and each finding with where, what, and what to do. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from imgtool.errors import InputError
from imgtool.findings.core import SEVERITIES, Finding
from imgtool.model.verdict import Verdict
from imgtool.render.escape import styled, terminal

#: Findings of one rule that are shown each; the rest is counted.
_EACH = 8


class Kept(NamedTuple):
    """A verdict that was kept as JSON: what is shown of it."""

    path: str
    accepted: bool
    incomplete: bool
    not_run: tuple[str, ...]
    policy: str
    findings: tuple[Finding, ...]


def kept(told: str) -> Kept:
    """The verdict of a JSON object (imgtool.verdict/1). Raises InputError where it is none."""
    import json

    try:
        value: dict[str, Any] = json.loads(told)
        findings = tuple(Finding(*(one[name] for name in Finding._fields)) for one in value["findings"])
        path, policy, not_run = str(value["path"]), str(value["policy"]), tuple(value["not_run"])
        words = (*not_run, *(word for one in findings for word in (one.code, one.name, one.severity, one.message)))
        if not all(isinstance(word, str) for word in words):
            raise TypeError("a finding that is no text")
        return Kept(path, bool(value["accepted"]), bool(value["incomplete"]), not_run, policy, findings)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(f"the kept report cannot be read: {error}") from error


def json_line(verdict: Verdict) -> str:
    """One object on one line (schema imgtool.verdict/1)."""
    import json

    return json.dumps(verdict.to_dict()) + "\n"


def text(verdict: Verdict | Kept, *, colour: bool = False) -> str:
    """The verdict on its line, then the findings by severity, worst first."""
    lines = [headline(verdict, colour=colour)]
    if verdict.incomplete:
        lines.append(f"  incomplete: {incomplete_text(verdict)}")
    for severity in SEVERITIES:
        found = [finding for finding in verdict.findings if finding.severity == severity]
        if found:
            lines.append(f"  {styled(f'{severity}s' if len(found) > 1 else severity, severity, colour)}")
            for group in _by_code(found):
                lines += _group(group)
    return "\n".join(lines) + "\n"


def headline(verdict: Verdict | Kept, *, colour: bool = False) -> str:
    """`disk.img: rejected (policy default): 2 errors, 1 warning`."""
    word = "accepted" if verdict.accepted else "rejected"
    counts = []
    for severity in SEVERITIES:
        count = sum(finding.severity == severity for finding in verdict.findings)
        if count:
            counts.append(f"{count} {severity}{'s' if count > 1 else ''}")
    if verdict.incomplete:
        counts.append("incomplete")
    shown = styled(word, "good" if verdict.accepted else "error", colour)
    tail = f": {', '.join(counts)}" if counts else ""
    return f"{terminal(verdict.path)}: {shown} (policy {terminal(verdict.policy)}){tail}"


def incomplete_text(verdict: Verdict | Kept) -> str:
    """What kept an incomplete verdict from being whole: how many rules, by family."""
    codes = verdict.not_run
    if not codes:
        return "not everything in it was looked into"
    families = {code[:3]: sum(other[:3] == code[:3] for other in codes) for code in codes}
    told = ", ".join(f"{family} {count}" for family, count in families.items())
    rules = "1 rule" if len(codes) == 1 else f"{len(codes)} rules"
    return f"{rules} did not see all that they look at ({told}; --json names them)"


def _by_code(findings: list[Finding]) -> list[list[Finding]]:
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.code, []).append(finding)
    return list(groups.values())


def _group(findings: list[Finding]) -> Iterator[str]:
    """The findings of one rule: each with its place, then once what to do."""
    for finding in findings[:_EACH]:
        place = where(finding)
        yield f"    {finding.code} {finding.name}" + (f" ({terminal(place)})" if place else "")
        yield f"      {terminal(finding.message)}"
    if len(findings) > _EACH:
        yield f"    {findings[0].code}: and {len(findings) - _EACH} more (see --json)"
    cure = first_cure(findings[0].code)
    if cure and findings[0].severity != "note":
        yield f"      what to do: {cure}"


def where(finding: Finding) -> str:
    """The member, the field and the byte, as far as they are known."""
    parts = (
        f"member {finding.member}" if finding.member else "",
        finding.field or "",
        "" if finding.offset is None else f"byte {finding.offset}",
    )
    return ", ".join(part for part in parts if part)


def first_cure(code: str) -> str:
    """The first sentence of what a rule's page says to do; empty for a rule without a page."""
    from imgtool.findings.pages import page

    about = page(code)
    return first_sentence(about.cure) if about is not None else ""


def first_sentence(text: str) -> str:
    """`text` up to its first full stop that ends a sentence: outside backquotes and brackets, before a space."""
    quoted, depth = False, 0
    for place, letter in enumerate(text):
        if letter == "`":
            quoted = not quoted
        elif not quoted and letter in "()":
            depth += 1 if letter == "(" else -1
        elif letter == "." and not quoted and depth <= 0 and text[place + 1 : place + 2] in ("", " "):
            return text[: place + 1]
    return text
