"""Nothing lost, nothing half: what killed processes leave, and what repair makes of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from imgtool.catalog.images import New
from imgtool.catalog.lease import acquire
from imgtool.catalog.listing import Filters, list_images
from imgtool.catalog.service import Catalog
from imgtool.catalog.status import STATUSES
from imgtool.config.config import Config
from imgtool.errors import RefusedError
from imgtool.model.upkeep import Repaired
from tests.catalog.test_status import FLOW
from tests.kit import ROOT, fixture

GOOD = fixture("qcow2/plain.qcow2")

#: A process that creates an image; then it creates, saves, deletes, restores and scrubs, until it is killed.
PROGRAM = """
import random, sys
from imgtool.catalog.images import New
from imgtool.catalog.service import Catalog
from imgtool.catalog.listing import Filters, list_images
from imgtool.config.config import Config
from imgtool.errors import ImgtoolError
place, image, out, seed = sys.argv[1:]
random.seed(int(seed))
catalog = Catalog.open(identity="root:ops:admin", config=Config(location=place))
catalog.create(New(seed, "ops"), image)
print("ready", flush=True)
for number in range(10_000):
    try:
        what = random.choice(("create", "create", "save", "delete", "restore", "scrub", "deactivate", "reactivate"))
        some = [one.id for one in catalog.list(Filters(status=("active", "deactivated", "pending_delete")), limit=9)]
        if what == "create" or not some:
            catalog.create(New(f"{seed}-{number}", "ops"), image, how=random.choice(("copy", "link")))
        elif what == "save":
            catalog.save(random.choice(some), out, force=True)
        elif what == "scrub":
            catalog.scrub(delay=0)
        else:
            getattr(catalog, what)(random.choice(some))
    except ImgtoolError:
        pass
"""


def opened(folder: Path) -> Catalog:
    """The catalog, as its administrator."""
    return Catalog.open(identity="root:ops:admin", create=True, config=Config(location=str(folder / "catalog")))


def sound(catalog: Catalog) -> Counter[str]:
    """Check all that must hold after a repair; how many images have which status."""
    store, count = catalog.store, Counter[str]()
    owned = set()
    with catalog.database.read() as connection:
        every = list_images(connection, Filters(status=STATUSES))
    for kept in every:
        record = kept.record
        count[record.status] += 1
        path = [change.after for change in catalog.history(record.id)]
        assert path[0] == "queued"
        assert path[-1] == record.status
        assert all(after in FLOW[before] for before, after in pairwise(path))
        assert record.status != "saving"
        assert (kept.blob is not None) == (record.status in ("active", "deactivated", "pending_delete"))
        if kept.blob is not None:
            owned.add(kept.blob)
            if record.status != "pending_delete":
                assert catalog.verify(record.id)
    assert {blob.key for blob in store.blobs()} == owned
    assert list(store.claims()) == []
    return count


def killed(folder: Path, image: str, seed: int, delay: float, processes: int) -> None:
    """Start processes, and kill them all some time after they got to work."""
    arguments = [sys.executable, "-c", PROGRAM, str(folder / "catalog"), image]
    started = [
        subprocess.Popen(
            [*arguments, str(folder / f"out-{number}"), str(seed * 100 + number)], cwd=ROOT, stdout=subprocess.PIPE
        )
        for number in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    time.sleep(delay)
    for process in started:
        process.send_signal(signal.SIGKILL)
    for process in started:
        process.communicate()


def run(folder: Path, kills: int, processes: int) -> None:
    """Kill again and again; after each time the repair makes everything right."""
    random.seed(kills)
    image = folder / "image.qcow2"
    image.write_bytes(GOOD)
    repairs: Counter[str] = Counter()
    with opened(folder) as catalog:
        for seed in range(kills):
            killed(folder, str(image), seed, random.uniform(0.2, 1.5), processes)
            with catalog.database.write() as connection:  # the lease of a killed scrubber would hold for a minute
                connection.exec_driver_sql("UPDATE leases SET expires_at = 1")
            done = catalog.repair()
            assert done.missing == ()
            repairs.update({"uploads": done.uploads, "blobs": done.blobs})
            count = sound(catalog)
        print(f"{kills} kills of {processes}: {dict(repairs)} repaired, {dict(count)} left")
        assert sum(count.values()) >= kills * processes
    for number in range(processes):
        out = folder / f"out-{number}"
        assert not out.exists() or out.read_bytes() == GOOD


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """A few times."""
    run(tmp_path, 2, 2)


@pytest.mark.full
def test_killed_fifty_times(tmp_path: Path) -> None:
    """As often as it takes, with more at once."""
    run(tmp_path, 50, 4)


def test_an_upload_that_is_alive_is_left_alone(tmp_path: Path) -> None:
    """Neither its record nor its bytes are touched; once its process is gone, both are put right."""
    program = (
        "import os, sys, time\nfrom imgtool.catalog.images import New\nfrom imgtool.catalog.service import Catalog\n"
        "from imgtool.config.config import Config\n"
        "catalog = Catalog.open(identity='root:ops:admin', config=Config(location=sys.argv[1]))\n"
        "catalog.create(New('web', 'ops'), sys.stdin.buffer, progress=lambda n: print('got some', flush=True))\n"
    )
    with opened(tmp_path) as catalog:
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "catalog")],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(bytes(2 << 20))
        process.stdin.flush()
        assert process.stdout.readline() == b"got some\n"
        assert catalog.repair() == Repaired(0, 0, 0, ())
        assert catalog.show("web").status == "saving"
        assert os.listdir(tmp_path / "catalog" / "uploads")
        with pytest.raises(RefusedError, match="an upload into it is under way"):
            catalog.delete("web")
        process.kill()
        process.communicate()
        assert catalog.repair().uploads == 1
        record = catalog.show("web")
        assert (record.status, record.reason) == ("killed", "its process is gone")
        assert sound(catalog) == {"killed": 1}


def test_what_nobody_owns_is_removed(tmp_path: Path) -> None:
    """Never what a record owns."""
    with opened(tmp_path) as catalog:
        (tmp_path / "image").write_bytes(GOOD)
        record = catalog.create(New("web", "ops"), tmp_path / "image")
        blobs = tmp_path / "catalog" / "blobs"
        (blobs / f"{record.id}.7").write_bytes(b"of an upload that lost")
        (blobs / "12345678-1234-1234-1234-123456789abc.1").write_bytes(b"of no record")
        assert catalog.repair() == Repaired(0, 2, 34, ())
        assert sound(catalog) == {"active": 1}


def test_one_cleaner_at_a_time(tmp_path: Path) -> None:
    """Scrubbing and repair exclude each other."""
    with opened(tmp_path) as catalog, acquire(catalog.database, "scrub", holder="there:1"):
        for call in (catalog.scrub, catalog.repair):
            with pytest.raises(RefusedError, match="there:1 is at it"):
                call()
