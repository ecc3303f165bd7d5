"""What every test of conversions begins with."""

from __future__ import annotations

import pytest

from tests.conversion.standin import note_children


@pytest.fixture(autouse=True)
def _children_before() -> None:
    """Only processes that a test itself starts are looked for."""
    note_children()
