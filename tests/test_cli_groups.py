"""Verbs with verbs of their own: each has a help whose examples run, on a catalog that has an image of every kind."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from imgtool.cli.groups import GROUPS, command_of
from imgtool.cli.main import app
from imgtool.errors import EXIT_TABLE
from tests.catalog.seed import launched, seeded
from tests.test_cli import examples_of

#: Options that every verb of a group takes: the group's own help has examples of them.
COMMON = {"--help", "--config", "--catalog", "--as", "--access"}


def leaves() -> Iterator[tuple[str, ...]]:
    """The commands of all groups, by their words."""
    for name in GROUPS:
        yield from _below((name,), command_of(name))


def inner() -> Iterator[tuple[str, ...]]:
    """The commands of groups that have commands of their own."""
    for name in GROUPS:
        command = command_of(name)
        for word in command.list_commands(None):
            if hasattr(command.get_command(None, word), "list_commands"):
                yield name, word


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


#: What a shell makes more of than words.
_SHELL = frozenset("|&;<>$`*?~()")


def run_examples(help_text: str, folder: Path) -> None:
    """Run the examples of a help one after the other, as an administrator."""
    shown = examples_of(help_text)
    assert shown
    for example in shown:
        commands = example.split(" && ")
        if any(_SHELL & set(command) or not command.startswith("imgtool ") for command in commands):
            commands = [example]
        for command in commands:
            status, told = _ran(command, folder)
            assert status == 0, f"{command}: {told}"


def _ran(command: str, folder: Path) -> tuple[int, str]:
    """The status of a command, and what it says on stderr: by a shell where it needs one, else in this process."""
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    told = {"PATH": path, "IMGTOOL_CATALOG": "catalog", "IMGTOOL_AS": "root:ops:admin", "IMGTOOL_CONFIG": "/dev/null"}
    if _SHELL & set(command) or not command.startswith("imgtool "):
        env = {**os.environ, **told}
        ran = subprocess.run(command, shell=True, cwd=folder, capture_output=True, env=env, check=False)
        return ran.returncode, ran.stderr.decode()
    with chdir(folder):
        done = CliRunner().invoke(app, shlex.split(command)[1:], env=told)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stderr


def help_of(*words: str) -> str:
    """The help of a command."""
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0
    return done.stdout


@pytest.mark.parametrize("words", [*leaves()], ids=" ".join)
def test_help_has_examples_that_run(words: tuple[str, ...], folder: Path) -> None:
    """Each command's help has an example of every option of its own, ends with the statuses, and its examples run."""
    told = help_of(*words)
    options = set(re.findall(r"(--[a-z0-9-]+)", told.partition("Examples:")[0].partition("Options:")[2]))
    missing = {one for one in options - COMMON if not any(one in example for example in examples_of(told))}
    assert not missing
    for status, meaning in EXIT_TABLE:
        assert re.search(rf"{status}\s+{re.escape(meaning[:20])}", told)
    run_examples(told, folder)


@pytest.mark.parametrize("name", [*GROUPS])
def test_the_help_of_a_group_has_what_all_take(name: str, folder: Path) -> None:
    """The options that all its commands take stand in its examples, and those run."""
    told = help_of(name)
    assert not {one for one in COMMON - {"--help"} if not any(one in example for example in examples_of(told))}
    run_examples(told, folder)


@pytest.mark.parametrize("words", [*inner()], ids=" ".join)
def test_the_help_between_has_examples_that_run(words: tuple[str, ...], folder: Path) -> None:
    """That of a command of a group that has commands itself: it ends as all others do."""
    told = help_of(*words)
    for status, meaning in EXIT_TABLE:
        assert re.search(rf"{status}\s+{re.escape(meaning[:20])}", told)
    run_examples(told, folder)
