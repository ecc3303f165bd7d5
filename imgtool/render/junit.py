"""Verdicts as a JUnit report: one suite, a case a file; what is rejected has failed. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imgtool.findings.core import Finding
from imgtool.findings.pages import page
from imgtool.model.verdict import Verdict
from imgtool.render.escape import xml
from imgtool.render.text import findings_text
from imgtool.render.verdicts import incomplete_text

_SUITE = "imgtool validate"


def document(verdicts: Iterable[Verdict], failures: Iterable[tuple[str, str]] = ()) -> str:
    """One XML document. The findings of a rejected file are the text of its failure; those of an accepted one, and
    what could not be looked at, its system-out. `failures` (path, message) could not be judged: errors."""
    judged, failed = list(verdicts), list(failures)
    rejected = sum(not one.accepted for one in judged)
    counts = f'tests="{len(judged) + len(failed)}" failures="{rejected}" errors="{len(failed)}" skipped="0"'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites {counts}>"]
    lines.append(f'  <testsuite name="{_SUITE}" {counts}>')
    for verdict in judged:
        lines += _case(verdict)
    for path, message in failed:
        lines += (f"{_head(path)}>", f'      <error type="not judged" message="{xml(message)}"/>', "    </testcase>")
    return "\n".join([*lines, "  </testsuite>", "</testsuites>"]) + "\n"


def _head(path: str) -> str:
    return f'    <testcase classname="{_SUITE}" name="{xml(path)}" file="{xml(path)}"'


def _case(verdict: Verdict) -> Iterator[str]:
    head = _head(verdict.path)
    told = [xml(line) for finding in verdict.findings for line in _told(finding)]
    if verdict.incomplete:
        told.append(f"incomplete: {xml(incomplete_text(verdict))}")
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
