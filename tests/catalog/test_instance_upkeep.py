"""What is left of instances by killed processes, and what a repair and a verification say of it."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imgtool.catalog import images, instance_checks, instance_rows
from imgtool.catalog.images import New
from imgtool.catalog.instance_rows import Wanted
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from imgtool.errors import RefusedError
from imgtool.model.upkeep import Repaired
from tests.catalog.launched import CONTENT, FULL, filled, folder_of, write
from tests.kit import ROOT

OTHER = "12345678-1234-1234-1234-123456789abd"


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """One with an image, and an instance with all disks over it."""
    config = Config(location=str(tmp_path / "catalog"))
    with Catalog.open(identity="root:ops:admin", create=True, config=config) as it:
        filled(it, tmp_path)
        it.instances.create("web1", "base", "full")
        yield it


def count_of(catalog: Catalog) -> int:
    """How many instances the image believes to have."""
    with catalog.database.read() as connection:
        return images.get(connection, catalog.show("base").id).instances


def begun(catalog: Catalog) -> None:
    """An instance that is being made by nobody; its root disk is there."""
    with catalog.database.write() as connection:
        kept = images.get(connection, catalog.show("base").id)
        instance_rows.begin(connection, Wanted(OTHER, "half", "ops", FULL, 1 << 30), kept)
    with catalog.instances.store.hold(OTHER) as claim:
        claim.overlay(1 << 30, str(kept.blob), "raw")


def ownerless(catalog: Catalog) -> None:
    """Disks whose record is gone."""
    with catalog.instances.store.hold(OTHER) as claim:
        claim.empty("ephemeral", 4096)


def half_snapshot(catalog: Catalog) -> None:
    """What a snapshot wrote before its process was killed."""
    identifier = catalog.instances.show("web1").id
    Path(catalog.store.place, "instances", f"{identifier}.snapshot.qcow2").write_bytes(b"half")


def without_swap(catalog: Catalog) -> None:
    """A disk is gone."""
    os.unlink(catalog.instances.store.path(catalog.instances.show("web1").id, "swap"))


def without_root(catalog: Catalog) -> None:
    """The root disk is gone."""
    os.unlink(catalog.instances.store.path(catalog.instances.show("web1").id, "root"))


def rebased(catalog: Catalog) -> None:
    """The root disk stands on something else."""
    root = catalog.instances.store.path(catalog.instances.show("web1").id, "root")
    subprocess.run(["qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", root], check=True)


def cut(catalog: Catalog) -> None:
    """The root disk is no qcow2."""
    os.truncate(catalog.instances.store.path(catalog.instances.show("web1").id, "root"), 100)


def damaged(catalog: Catalog) -> None:
    """The root disk's first table is said to lie where none is."""
    root = catalog.instances.store.path(catalog.instances.show("web1").id, "root")
    write(root, 0, 1, 65536)
    with open(root, "r+b") as file:
        file.seek(40)
        file.seek(int.from_bytes(file.read(8), "big"))
        file.write((1 << 63 | 1 << 40).to_bytes(8, "big"))


def in_use(catalog: Catalog) -> None:
    """Somebody held it, and is gone: a lock is left."""
    Path(catalog.store.place, "instances", f"{catalog.instances.show('web1').id}.lock").touch()


CASES: list[tuple[Callable[[Catalog], None], set[str], bool]] = [
    (begun, {"CAT005"}, True),
    (ownerless, {"CAT006"}, True),
    (half_snapshot, {"CAT006"}, True),
    (without_swap, {"CAT007"}, False),
    (without_root, {"CAT007"}, False),
    (rebased, {"CAT306"}, False),
    (cut, {"CAT306"}, False),
    (damaged, {"CAT307"}, False),
    (in_use, set(), True),
]


@pytest.mark.parametrize(("damage", "codes", "mended"), CASES, ids=lambda one: getattr(one, "__name__", None))
def test_each_is_found(catalog: Catalog, damage: Callable[[Catalog], None], codes: set[str], mended: bool) -> None:
    """By the rule for it, and alone; a repair removes what processes left and nothing else, and tells of the rest."""
    assert list(catalog.verify_all())[-1].findings == ()
    damage(catalog)
    found = {one.code for each in catalog.verify_all() for one in each.findings}
    assert found == codes
    told = catalog.repair(dry_run=True)
    done = catalog.repair()
    assert done == told
    assert done.instances == bool(mended and codes)
    lost = set() if mended else codes - {"CAT307"}  # tables are read by a verification
    assert {one.code for each in done.missing for one in each.findings} == lost
    assert {one.code for each in catalog.verify_all() for one in each.findings} == (set() if mended else codes)
    assert [one.name for one in catalog.instances.list()] == ["web1"]
    assert count_of(catalog) == 1
    if mended:
        assert [one for one in folder_of(catalog) if one != "lock"] == ["ephemeral.raw", "root.qcow2", "swap.raw"]
        assert catalog.instances.snapshot("web1", "golden").status == "active"


def test_every_rule_was_raised() -> None:
    """The table above has all of them."""
    assert {code for _, codes, _ in CASES for code in codes} == {rule.code for rule in instance_checks.RULES}


def test_what_is_at_work_is_left_alone(catalog: Catalog) -> None:
    """One that is being made, and disks that are being removed."""
    begun(catalog)
    with catalog.instances.store.hold(OTHER):
        assert catalog.repair() == Repaired(0, 0, 0, ())
        assert {one.name for one in catalog.instances.list()} == {"web1", "half"}
    with pytest.raises(RefusedError, match="is building: its disks are not there yet"):
        catalog.instances.boot("half")
    assert catalog.repair().instances == 1
    ownerless(catalog)
    with catalog.instances.store.hold(OTHER):
        assert catalog.repair() == Repaired(0, 0, 0, ())
    assert catalog.repair() == Repaired(0, 0, 4096, (), instances=1)


