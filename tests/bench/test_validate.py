"""A verdict costs little more than the report it is made of; the deep check what another tool's check costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import imgtool
from imgtool.inspection.deep import check
from tests.bench.kit import judge, process, ratio
from tests.kit import ROOT, need, qemu_create, run

pytestmark = pytest.mark.bench

IMGTOOL = str(Path(sys.executable).parent / "imgtool")


@pytest.fixture(scope="module")
def qcow2(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A clean qcow2 of 1 GiB with something in it."""
    path = qemu_create(tmp_path_factory.mktemp("bench") / "x.qcow2", "qcow2", "1G")
    writes = [part for place in range(0, 1024, 64) for part in ("-c", f"write -P {1 + place % 250} {place}M 1M")]
    run(need("qemu-io"), "-f", "qcow2", *writes, str(path))
    return str(path)


def test_verdict_against_report(qcow2: str) -> None:
    """In a warm process: a verdict by the default rules against the report without checksum."""
    measured = ratio(lambda: imgtool.validate(qcow2), lambda: imgtool.inspect(qcow2, ()), pairs=21, repeat=(20, 20))
    judge("validate-vs-inspect", measured)


def test_command_against_command(qcow2: str) -> None:
    """`imgtool validate` against `imgtool inspect --no-checksum`, each a fresh process."""
    ours = process(IMGTOOL, "validate", qcow2)
    judge("validate-command", ratio(ours, process(IMGTOOL, "inspect", "--no-checksum", qcow2)))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A qcow2 of 100 GiB of which every cluster is allocated, in a file that is all holes but for its tables."""
    return str(qemu_create(tmp_path_factory.mktemp("bench") / "x", "qcow2", "100G", "preallocation=metadata"))


def test_deep_check(full: str) -> None:
    """In a warm process: every table of 100 GiB, against `qemu-img check` as a process."""
    theirs = process(need("qemu-img"), "check", "-f", "qcow2", full)
    judge("deep-check", ratio(lambda: check(full), theirs, pairs=21))


def test_deep_check_command(full: str) -> None:
    """`imgtool check` against `qemu-img check`, each a fresh process."""
    theirs = process(need("qemu-img"), "check", "-f", "qcow2", full)
    judge("deep-check-command", ratio(process(IMGTOOL, "check", full), theirs, pairs=21))


def scattered(path: str) -> None:
    """Swap the tables' entries so that no cluster lies on after the one before: nothing is plain any more."""
    with open(path, "r+b") as file:
        file.seek(40)
        at = int.from_bytes(file.read(8), "big")
        file.seek(at)
        tables = file.read(200 * 8)
        for start in range(0, len(tables), 8):
            place = int.from_bytes(tables[start : start + 8], "big") & 0x00FFFFFFFFFFFE00
            file.seek(place)
            held = file.read(65536)
            words = [held[word : word + 8] for word in range(0, 65536, 8)]
            file.seek(place)
            file.write(b"".join(words[::-1]))


@pytest.mark.parametrize("order", ["as it is", "scattered"])
def test_memory_of_the_deep_check(full: str, order: str) -> None:
    """Under 300 MiB, the interpreter included: the short way, and the walk over everything."""
    if order == "scattered":
        scattered(full)
    code = (
        "import sys; from imgtool.inspection.deep import check; from tests.rules.judging import most_memory; "
        "told = check(sys.argv[1]); assert told.clean, told; print(most_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code, full], cwd=ROOT, capture_output=True, text=True, check=True)
    print(f"deep check, {order}: {int(done.stdout) / 1024:.0f} MiB")
    assert int(done.stdout) < 300 * 1024
