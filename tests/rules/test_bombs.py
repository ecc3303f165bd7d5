"""Bombs: rejected with the right code, in bounded time and memory, by a process of its own."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys

import pytest

import imgtool
from imgtool.limits import DEFAULT
from tests.kit import ROOT, fixture
from tests.policy.kit import errors
from tests.rules.bombs import BOMBS, HOSTILE, MIB, WARNED, ZEROS

SECONDS = 20.0  #: for one file, on a busy machine; each takes a fraction of it
MEMORY = 400.0  #: MiB, the interpreter and numpy included


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """What a child process said of every bomb and hostile fixture, by name."""
    folder = tmp_path_factory.mktemp("bombs")
    names: dict[str, str] = {}
    for number, (name, data) in enumerate(
        [*((name, make()) for name, (make, _) in BOMBS.items()), *((name, fixture(name)) for name in HOSTILE)]
    ):
        path = folder / f"{number}"
        path.write_bytes(data)
        names[str(path)] = name
    command = [sys.executable, "-m", "tests.rules.judging", *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {names[line["path"]]: line for line in lines}


@pytest.mark.parametrize("name", [*BOMBS, *HOSTILE])
def test_a_bomb(judged: dict[str, dict[str, object]], name: str) -> None:
    """Rejected (or warned of), soon, with little memory; with its code where it was built here."""
    line = judged[name]
    told = line["errors"]
    assert isinstance(told, list)
    assert line["accepted"] == (name in WARNED)
    assert line["codes"]
    assert not [code for code in told if code.startswith("IMG9")]
    assert name not in BOMBS or BOMBS[name][1] & set(told), told
    assert isinstance(line["seconds"], float)
    assert line["seconds"] < SECONDS
    assert isinstance(line["memory"], float)
    assert line["memory"] < MEMORY


@pytest.mark.parametrize("name", ZEROS)
def test_output_stops_at_its_cap(name: str) -> None:
    """One byte more than the cap is an error: the cap is proved, not believed from a header. A ratio is a warning."""
    data = ZEROS[name]()
    limits = DEFAULT._replace(wrapper_output=16 * MIB)
    told = imgtool.validate(io.BytesIO(data), limits=limits)
    assert "IMG201" in errors(told), told.findings
    exact = imgtool.validate(io.BytesIO(data), limits=DEFAULT._replace(wrapper_output=64 * MIB))
    assert "IMG201" not in errors(exact), exact.findings
    low = DEFAULT._replace(wrapper_ratio_floor=MIB, wrapper_ratio_warning=100)
    warned = imgtool.validate(io.BytesIO(data), limits=low)
    assert {finding.code: finding.severity for finding in warned.findings}.get("ZIP201") == "warning"


def test_a_wrapper_that_holds_itself() -> None:
    """Nesting ends at the depth of the policy, and that rejects."""
    data = fixture("compressed/nested.gzip")
    for _ in range(6):
        data = gzip.compress(data)
    told = imgtool.validate(io.BytesIO(data))
    assert "IMG202" in errors(told)
