"""Hostile tables: no changed image makes its disk raise anything but a disk's errors, hang, or take memory."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.tables import bases, check, mutate, tables
from tests.fuzz.test_fuzz import fuzzed
from tests.fuzz.worker import MEMORY


@settings(
    max_examples=600,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(st.randoms(use_true_random=False))
def test_changed_tables(chance: Random) -> None:
    """Opened, listed, read: allowed errors only, extents that tile, within seconds of processor time."""
    check(mutate(chance), chance)


def test_changes_reach_the_tables() -> None:
    """Most of the changed disks can still be opened, and each format has tables that are known."""
    came = [check(mutate(chance), chance) for chance in map(Random, range(300))]
    assert came.count("read") > 100
    for form in ("qcow2", "qcow", "qed", "vmdk", "vdi", "vhd", "vhdx", "parallels"):
        known = [tables(name) for name in bases() if name.startswith(f"{form}/")]
        assert max(map(len, known)) > 1, form


def test_memory_of_a_run_is_bounded() -> None:
    """400 disks in a process that can have 200 MiB more and no byte further."""
    told = fuzzed(2, 400, "disks")
    assert told["failures"] == []
    assert told["grown"] < MEMORY


@pytest.mark.full
def test_many_disks(capsys: pytest.CaptureFixture[str]) -> None:
    """As many as the environment says (IMGTOOL_FUZZ_DISKS), from its seed (IMGTOOL_FUZZ_SEED), on two processes."""
    cases = int(os.environ.get("IMGTOOL_FUZZ_DISKS", "40000"))
    seed = int(os.environ.get("IMGTOOL_FUZZ_SEED", "200"))
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda part: fuzzed(seed + part, cases // 2, "disks"), range(2)))
    with capsys.disabled():
        print(f"\nfuzz, disks: {sum(run['cases'] for run in runs)} cases from seed {seed}")
    assert [failure for run in runs for failure in run["failures"]] == []
