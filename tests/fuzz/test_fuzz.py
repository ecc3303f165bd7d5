"""No input makes it raise, hang, or take more than its caps: changed fixtures of every format."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutation import check, mutate
from tests.fuzz.worker import MEMORY
from tests.kit import ROOT, no_bug, report_of


@settings(
    max_examples=1200,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(st.randoms(use_true_random=False))
def test_changed_fixtures(chance: Random) -> None:
    """A report each time, no bug caught by a guard, a JSON object, within a second of processor time."""
    check(mutate(chance), chance)


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(st.binary(max_size=2048))
def test_any_bytes(data: bytes) -> None:
    """Bytes of no fixture at all."""
    report = report_of(data, structures=True)
    no_bug(report)
    json.dumps(report.to_dict())


def fuzzed(seed: int, count: int, target: str = "reports") -> dict[str, Any]:
    """What came of a run in a process of its own."""
    command = [sys.executable, "-m", "tests.fuzz.worker", str(seed), str(count), target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_memory_of_a_run_is_bounded() -> None:
    """500 cases in a process that can have 200 MiB more and no byte further."""
    told = fuzzed(1, 500)
    assert told["failures"] == []
    assert told["cases"] == 500
    assert told["grown"] < MEMORY


@pytest.mark.full
def test_a_hundred_thousand_cases(capsys: pytest.CaptureFixture[str]) -> None:
    """As many as the environment says (IMGTOOL_FUZZ_CASES), from its seed (IMGTOOL_FUZZ_SEED), on two processes."""
    cases = int(os.environ.get("IMGTOOL_FUZZ_CASES", "100000"))
    seed = int(os.environ.get("IMGTOOL_FUZZ_SEED", "100"))
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(fuzzed, (seed, seed + 1), (cases // 2, cases - cases // 2)))
    with capsys.disabled():
        print(f"\nfuzz: {sum(run['cases'] for run in runs)} cases from seed {seed}, {[run['grown'] for run in runs]}")
    assert [failure for run in runs for failure in run["failures"]] == []
    assert sum(run["cases"] for run in runs) == cases
