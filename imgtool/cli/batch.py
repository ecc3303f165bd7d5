"""Many inputs of a command: each worked on, some at once, answers in the order of the inputs."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

R = TypeVar("R")


def in_order(paths: Iterator[str], one: Callable[[str], R], jobs: int) -> Iterator[tuple[str, R]]:
    """Each path with what `one` gives for it, in order; at most twice `jobs` are under way."""
    if jobs == 1:
        for path in paths:
            yield path, one(path)
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    pool = ThreadPoolExecutor(jobs)
    waiting: deque[tuple[str, Future[R]]] = deque()
    try:
        for path in paths:
            waiting.append((path, pool.submit(one, path)))
            if len(waiting) >= 2 * jobs:
                done, future = waiting.popleft()
                yield done, future.result()
        for done, future in waiting:
            yield done, future.result()
    finally:  # an interruption does not wait for what is under way
        pool.shutdown(wait=False, cancel_futures=True)


def file_size(path: str) -> int | None:
    """The bytes of a file, for progress; None for standard input and where it cannot be told."""
    try:
        return None if path == "-" else os.stat(path).st_size
    except (OSError, ValueError):
        return None
