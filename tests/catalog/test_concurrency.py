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

#: A process that does random things to all images, and prints what it did: [image, status it led to]. First it
#: makes a number of changes that end no image; when all have, it may end them too; and then it ends what is left.
PROGRAM = """
import json, random, sys
from imgtool.catalog.database import open_database
from imgtool.errors import RefusedError
from tests.catalog.test_moves import act
place, seed, changes, *ids = sys.argv[1:]
random.seed(int(seed))
life = ["upload", "finish", "finish", "fail", "requeue", "deactivate", "reactivate"]
done = []
def attempt(action, one):
    try:
        with database.write() as connection:
            after = act(connection, action, one).record.status
    except RefusedError:
        return
    done.append([one, after])
def wait(said):
    print(said, flush=True)
    sys.stdin.readline()
with open_database(place) as database:
    wait("ready")
    while len(done) < int(changes):
        attempt(random.choice(life), random.choice(ids))
    wait("lived")
    for _ in range(int(changes)):
        attempt(random.choice([*life, "delete", "restore", "restore", "scrub"]), random.choice(ids))
    wait("ending")
    for one in random.sample(ids, len(ids)):
        for action in ("fail", "erase", "scrub"):
            attempt(action, one)
for line in done:
    print(json.dumps(line))
"""


def swarm(place: str, processes: int, changes: int, count: int) -> Counter[str]:
    """Run it and check what it left: counts of changes by their kind."""
    with open_database(place, create=True) as database, database.write() as connection:
        ids = [queued(connection, str(number)) for number in range(count)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, place, str(seed), str(changes), *ids],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for seed in range(processes)
    ]  # fmt: skip
    for said in ("ready", "lived", "ending"):
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == f"{said}\n"
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
            assert path[-1] == kept.record.status == "deleted"
            for before, after in pairwise(path):
                assert after in FLOW[before], path
                seen[kept.record.id, after] += 1
                kinds[f"{before} to {after}"] += 1
            uploads = path.count("saving")
            assert kept.attempt == uploads
            assert kept.blob == (f"{kept.record.id}.{uploads}" if "active" in path else None)
    assert seen == done  # what each process believed to have done is what was done, once
    assert len({one for one, _ in seen}) == count
    assert sum(kinds.values()) >= processes * changes + count
    return kinds


def test_only_legal_histories(place: str) -> None:
    """A few processes, few images."""
    print(dict(swarm(place, 4, 15, 3)))


@pytest.mark.full
def test_fifty_processes(place: str) -> None:
    """As many as the machine bears."""
    print(dict(swarm(place, 50, 20, 20)))
