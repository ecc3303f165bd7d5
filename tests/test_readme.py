"""README is executed: every console block prints what it shows, the Python runs, the tables are the code's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imgtool.errors import EXIT_TABLE
from tests.kit import ROOT

README = ROOT / "README.md"
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def shown(block: str, catalog: Path) -> str:
    """A console block as it is now: each command followed by what it prints. `catalog`: where there is none yet."""
    lines = []
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    told = {"PATH": path, "IMGTOOL_CATALOG": str(catalog), "IMGTOOL_CONFIG": os.devnull}
    for line in block.splitlines():
        if not line.startswith("$ "):
            continue
        done = subprocess.run(
            line[2:], shell=True, cwd=ROOT, capture_output=True, env={**os.environ, **told}, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        lines += [line, *done.stdout.decode().rstrip("\n").split("\n")]
    return "\n".join(lines) + "\n"


def blocks() -> list[str]:
    """The console blocks of README."""
    return _BLOCK.findall(README.read_text())


@pytest.mark.parametrize("number", range(len(blocks())))
def test_console_block(number: int, update: bool, tmp_path: Path) -> None:
    """What README shows is what is printed (sizes on disk aside: they depend on the file system)."""
    block = blocks()[number]
    now = shown(block, tmp_path / "catalog")
    if update:
        README.write_text(README.read_text().replace(block, now))
    else:
        assert _comparable(now) == _comparable(block)


def _comparable(text: str) -> str:
    """`text` without sizes on disk: the line of one report, the fourth column of the table."""
    text = re.sub(r"size on disk .*", "size on disk", text)
    return re.sub(r"^(.{38}).{10}( .*fixtures/.*)$", r"\1\2", text, flags=re.MULTILINE)


def test_python_block() -> None:
    """The Python of README runs and its assertions hold."""
    for code in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL):
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_exit_statuses() -> None:
    """README's table is the table of `imgtool.errors`."""
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", README.read_text(), re.MULTILINE)
    assert [(int(status), meaning) for status, meaning in rows] == list(EXIT_TABLE)


def test_two_commands() -> None:
    """README opens with the two lines; CI runs the second one."""
    first, second = re.findall(r"```sh\n(.*?)\n```", README.read_text(), re.DOTALL)
    assert ".venv/bin/imgtool inspect fixtures/" in first
    assert "\n" not in first
    assert second == "bash tests/run"
    assert second in (ROOT / ".ci" / "run").read_text()
