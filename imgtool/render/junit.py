"""Verdicts as a JUnit report: one suite, a case a file; what is rejected has failed. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imgtool.findings.core import Finding
from imgtool.findings.pages import page
from imgtool.model.verdict import Verdict
from imgtool.render.escape import xml
from imgtool.render.text import findings_text

_SUITE = "imgtool validate"


def document(verdicts: Iterable[Verdict]) -> str:
    """One XML document. The findings of a rejected file are the text of its failure; those of an accepted one, and
    what could not be looked at, its system-out."""
    judged = list(verdicts)
    counts = f'tests="{len(judged)}" failures="{sum(not one.accepted for one in judged)}" errors="0" skipped="0"'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites {counts}>"]
    lines.append(f'  <testsuite name="{_SUITE}" {counts}>')
    for verdict in judged:
        lines += _case(verdict)
    return "\n".join([*lines, "  </testsuite>", "</testsuites>"]) + "\n"


def _case(verdict: Verdict) -> Iterator[str]:
    path = xml(verdict.path)
    head = f'    <testcase classname="{_SUITE}" name="{path}" file="{path}"'
    told = [xml(line) for finding in verdict.findings for line in _told(finding)]
    if verdict.incomplete:
        told.append(f"incomplete; rules that did not run: {', '.join(verdict.not_run) or '-'}")
    if verdict.accepted and not told:
        yield f"{head}/>"
        return
    yield f"{head}>"
    body = "\n".join(told)
    if verdict.accepted:
        yield f"      <system-out>{body}</system-out>"
    else:
        yield f'      <failure type="rejected" message="{_summary(verdict)}">{body}</failure>'
    yield "    </testcase>"


def _told(finding: Finding) -> Iterator[str]:
    for line in findings_text([finding], inside=finding.member or ""):
        yield line.strip()
    about = page(finding.code)
    if about is not None:
        yield f"  what to do: {about.cure}"


def _summary(verdict: Verdict) -> str:
    codes = list(dict.fromkeys(f"{one.code} {one.name}" for one in verdict.findings if one.severity == "error"))
    codes = codes or list(dict.fromkeys(f"{one.code} {one.name}" for one in verdict.findings))
    more = f" and {len(codes) - 3} more" if len(codes) > 3 else ""
    return xml(f"rejected by the policy {verdict.policy}: {', '.join(codes[:3]) or 'incomplete'}{more}")
