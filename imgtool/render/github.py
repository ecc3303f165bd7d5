"""A verdict as GitHub workflow commands: one annotation a line. No I/O.

Reference: GitHub Actions, "Workflow commands", error, warning and notice.
"""

from __future__ import annotations

from imgtool.findings.core import Finding
from imgtool.findings.pages import page
from imgtool.model.verdict import Verdict
from imgtool.render.escape import workflow_message, workflow_property
from imgtool.render.verdicts import incomplete_text

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def failure(path: str, message: str) -> str:
    """An annotation for an input that could not be judged."""
    return _line("error", path, "not judged", message)


def lines(verdict: Verdict) -> str:
    """An annotation for each finding, and one where the verdict is incomplete; nothing for a clean file.

    Rejected files always have one of level error.
    """
    told = [
        _line(_COMMANDS[finding.severity], verdict.path, f"{finding.code} {finding.name}", _message(finding))
        for finding in verdict.findings
    ]
    if verdict.incomplete:
        told.append(_line("warning", verdict.path, "incomplete", incomplete_text(verdict)))
    if not verdict.accepted and not any(line.startswith("::error ") for line in told):
        told.append(_line("error", verdict.path, "rejected", f"rejected by the policy {verdict.policy}"))
    return "".join(told)


def _line(command: str, path: str, title: str, message: str) -> str:
    properties = f"file={workflow_property(path)},title={workflow_property(title)}"
    return f"::{command} {properties}::{workflow_message(message)}\n"


def _message(finding: Finding) -> str:
    member = f"in {finding.member}" if finding.member else ""
    place = "" if finding.offset is None else f"at byte {finding.offset}"
    where = " ".join(part for part in (member, place) if part)
    about = page(finding.code)
    cure = f". What to do: {about.cure}" if about is not None else ""
    return f"{where}: {finding.message}{cure}" if where else f"{finding.message}{cure}"
