"""The page of a rule, out of its docstring; the rule of a code, out of the ledger's place of it.

A page is one line that says what is wrong, then parts with a title: "What it checks", "Why it matters",
"What to do", and more where they add something.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from inspect import cleandoc
from typing import Any, NamedTuple

from imgtool.findings.core import Rule
from imgtool.findings.ledger import LEDGER

_TITLE = re.compile(r"([A-Z][A-Za-z ]{2,30}): ")


class Page(NamedTuple):
    """A rule's page: `summary` is its first line; `parts` are (title, text), each text on one line."""

    summary: str
    parts: tuple[tuple[str, str], ...]

    def part(self, title: str) -> str:
        """The text under a title; empty where the page has none."""
        return next((text for name, text in self.parts if name == title), "")

    @property
    def cure(self) -> str:
        """What to do about it."""
        return self.part("What to do")


def page_of(docstring: str) -> Page:
    """The page that a rule's docstring is. A paragraph without a title goes on with the one before it."""
    summary, *paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", cleandoc(docstring))]
    parts: list[tuple[str, str]] = []
    for paragraph in paragraphs:
        title = _TITLE.match(paragraph)
        if title is not None:
            parts.append((title[1], paragraph[title.end() :]))
        elif parts:
            parts[-1] = (parts[-1][0], f"{parts[-1][1]} {paragraph}")
        else:
            summary = f"{summary} {paragraph}"
    return Page(summary, tuple(parts))


@cache
def rule_of(code: str) -> Rule[Any] | None:
    """The rule of a code; None where the ledger has none, or it is retired. Imports the module of its check."""
    place = next((line.place for line in LEDGER if line.code == code), "")
    if not place:
        return None
    module, _, name = place.partition(":")
    found: Rule[Any] = getattr(import_module(module), name)
    return found


@cache
def page(code: str) -> Page | None:
    """The page of a code; None where there is no such rule."""
    rule = rule_of(code)
    return None if rule is None else page_of(rule.page)
