"""Options of the test run."""

from __future__ import annotations

import signal

import pytest


def pytest_configure() -> None:
    """What tests start hears Ctrl-C and a hang-up, also where the run itself does not (in the background of a script,
    under nohup): a handler, unlike what is ignored, is not handed down."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update` rewrites golden reports; read the diff."""
    parser.addoption("--update", action="store_true", help="rewrite golden reports under fixtures/")


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    """True when golden reports are to be rewritten."""
    return bool(request.config.getoption("--update"))
