"""Many processes at everything and the same images: what each was told holds, and nothing is lost or half."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from imgtool.config.config import Config
from tests.catalog.test_lost import GOOD, Place, three
from tests.catalog.test_upkeep import sound
from tests.kit import ROOT


@pytest.fixture
def where(place: str, tmp_path: Path) -> Place:
    """An empty catalog on either database."""
    found = Place(Config(location=place, store=str(tmp_path / "store")), tmp_path)
    found.opened().close()
    return found


#: A process that does everything to the same images as the others, and tells how often what was done or refused.
SWARM = """
import json, os, random, sys
from collections import Counter
from imgtool.catalog.images import New
from imgtool.catalog.listing import Filters
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from imgtool.errors import NotFoundError, RefusedError
place, store, image, out, seed, steps = sys.argv[1:]
draw, met = random.Random(int(seed)), Counter()
verbs = ["create", "create", "deactivate", "reactivate", "delete", "restore", "scrub", "repair", "save", "verify"]
with Catalog.open(identity="root:ops:admin", config=Config(location=place, store=store)) as catalog:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(steps)):
        verb = draw.choice(verbs)
        try:
            some = catalog.list(Filters(status=("active", "deactivated", "pending_delete", "saving")), limit=5)
            if verb == "create" or not some:
                catalog.create(New(f"{seed}-{number}", "ops"), image, how=draw.choice(("copy", "link")))
            elif verb == "scrub":
                catalog.scrub(delay=0)
            elif verb == "repair":
                met["missing"] += len(catalog.repair().missing)
            elif verb == "save":
                catalog.save(draw.choice(some).id, out, force=True, resume=draw.random() < 0.5)
            elif verb == "verify":
                met["damaged"] += not catalog.verify(draw.choice(some).id)
            else:
                getattr(catalog, verb)(draw.choice(some).id)
            met[verb] += 1
        except RefusedError:
            met[f"{verb} refused"] += 1
        except NotFoundError as error:
            met["no data"] += "is missing" in str(error)
            met[f"{verb} too late"] += 1
    print(json.dumps(met))
"""


def swarm(where: Place, processes: int, steps: int) -> None:
    """Run many at once, and check all that they left; print the figures."""
    with where.opened() as catalog:
        three(catalog, where)
    arguments = [sys.executable, "-c", SWARM, where.config.location or "", where.config.store or ""]
    arguments.append(str(where.image()))
    outs = [where.folder / f"folder{number}" / "out" for number in range(processes)]
    for out in outs:
        out.parent.mkdir()
    started = [
        subprocess.Popen(
            [*arguments, str(outs[number]), str(number), str(steps)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(processes)
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    met: Counter[str] = Counter()
    for process in started:
        told, said = process.communicate()
        assert (process.returncode, said) == (0, "")
        met.update(json.loads(told))
    with where.opened() as catalog:
        done = catalog.repair()
        assert (done.missing, done.failed, done.uploads) == ((), (), 0)
        left = sound(catalog)
    for out in outs:
        assert os.listdir(out.parent) in ([], [out.name])
        assert not out.exists() or out.read_bytes() == GOOD
    print(f"{processes} processes, {steps} steps, {where.config.location}: {dict(met)}; {dict(left)} left")
    assert (met["missing"], met["damaged"], met["no data"]) == (0, 0, 0)
    assert sum(met.values()) == processes * steps


def test_a_few_at_the_same_images(where: Place) -> None:
    """Creating, deactivating, deleting, scrubbing, repairing, saving, on either database."""
    swarm(where, 2, 12)


@pytest.mark.full
def test_fifty_at_the_same_images(where: Place) -> None:
    """As many as the machine bears."""
    swarm(where, 50, 40)
