"""What the tests of policies share: verdicts of fixtures, and of policies written as TOML."""

from __future__ import annotations

import io
from typing import Any

import imgtool
from imgtool.policy.load import load_policy
from tests.kit import fixture


def verdict(name: str, **options: Any) -> imgtool.Verdict:
    """The verdict on a fixture."""
    return imgtool.validate(io.BytesIO(fixture(name)), **options)


def by_policy(name: str, toml: str, **options: Any) -> imgtool.Verdict:
    """The verdict on a fixture by a policy of a few lines."""
    return verdict(name, policy=load_policy(toml, "site.toml"), **options)


def errors(given: imgtool.Verdict) -> list[str]:
    """The codes of a verdict's errors, in order, once each."""
    return list(dict.fromkeys(finding.code for finding in given.findings if finding.severity == "error"))


def of_code(given: imgtool.Verdict, code: str) -> list[imgtool.Finding]:
    """The findings of a code."""
    return [finding for finding in given.findings if finding.code == code]
