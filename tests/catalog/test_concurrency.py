"""Many processes at the same images: every history is one that a single process could have made."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest

from imgtool.catalog import moves
from imgtool.catalog.database import open_database
from imgtool.catalog.listing import Filters, list_images
from imgtool.catalog.status import STATUSES
from tests.catalog.made import queued
from tests.catalog.test_status import FLOW
from tests.kit import ROOT

#: A process that does random things to all images, and prints what it did: [image, status it led to].
PROGRAM = """
import json, random, sys
from imgtool.catalog import images, moves
from imgtool.catalog.database import open_database
from imgtool.errors import RefusedError
from tests.catalog.test_moves import act
place, seed, steps, *ids = sys.argv[1:]
random.seed(int(seed))
actions = ["upload", "finish", "finish", "fail", "requeue", "deactivate", "reactivate", "restore"]
ends = ["delete", "delete", "delete", "erase", "scrub"]
with open_database(place) as database:
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(steps)):
        one, action = random.choice(ids), random.choice(ends if random.random() < 0.03 else actions)
        try:
            with database.write() as connection:
                done = act(connection, action, one)
        except RefusedError:
            continue
        print(json.dumps([one, done.record.status]))
"""


def swarm(place: str, processes: int, steps: int, count: int) -> Counter[str]:
    """Run it and check what it left: counts of changes by their kind."""
    with open_database(place, create=True) as database, database.write() as connection:
        ids = [queued(connection, str(number)) for number in range(count)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, place, str(seed), str(steps), *ids],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for seed in range(processes)
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    done: Counter[tuple[str, str]] = Counter()
    for process in started:
        out, told = process.communicate()
        assert process.returncode == 0, told
        done.update(tuple(json.loads(line)) for line in out.splitlines())
    seen: Counter[tuple[str, str]] = Counter()
    kinds: Counter[str] = Counter()
    with open_database(place) as database, database.read() as connection:
        for kept in list_images(connection, Filters(status=STATUSES)):
            path = [change.after for change in moves.history(connection, kept.record.id)]
            assert path[0] == "queued"
            assert path[-1] == kept.record.status
            for before, after in pairwise(path):
                assert after in FLOW[before], path
                seen[kept.record.id, after] += 1
                kinds[f"{before} to {after}"] += 1
            uploads = path.count("saving")
            assert kept.attempt == uploads
            assert kept.blob == (f"{kept.record.id}.{uploads}" if "active" in path else None)
    assert seen == done  # what each process believed to have done is what was done, once
    return kinds


def test_only_legal_histories(place: str) -> None:
    """A few processes, few images."""
    kinds = swarm(place, 4, 100, 3)
    assert sum(kinds.values()) >= 10
    print(dict(kinds))


@pytest.mark.full
def test_fifty_processes(place: str) -> None:
    """As many as the machine bears."""
    kinds = swarm(place, 50, 60, 20)
    assert sum(kinds.values()) >= 100
    print(dict(kinds))
