"""`imgtool validate --output-format`: verdicts on real images in every format, by the command and the library."""

from __future__ import annotations

import functools
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml

import imgtool
from imgtool.model.verdict import Verdict
from imgtool.render import github, junit
from imgtool.render.escape import terminal
from tests.kit import fixture, images
from tests.render.test_github import read
from tests.render.test_sarif import run_of, validator
from tests.test_cli import call

NAMES = {"good": "qcow2/plain.qcow2", "bad": "qcow2/backing.qcow2", "warned": "qcow2/snapshots.qcow2"}


@functools.cache
def all_verdicts() -> tuple[Verdict, ...]:
    """What `strict` says of every fixture, with the fixture's name as its path."""
    judged = [imgtool.validate(io.BytesIO(fixture(name)), policy="strict") for name in images()]
    return tuple(one._replace(path=name) for name, one in zip(images(), judged, strict=True))


def test_sarif_of_every_fixture() -> None:
    """The official schema holds for one log of all; every finding is a result, in its file."""
    run = run_of(*all_verdicts())
    expected = [(one.path, finding.code) for one in all_verdicts() for finding in one.findings]
    uris = [result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"]]
    assert list(zip(uris, [result["ruleId"] for result in run["results"]], strict=True)) == expected
    assert all("help" in rule for rule in run["tool"]["driver"]["rules"])
    below = [artifact for artifact in run["artifacts"] if "parentIndex" in artifact]
    assert below
    assert all("roles" in run["artifacts"][one["parentIndex"]] or "parentIndex" in one for one in below)


def test_junit_of_every_fixture() -> None:
    """A standard reader finds a case for each; the rejected ones have failed."""
    document = JUnitXml.fromfile(io.BytesIO(junit.document(all_verdicts()).encode()))
    (suite,) = document
    assert [(case.name, case.is_failure) for case in suite] == [
        (one.path, not one.accepted) for one in all_verdicts()
    ]
    assert document.failures == sum(not one.accepted for one in all_verdicts())


def test_annotations_of_every_fixture() -> None:
    """A line for each finding; every rejected file has an error."""
    for one in all_verdicts():
        found = read(github.lines(one))
        assert len(found) >= len(one.findings)
        assert {file for _, file, _, _ in found} <= {one.path}
        assert one.accepted or any(level == "error" for level, *_ in found)
        for finding, (_, _, title, message) in zip(one.findings, found, strict=False):
            assert title == f"{finding.code} {finding.name}"
            assert terminal(finding.message) in message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a good image, a bad one and one with a warning."""
    (tmp_path / "images").mkdir()
    for name, source in NAMES.items():
        (tmp_path / "images" / f"{name}.qcow2").write_bytes(fixture(source))
    return tmp_path


def validated(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """`imgtool validate` in a folder."""
    return call("validate", *arguments, cwd=folder)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_sarif_is_one_document(folder: Path, jobs: str) -> None:
    """Of many inputs, in their order; exit 1 for the bad one."""
    done = validated(folder, "--output-format", "sarif", "--jobs", jobs, "--recursive", "images")
    assert (done.returncode, done.stderr) == (1, b"")
    log = json.loads(done.stdout)
    validator().validate(log)
    (run,) = log["runs"]
    files = [artifact["location"]["uri"] for artifact in run["artifacts"]]
    assert files == ["images/bad.qcow2", "images/good.qcow2", "images/warned.qcow2"]
    (bad, *_) = run["results"]
    assert (bad["ruleId"], bad["level"]) == ("IMG101", "error")
    assert bad["locations"][0]["physicalLocation"]["region"]["byteOffset"] > 0


def test_junit_is_one_document(folder: Path) -> None:
    """Of many inputs; what cannot be read is an error in it, and tells in the exit status."""
    done = validated(folder, "--output-format", "junit", "images/bad.qcow2", "gone.img", "images/good.qcow2")
    assert done.returncode == 3
    assert b"gone.img" in done.stderr
    document = JUnitXml.fromfile(io.BytesIO(done.stdout))
    assert (document.tests, document.failures, document.errors) == (3, 1, 1)


def test_github_is_a_line_each(folder: Path) -> None:
    """As they are judged: an error, and that it was not followed; nothing; a warning; what cannot be read."""
    done = validated(folder, "--output-format", "github", "--recursive", "images", "gone.img")
    assert done.returncode == 3
    found = read(done.stdout.decode())
    assert [(level, file) for level, file, *_ in found] == [
        ("error", "images/bad.qcow2"),
        ("warning", "images/bad.qcow2"),
        ("warning", "images/warned.qcow2"),
        ("error", "gone.img"),
    ]


def test_sarif_of_what_cannot_be_read(folder: Path) -> None:
    """A log of a run that was not successful."""
    done = validated(folder, "--output-format", "sarif", "gone.img")
    assert done.returncode == 3
    (run,) = json.loads(done.stdout)["runs"]
    assert not run["invocations"][0]["executionSuccessful"]
    assert run["results"] == []


@pytest.mark.parametrize("form", ["sarif", "junit", "github"])
def test_standard_input(form: str) -> None:
    """`-` is the file's name in every format."""
    done = call("validate", "--output-format", form, "-", stdin=fixture("qcow2/snapshots.qcow2"))
    assert done.returncode == 0
    told: Any = done.stdout.decode()
    if form == "sarif":
        assert json.loads(told)["runs"][0]["artifacts"][0]["location"]["uri"] == "-"
    elif form == "junit":
        assert '<testcase classname="imgtool validate" name="-" file="-">' in told
    else:
        assert told.startswith("::warning file=-,title=QCW030 ")
