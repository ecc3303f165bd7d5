"""A verdict costs little more than the report it is made of."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import imgtool
from tests.bench.kit import judge, process, ratio
from tests.kit import need, qemu_create, run

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
