"""Repositories with images in them, the blocks of README's section on hooks, a clean environment for git."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.kit import FIXTURES, ROOT

GOOD = FIXTURES / "qcow2" / "plain.qcow2"
BAD = FIXTURES / "qcow2" / "backing.qcow2"

#: What a message about BAD must say: its code, and what to do about it.
TOLD = ("IMG101", "make it self-contained", "qemu-img convert")


def environment(home: Path) -> dict[str, str]:
    """This environment without git's variables, this Python's programs first, a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "PRE_COMMIT_HOME": str(home / "pre-commit"),
        "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "NO_COLOR": "1",
    }


def run(*command: str | Path, cwd: Path, home: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command that has ended, its output as text."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def home_in(folder: Path) -> Path:
    """A home with a git configuration: a name, and trust in every repository (a clone may have another owner)."""
    home = folder / "home"
    home.mkdir()
    config = "[user]\nname = A\nemail = a@example.com\n[safe]\ndirectory = *\n[init]\ndefaultBranch = main\n"
    (home / "gitconfig").write_text(config)
    return home


def repository(folder: Path, home: Path, images: dict[str, Path]) -> Path:
    """A repository with images, all in the index, and nothing committed."""
    folder.mkdir(parents=True)
    run("git", "init", "-q", cwd=folder, home=home)
    for name, source in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)
    run("git", "add", "-A", cwd=folder, home=home)
    return folder


def blocks(language: str) -> list[str]:
    """The blocks of a language in README's section "Hooks"."""
    section = re.split(r"^## ", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    (hooks,) = [part for part in section if part.startswith("Hooks\n")]
    return re.findall(rf"```{language}\n(.*?)```", hooks, re.DOTALL)
