"""A fuzz run in a process of its own: `python -m tests.fuzz.worker SEED COUNT`. Prints what came of it as JSON.

The address space is capped, so that memory over the cap is a failure here and not a slow machine.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import traceback

from tests.fuzz.mutation import bases, check, mutate, places

MEMORY = 200 << 20  #: bytes that inspecting may add to what the process had before


def peak() -> int:
    """The most memory this process had so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def address_space() -> int:
    """The address space in use, bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def main(seed: int, count: int) -> None:
    """Run `count` cases."""
    for name in bases():
        places(name)
    before = peak()
    limit = address_space() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    failures: list[dict[str, str]] = []
    for index in range(count):
        chance = random.Random(seed * 1_000_003 + index)
        sample = mutate(chance)
        try:
            check(sample, chance)
        except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
            trace = traceback.format_exc()
            failures.append({"seed": str(seed), "index": str(index), "story": sample.story, "trace": trace[-3000:]})
        if len(failures) >= 50:
            break
    print(json.dumps({"cases": index + 1, "grown": peak() - before, "failures": failures}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
