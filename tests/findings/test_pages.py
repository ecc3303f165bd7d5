"""Pages of rules: their parts out of the docstring, rules by their code."""

from __future__ import annotations

import pytest

from imgtool.findings.ledger import LEDGER
from imgtool.findings.ledger.published import Published
from imgtool.findings.pages import Page, page, page_of, rule_of


def test_parts_of_a_page() -> None:
    """A title begins a part; a paragraph without one goes on with the part before it; lines are joined."""
    text = """It is wrong.

    What it checks: one
    thing.

    And another: that.

    What to do: `fix it`.
    """
    found = page_of(text)
    assert found == Page(
        "It is wrong.",
        (("What it checks", "one thing."), ("And another", "that."), ("What to do", "`fix it`.")),
    )
    assert found.cure == "`fix it`."
    assert found.part("References") == ""


def test_a_paragraph_without_a_title() -> None:
    """It belongs to what stands before it."""
    assert page_of("One.\n\ntwo\n\nWhat to do: three\n\nfour, http: no title") == Page(
        "One. two", (("What to do", "three four, http: no title"),)
    )


@pytest.mark.parametrize("line", [line for line in LEDGER if line.place], ids=lambda line: line.code)
def test_every_rule_has_a_summary_and_a_cure(line: Published) -> None:
    """One sentence that fits a line, and what to do."""
    rule, found = rule_of(line.code), page(line.code)
    assert rule is not None
    assert found is not None
    assert (rule.code, rule.name) == (line.code, line.name)
    assert found.summary.endswith(".")
    assert len(found.summary) <= 160
    assert found.cure


def test_unknown_codes() -> None:
    """A code that was never published has no rule and no page."""
    assert rule_of("IMG000") is None
    assert page("IMG000") is None