#: A process that makes, flattens and deletes instances, over and over.
PROGRAM = """
import sys
import imgtool.catalog.launching, imgtool.conversion.api
import imgtool.formats.qcow2.writer, imgtool.formats.qcow2.write.overlay
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
place, store = sys.argv[1:]
with Catalog.open(identity="root:ops:admin", config=Config(location=place, store=store)) as catalog:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(10_000):
        catalog.instances.create(f"i{number}", "base", "full")
        if number % 2:
            catalog.instances.snapshot(f"i{number}", f"s{number}")
        catalog.instances.delete(f"i{number}")
        print(number, flush=True)
"""


def kills(place: str, folder: Path, count: int) -> Counter[str]:
    """Kill such processes at random moments: what a repair found each time; afterwards all is whole."""
    random.seed(2)
    seen: Counter[str] = Counter()
    config = Config(location=place, store=str(folder / "store"))
    with Catalog.open(identity="root:ops:admin", create=True, config=config) as catalog:
        base = filled(catalog, folder)
        catalog.instances.create("kept", "base", "full")
        for _ in range(count):
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, place, str(folder / "store")],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            begun = time.monotonic()
            process.stdin.write("go\n")
            process.stdin.flush()
            select.select([process.stdout], [], [], 30)  # the first one is through
            select.select([], [], [], random.uniform(0, 2 * (time.monotonic() - begun)))
            process.send_signal(signal.SIGKILL)
            _, told = process.communicate()
            assert process.returncode == -signal.SIGKILL, told
            for each in catalog.verify_all():
                seen.update(one.code for one in each.findings)
            done = catalog.repair()
            assert (done.missing, done.failed) == ((), ())
            assert all(catalog.verify_all())
            for one in catalog.instances.list():
                if one.name != "kept":
                    catalog.instances.delete(one.id)
            with catalog.database.read() as connection:
                assert images.get(connection, base.id).instances == 1
            assert [one for one in folder_of(catalog) if one != "lock"] == ["ephemeral.raw", "root.qcow2", "swap.raw"]
        path = Path(catalog.store.path(f"{base.id}.1") or "")
        assert path.read_bytes() == CONTENT
        catalog.instances.delete("kept")
        catalog.delete("base")
    return seen


def test_killed_at_random_moments(place: str, tmp_path: Path) -> None:
    """One, in the middle of its work."""
    print(dict(kills(place, tmp_path, 1)))


@pytest.mark.full
def test_killed_fifty_times(place: str, tmp_path: Path) -> None:
    """Fifty: what they leave is found, mended, and everything else is whole."""
    seen = kills(place, tmp_path, 50)
    print(dict(seen))
    assert seen["CAT005"] + seen["CAT006"] >= 5


#: A process that tries to delete the image, or to stand on it; says what came of it.
RACE = """
import sys
import imgtool.catalog.launching, imgtool.formats.qcow2.write.overlay, imgtool.formats.raw, imgtool.catalog.machines
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from imgtool.errors import ImgtoolError
place, store, what, count = sys.argv[1:]
with Catalog.open(identity="root:ops:admin", config=Config(location=place, store=store)) as catalog:
    for number in range(int(count)):
        print("ready", flush=True)
        image = sys.stdin.readline().strip()
        try:
            if what == "delete":
                catalog.delete(image)
            else:
                catalog.instances.create("one", image, "plain")
            print("done", flush=True)
        except ImgtoolError as error:
            print(type(error).__name__, flush=True)
"""


def race(place: str, folder: Path, rounds: int) -> Counter[tuple[str, ...]]:
    """One process deletes images while two stand on them: of each image either is true."""
    seen: Counter[tuple[str, ...]] = Counter()
    config = Config(location=place, store=str(folder / "store"))
    with Catalog.open(identity="root:ops:admin", create=True, config=config) as catalog:
        filled(catalog, folder)
        started = [
            subprocess.Popen(
                [sys.executable, "-c", RACE, place, str(folder / "store"), what, str(rounds)],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for what in ("delete", "create", "create")
        ]  # fmt: skip
        for number in range(rounds):
            image = catalog.create(New(f"n{number}", "ops"), folder / "base.img")
            said = [_asked(process, image.id) for process in started]
            told = tuple(_line(process) for process in said)
            deleted = catalog.history(image.id)[-1].after == "pending_delete"
            standing = catalog.instances.list(name="one")
            assert (told[0] == "done") == deleted
            assert len(standing) == told[1:].count("done")
            assert not (deleted and standing), told
            seen[told] += 1
            for one in standing:
                catalog.instances.delete(one.id)
        for process in started:
            process.communicate()
            assert process.returncode == 0
        assert all(catalog.verify_all())
    return seen


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _asked(process: subprocess.Popen[str], image: str) -> subprocess.Popen[str]:
    assert process.stdin is not None
    assert _line(process) == "ready"
    process.stdin.write(f"{image}\n")
    process.stdin.flush()
    return process


def test_no_image_is_deleted_from_under_an_instance(place: str, tmp_path: Path) -> None:
    """Whoever is first wins, a few times."""
    print(dict(race(place, tmp_path, 2)))


@pytest.mark.full
def test_no_image_is_deleted_from_under_an_instance_two_hundred_times(place: str, tmp_path: Path) -> None:
    """Both ways it ends are seen."""
    seen = race(place, tmp_path, 200)
    print(dict(seen))
    assert any(one[0] == "done" for one in seen)
    assert any("done" in one[1:] for one in seen)
