"""Verbs with verbs of their own: each has a help whose examples run, on a catalog that has an image of every kind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgtool.cli.groups import GROUPS, command_of
from imgtool.errors import EXIT_TABLE
from tests.catalog.seed import launched, seeded
from tests.test_cli import call, examples_of

#: Options that every verb of a group takes: the group's own help has examples of them.
COMMON = {"--help", "--config", "--catalog", "--as", "--access"}


def leaves() -> Iterator[tuple[str, ...]]:
    """The commands of all groups, by their words."""
    for name in GROUPS:
        yield from _below((name,), command_of(name))


def _below(words: tuple[str, ...], command: Any) -> Iterator[tuple[str, ...]]:
    if not hasattr(command, "list_commands"):
        yield words
        return
    for name in command.list_commands(None):
        yield from _below((*words, name), command.get_command(None, name))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files and the catalog that examples name."""
    folder = tmp_path_factory.mktemp("seed")
    seeded(folder)
    launched(folder)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(template, tmp_path / "here", symlinks=True)
    return tmp_path / "here"


def run_examples(help_text: str, folder: Path) -> None:
    """Run the examples of a help one after the other, as an administrator."""
    shown = examples_of(help_text)
    assert shown
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    told = {"PATH": path, "IMGTOOL_CATALOG": "catalog", "IMGTOOL_AS": "root:ops:admin", "IMGTOOL_CONFIG": "/dev/null"}
    for example in shown:
        ran = subprocess.run(
            example, shell=True, cwd=folder, capture_output=True, env={**os.environ, **told}, check=False
        )
        assert ran.returncode == 0, f"{example}: {ran.stderr.decode()}"


@pytest.mark.parametrize("words", [*leaves()], ids=" ".join)
def test_help_has_examples_that_run(words: tuple[str, ...], folder: Path) -> None:
    """Each command's help has an example of every option of its own, ends with the statuses, and its examples run."""
    done = call(*words, "--help")
    told = done.stdout.decode()
    assert done.returncode == 0
    options = set(re.findall(r"(--[a-z0-9-]+)", told.partition("Examples:")[0].partition("Options:")[2]))
    missing = {one for one in options - COMMON if not any(one in example for example in examples_of(told))}
    assert not missing
    for status, meaning in EXIT_TABLE:
        assert re.search(rf"{status}\s+{re.escape(meaning[:20])}", told)
    run_examples(told, folder)


@pytest.mark.parametrize("name", [*GROUPS])
def test_the_help_of_a_group_has_what_all_take(name: str, folder: Path) -> None:
    """The options that all its commands take stand in its examples, and those run."""
    told = call(name, "--help").stdout.decode()
    assert not {one for one in COMMON - {"--help"} if not any(one in example for example in examples_of(told))}
    run_examples(told, folder)
