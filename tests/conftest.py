"""Options of the test run."""

from __future__ import annotations

import signal

import pytest


def pytest_configure() -> None:
    """What tests start hears Ctrl-C, also where the run itself does not (in the background of a script)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update` rewrites golden reports; read the diff."""
    parser.addoption("--update", action="store_true", help="rewrite golden reports under fixtures/")


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    """True when golden reports are to be rewritten."""
    return bool(request.config.getoption("--update"))
