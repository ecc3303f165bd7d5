"""Processes that end at a moment of a verb: killed, or interrupted, at the call of a function drawn by lot."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

T = TypeVar("T")

Tell = Callable[[str], None]
How = Literal["kill", "interrupt"]

#: When a call into C is over, which is when Python looks for signals: what a call takes or gives back is whole.
_AFTER = "c_return"


class Ended(NamedTuple):
    """How a process ended: the lines that it told before, and whether it ended before the work was done."""

    told: tuple[str, ...]
    early: bool


def calls_of(prepare: Callable[[], T], work: Callable[[T, Tell], None]) -> int:
    """How many calls into C a piece of work makes in its thread. It is done, in another process."""

    def count(tell: Tell) -> None:
        ready = prepare()
        calls = 0

        def profile(frame: Any, event: str, argument: Any) -> None:
            nonlocal calls
            calls += event == _AFTER

        sys.setprofile(profile)
        work(ready, tell)
        sys.setprofile(None)
        tell(str(calls))

    return int(_forked(count).told[-1])


def end_at(at: int, prepare: Callable[[], T], work: Callable[[T, Tell], None], how: How) -> Ended:
    """Do a piece of work in a process that ends at that one of its calls: by SIGKILL, or interrupted by SIGINT."""

    def begin(tell: Tell) -> None:
        ready = prepare()
        calls = 0

        def profile(frame: Any, event: str, argument: Any) -> None:
            nonlocal calls
            calls += event == _AFTER
            if calls == at and event == _AFTER:
                sys.setprofile(None)
                os.kill(os.getpid(), signal.SIGKILL if how == "kill" else signal.SIGINT)

        sys.setprofile(profile)
        try:
            work(ready, tell)
        except KeyboardInterrupt:
            tell("interrupted")
        finally:
            sys.setprofile(None)

    return _forked(begin)


def _forked(work: Callable[[Tell], None]) -> Ended:
    """Do a piece of work in a copy of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work(lambda line: os.write(writing, f"{line}\n".encode()) and None)
            status = 0
        except BaseException as error:  # noqa: BLE001 - nothing of a test's process may go on in its copy
            os.write(writing, f"failed: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, encoding="utf-8") as file:
        told = tuple(file.read().splitlines())
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    assert killed or status == 0, told
    return Ended(told, killed or "interrupted" in told)
