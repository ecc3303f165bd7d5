"""Verdicts as a SARIF 2.1.0 log. No I/O.

A result's place is the file that was judged, so that every viewer finds it; of a finding in a member, the place in
the member (a nested artifact) is a related location.

Reference: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0, with errata 01; the sections
named below are its.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from imgtool.findings.core import Finding
from imgtool.findings.ledger import LEDGER
from imgtool.findings.pages import page, rule_of
from imgtool.model.verdict import Verdict
from imgtool.render.escape import sarif_text, terminal, uri
from imgtool.render.verdicts import incomplete_text
from imgtool.version import __version__

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

#: Names of hash functions in the IANA registry (§3.24.11); others keep ours.
_HASHES = {"sha1": "sha-1", "sha224": "sha-224", "sha256": "sha-256", "sha384": "sha-384", "sha512": "sha-512"}

#: What stands between the members of a path.
_BELOW = " → "

Json: TypeAlias = dict[str, object]


def document(verdicts: Iterable[Verdict], failures: Iterable[tuple[str, str]] = ()) -> str:
    """One log with one run: rules that were broken, with their pages; files; results.

    `failures` are (path, message) of inputs that could not be judged: the run was not successful.
    """
    import json

    judged, failed = list(verdicts), list(failures)
    codes = sorted({finding.code for verdict in judged for finding in verdict.findings})
    numbers = {code: number for number, code in enumerate(codes)}
    artifacts = _Artifacts()
    results, notifications = [], []
    for verdict in judged:
        file = artifacts.file(verdict)
        results += [_result(finding, numbers, artifacts, file) for finding in verdict.findings]
        if verdict.incomplete:
            notifications.append(_incomplete(verdict, artifacts.location(file)))
    notifications += [_notification("error", message, _location(path)) for path, message in failed]
    driver = {
        "name": "imgtool",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [_rule(code) for code in codes],
    }
    invocation = {"executionSuccessful": not failed, "toolExecutionNotifications": notifications}
    run = {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "artifacts": artifacts.listed,
        "results": results,
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(code: str) -> Json:
    """A reportingDescriptor (§3.49) out of the ledger and the rule's page."""
    rule, about = rule_of(code), page(code)
    name = next((line.name for line in LEDGER if line.code == code), None)
    told: Json = {"id": code} if name is None else {"id": code, "name": name}
    if rule is None or about is None:
        return told
    why = about.part("Why it matters")
    paragraphs = [about.summary, *(f"{title}: {text}" for title, text in about.parts)]
    return {
        **told,
        "shortDescription": {"text": sarif_text(about.summary)},
        "fullDescription": {"text": sarif_text(f"{about.summary} {why[:1].upper()}{why[1:]}")},
        "help": {"text": "\n\n".join(map(sarif_text, paragraphs))},
        "defaultConfiguration": {"level": rule.severity},
    }


class _Artifacts:
    """The files that were judged and the members that something was found in (§3.24), each once."""

    def __init__(self) -> None:
        self.listed: list[Json] = []
        self._numbers: dict[tuple[str, int | None], int] = {}

    def file(self, verdict: Verdict) -> int:
        """The number of a file."""
        report = verdict.report
        told: Json = {"location": _location(verdict.path), "roles": ["analysisTarget"]}
        if report.size is not None:
            told["length"] = report.size
        if report.checksums:
            told["hashes"] = _hashes(report.checksums)
        state = {"verdict": "accepted" if verdict.accepted else "rejected", "policy": terminal(verdict.policy)}
        told["properties"] = {**state, "incomplete": verdict.incomplete}
        return self._number(verdict.path, None, told)

    def member(self, path: str, file: int) -> int:
        """The number of a member, each level of its path an artifact nested in the one above."""
        above = file
        for name in path.split(_BELOW):
            slashes = len(name) - len(name.lstrip("/"))
            told: Json = {"location": {"uri": f"/{'%2F' * slashes}{uri(name[slashes:])}"}, "parentIndex": above}
            above = self._number(name, above, told)
        return above

    def _number(self, name: str, above: int | None, told: Json) -> int:
        number = self._numbers.setdefault((name, above), len(self.listed))
        if number == len(self.listed):
            self.listed.append(told)
        return number

    def location(self, number: int) -> Json:
        """An artifactLocation (§3.4) of a listed artifact."""
        location = self.listed[number]["location"]
        assert isinstance(location, dict)
        return {**location, "index": number}


def _location(path: str) -> Json:
    """Relative to where the command ran, where the path is; viewers take that for the root of the sources."""
    told = uri(path.removeprefix("./") or path)
    return {"uri": told} if path.startswith("/") else {"uri": told, "uriBaseId": "%SRCROOT%"}


def _hashes(checksums: Mapping[str, str]) -> Json:
    return {_HASHES.get(name, name): digest for name, digest in checksums.items()}


def _result(finding: Finding, numbers: Mapping[str, int], artifacts: _Artifacts, file: int) -> Json:
    """A result (§3.27)."""
    region = _region(finding)
    physical: Json = {"artifactLocation": artifacts.location(file)}
    place: Json = {"physicalLocation": physical}
    logical = _logical(finding)
    if logical:
        place["logicalLocations"] = [logical]
    message = f"{finding.member}: {finding.message}" if finding.member else finding.message
    result: Json = {
        "ruleId": finding.code,
        "ruleIndex": numbers[finding.code],
        "level": finding.severity,
        "message": {"text": sarif_text(message)},
        "locations": [place],
    }
    if finding.member:
        inner: Json = {"artifactLocation": artifacts.location(artifacts.member(finding.member, file))}
        related = {"physicalLocation": {**inner, "region": region} if region else inner}
        result["relatedLocations"] = [related]
    elif region:
        physical["region"] = region
    return result


def _region(finding: Finding) -> Json:
    """A region of bytes (§3.30), where the finding has a place."""
    if finding.offset is None or finding.offset < 0:
        return {}
    length = finding.length
    return {"byteOffset": finding.offset, **({} if length is None or length < 0 else {"byteLength": length})}


def _logical(finding: Finding) -> Json:
    """The member and the field as a logicalLocation (§3.33)."""
    names = [name for name in (finding.member, finding.field) if name]
    if not names:
        return {}
    kind = "field" if finding.field else "member"
    return {"name": terminal(names[-1]), "fullyQualifiedName": terminal(_BELOW.join(names)), "kind": kind}


def _incomplete(verdict: Verdict, location: Json) -> Json:
    """A notification with the codes of all rules that did not run."""
    level = "warning" if verdict.accepted else "error"
    told = _notification(level, f"incomplete: {incomplete_text(verdict)}", location)
    return {**told, "properties": {"notRun": list(verdict.not_run)}}


def _notification(level: str, message: str, location: Json) -> Json:
    """A notification (§3.58): what kept the tool from judging a file, or the whole of it."""
    place = {"physicalLocation": {"artifactLocation": location}}
    return {"level": level, "message": {"text": sarif_text(message)}, "locations": [place]}
