"""Options of the test run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update` rewrites golden reports; read the diff."""
    parser.addoption("--update", action="store_true", help="rewrite golden reports under fixtures/")


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    """True when golden reports are to be rewritten."""
    return bool(request.config.getoption("--update"))
