"""Ratios measured side by side: A and B in turn, the median of the pairs' ratios. Never seconds."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

RECORD = Path(__file__).with_name("ratios.toml")

#: Bytecode is written in a normal installation; an environment that forbids it would measure the compiler.
ENV = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def seconds(work: Callable[[], object], repeat: int = 1) -> float:
    """Wall seconds of one call, the mean over `repeat` calls."""
    begin = time.perf_counter()
    for _ in range(repeat):
        work()
    return (time.perf_counter() - begin) / repeat


def process(*command: str) -> Callable[[], object]:
    """Running a program to its end, its output thrown away."""
    return lambda: subprocess.run(command, env=ENV, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def nothing() -> None:
    """What is done before each measurement where nothing needs to be."""


def ratio(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    pairs: int = 11,
    repeat: tuple[int, int] = (1, 1),
    before: tuple[Callable[[], object], Callable[[], object]] = (nothing, nothing),
) -> float:
    """The median over `pairs` of time(ours) / time(theirs), after a warm-up of each.

    `repeat`: how many calls of ours and of theirs make one measurement; its mean counts. `before`: what is done
    before each measurement of ours and of theirs, and not measured.
    """
    found = []
    for _ in range(pairs + 1):
        before[0]()
        mine = seconds(ours, repeat[0])
        before[1]()
        found.append(mine / seconds(theirs, repeat[1]))
    return statistics.median(found[1:])


def judge(name: str, measured: float) -> None:
    """Fail above the floor of ratios.toml, or above what was recorded there by more than its margin."""
    with open(RECORD, "rb") as file:
        table = tomllib.load(file)
    line = table["ratio"][name]
    allowed = min(line["floor"], line["recorded"] * (1 + table["margin"]))
    print(f"{name}: {measured:.4f} (recorded {line['recorded']}, floor {line['floor']})")
    assert measured <= max(allowed, 0.0), f"{name}: {measured:.4f} is over {allowed:.4f}"
