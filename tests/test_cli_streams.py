"""Standard streams that are closed or full: said in a line, with a status; no trace, nothing else written to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit import fixture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an image."""
    (tmp_path / "disk.img").write_bytes(fixture("qcow2/plain.qcow2"))
    return tmp_path


def shell(folder: Path, line: str, buffered: bool = True) -> tuple[int, str]:
    """A line of a shell: its status, and what it says on stderr."""
    told = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    path = {"PATH": f"{Path(sys.executable).parent}:{told['PATH']}"}
    unbuffered = {} if buffered else {"PYTHONUNBUFFERED": "1"}
    env = {**told, **path, **unbuffered}
    done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, env=env, check=False)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("verb", ["inspect", "validate", "checksum", "checksum --files0-from"])
def test_closed_input(folder: Path, verb: str) -> None:
    """What is to be read is not there: status 3."""
    assert shell(folder, f"imgtool {verb} - <&-") == (3, "imgtool: standard input is closed\n")


@pytest.mark.parametrize(
    "line", ["--help", "--version", "formats --help", "formats", "checksum disk.img", "validate disk.img"]
)
def test_full_output(folder: Path, line: str) -> None:
    """A result that cannot be written is status 5, told once, whether it is written at once or at the end."""
    for buffered in (True, False):
        told = shell(folder, f"imgtool {line} >/dev/full", buffered)
        assert told == (5, "imgtool: standard output: No space left on device\n")


def test_full_output_as_json(folder: Path) -> None:
    """An object of type error where objects were asked for."""
    status, told = shell(folder, "imgtool formats --json >/dev/full", buffered=False)
    assert status == 5
    assert json.loads(told) == {
        **{"type": "error", "code": "output", "exit": 5},
        **{"message": "standard output: No space left on device"},
    }


def test_closed_output(folder: Path) -> None:
    """It fails as a full one does; a file that is written meanwhile does not become it."""
    assert shell(folder, "imgtool formats >&-") == (5, "imgtool: standard output: Bad file descriptor\n")
    assert shell(folder, "imgtool formats <&- >&- 2>&-") == (5, "")
    status, _ = shell(folder, "imgtool convert disk.img -o new.img --to raw <&- >&-")
    assert status == 5
    assert (folder / "new.img").read_bytes() == bytes(1 << 20)


def test_closed_stderr(folder: Path) -> None:
    """The status is there, the words are not."""
    assert shell(folder, "imgtool inspect nothing 2>&-") == (3, "")
