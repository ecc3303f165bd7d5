"""Verbs of images as they are typed, in this process, in a folder with a catalog that has images of every kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

import jsonschema
from click.testing import Result
from typer.testing import CliRunner

from imgtool.cli.main import app
from imgtool.model.schema import SCHEMAS
from tests.catalog.seed import ADMIN

CAROL = "carol:lab:member"  #: `shared` is shared with her project, which said nothing yet
DAVE = "dave:other:member"  #: an outsider
RITA = "rita:ops:reader"  #: of the owning project, who may only read
OTTO = "otto:ops:member"  #: of the owning project


class Typed:
    """Types a command into the folder. What it raises but an end is raised."""

    def __init__(self, folder: Path, place: str = "catalog", more: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._told = {"IMGTOOL_CATALOG": place, "IMGTOOL_CONFIG": "/dev/null", **(more or {})}

    def __call__(self, *words: str, who: str = ADMIN, stdin: bytes | None = None, group: str = "image") -> Result:
        with chdir(self.folder):
            done = CliRunner().invoke(app, [group, *words], input=stdin, env={**self._told, "IMGTOOL_AS": who})
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    def objects(self, *words: str, schema: str = "image", who: str = ADMIN, stdin: bytes | None = None) -> list[Any]:
        """What a command that ends with 0 prints as JSON lines, each of a schema."""
        at = words.index("--") if "--" in words else len(words)
        done = self(*words[:at], "--json", *words[at:], who=who, stdin=stdin)
        assert done.exit_code == 0, done.stderr
        assert done.stderr == ""
        told = [json.loads(line) for line in done.stdout.splitlines()]
        for one in told:
            jsonschema.validate(one, SCHEMAS[schema]())
        return told

    def one(self, *words: str, who: str = ADMIN, stdin: bytes | None = None) -> Any:
        """The one record that a command prints."""
        (told,) = self.objects(*words, who=who, stdin=stdin)
        return told

    def names(self, *words: str, who: str = ADMIN) -> list[str]:
        """The names that a list has, in its order."""
        return [one["name"] for one in self.objects("list", *words, who=who)]

    def refused(self, *words: str, who: str = ADMIN, stdin: bytes | None = None) -> tuple[int, str]:
        """The status of a command that fails and prints no result, and what it says on stderr."""
        done = self(*words, who=who, stdin=stdin)
        assert done.exit_code != 0
        assert done.stdout == ""
        return done.exit_code, done.stderr


def table_of(text: str) -> dict[str, str]:
    """A record's table: values by their fields; lines of further properties under "properties"."""
    found: dict[str, str] = {}
    field = ""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        field = name or field
        found[field] = value.strip() if name else f"{found[field]} {value.strip()}"
    return found
