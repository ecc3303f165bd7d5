"""A fuzz run in a process of its own: `python -m tests.fuzz.worker SEED COUNT [TARGET]`; it prints JSON.

The target is `reports` (of changed fixtures) or `disks` (of those with changed tables).

The address space is capped, so that memory over the cap is a failure here and not a slow machine.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import traceback

from tests.fuzz import mutation, tables

MEMORY = 200 << 20  #: bytes that inspecting may add to what the process had before


def peak() -> int:
    """The most memory this process had so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def address_space() -> int:
    """The address space in use, bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def main(seed: int, count: int, target: str) -> None:
    """Run `count` cases."""
    mutate, check = (tables.mutate, tables.check) if target == "disks" else (mutation.mutate, mutation.check)
    for name in mutation.bases():
        mutation.places(name)
    for name in tables.bases() if target == "disks" else ():
        tables.tables(name)
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
    main(int(sys.argv[1]), int(sys.argv[2]), (*sys.argv[3:], "reports")[0])
