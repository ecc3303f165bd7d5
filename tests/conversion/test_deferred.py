"""Signals that wait until somebody can heed them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from imgtool.conversion.deferred import deferred


class Terminated(Exception):
    """What SIGTERM raises here."""


@pytest.fixture(autouse=True)
def terminating() -> Iterator[None]:
    """SIGTERM raises."""

    def terminate(number: int, frame: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    yield
    signal.signal(signal.SIGTERM, before)


def handlers() -> list[object]:
    """What is called when a signal comes."""
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]


def test_they_are_raised_when_they_are_heeded() -> None:
    """Not before; from then on as without."""
    before, done = handlers(), []
    with deferred() as heed:
        signal.raise_signal(signal.SIGINT)
        done.append("started")
        with pytest.raises(KeyboardInterrupt):
            heed()
        assert handlers() == before
        heed()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert done == ["started"]
    assert handlers() == before


def failing(*numbers: int) -> None:
    """Signals come, and something else fails."""
    with deferred(), deferred():
        for number in numbers:
            signal.raise_signal(number)
        raise OSError("cannot be started")


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_they_are_raised_at_the_end(number: int, raised: type[BaseException]) -> None:
    """Also where something else is raised: none is lost."""
    before = handlers()
    with pytest.raises(raised), deferred():
        signal.raise_signal(number)
    with pytest.raises(raised) as caught:
        failing(number)
    assert isinstance(caught.value.__context__, OSError)
    assert handlers() == before


def test_what_is_ignored_stays_so() -> None:
    """As for a program in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred() as heed:
            signal.raise_signal(signal.SIGINT)
            heed()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread() -> None:
    """Nothing is changed there, and nothing fails."""
    seen: list[list[object]] = []

    def work() -> None:
        with deferred() as heed:
            seen.append(handlers())
            heed()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handlers()]
