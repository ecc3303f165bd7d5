"""README's examples around `imgtool validate`: a push is refused, CI annotates, an upload does not happen."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.hooks.kit import BAD, GOOD, TOLD, blocks, environment, home_in, repository, run


def script(word: str) -> str:
    """The shell block that has a word in it."""
    (block,) = [block for block in blocks("bash") if word in block]
    return block


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home for git."""
    return home_in(tmp_path)


def pushing(tmp_path: Path, home: Path, images: dict[str, Path]) -> Path:
    """A repository with a commit, a bare one to push to, and README's pre-push hook."""
    place = repository(tmp_path / "work", home, {**images, "README": GOOD})
    run("git", "commit", "-q", "-m", "images", cwd=place, home=home)
    run("git", "init", "-q", "--bare", tmp_path / "far", cwd=tmp_path, home=home)
    run("git", "remote", "add", "origin", tmp_path / "far", cwd=place, home=home)
    hook = place / ".git" / "hooks" / "pre-push"
    hook.write_text(script("pre-push"))
    hook.chmod(0o755)
    return place


def push(place: Path, home: Path, *what: str) -> subprocess.CompletedProcess[str]:
    """`git push origin WHAT`, ended."""
    return run("git", "push", "-q", "origin", *(what or ("HEAD",)), cwd=place, home=home, check=False)


def test_a_push_with_a_bad_image_is_refused(tmp_path: Path, home: Path) -> None:
    """The message names the image, the code and the cure; nothing arrives."""
    place = pushing(tmp_path, home, {"images/good.qcow2": GOOD, "images/bad one.qcow2": BAD})
    done = push(place, home)
    told = done.stdout + done.stderr
    assert done.returncode == 1, told
    assert "images/bad one.qcow2" in told
    for part in TOLD:
        assert part in " ".join(told.split())
    assert run("git", "branch", "--list", cwd=tmp_path / "far", home=home).stdout == ""


def test_what_is_pushed_is_what_was_committed(tmp_path: Path, home: Path) -> None:
    """A bad image that lies in the folder, or only in the past of a branch that has arrived, stops nothing."""
    place = pushing(tmp_path, home, {"images/good.qcow2": GOOD})
    shutil.copyfile(BAD, place / "images" / "bad.qcow2")
    assert push(place, home).returncode == 0
    run("git", "add", "-A", cwd=place, home=home)
    run("git", "commit", "-q", "-m", "bad", cwd=place, home=home)
    (place / "images" / "bad.qcow2").unlink()
    refused = push(place, home)
    assert refused.returncode == 1
    assert "images/bad.qcow2" in refused.stdout + refused.stderr
    assert push(place, home, "--no-verify", "HEAD").returncode == 0
    run("git", "commit", "-q", "--allow-empty", "-m", "more", cwd=place, home=home)
    assert push(place, home).returncode == 0


def test_pushes_without_images(tmp_path: Path, home: Path) -> None:
    """A push of other files, and the removal of a branch, go through."""
    place = pushing(tmp_path, home, {"notes/text": GOOD})
    assert push(place, home, "HEAD:refs/heads/other").returncode == 0
    assert push(place, home, ":refs/heads/other").returncode == 0


def test_the_workflow(tmp_path: Path, home: Path) -> None:
    """Its commands run: annotations for the bad image and exit 1, a SARIF file with the same result."""
    (block,) = [block for block in blocks("yaml") if "runs-on" in block]
    steps = yaml.safe_load(block)["jobs"]["images"]["steps"]
    commands = [step["run"] for step in steps if "imgtool validate" in step.get("run", "")]
    place = repository(tmp_path / "work", home, {"images/good.qcow2": GOOD, "images/bad.qcow2": BAD})
    annotated, recorded = (run("sh", "-c", command, cwd=place, home=home, check=False) for command in commands)
    assert (annotated.returncode, recorded.returncode) == (1, 1)
    assert annotated.stdout.startswith("::error file=images/bad.qcow2,title=IMG101 ")
    upload = next(step for step in steps if "upload-sarif" in step.get("uses", ""))
    log = json.loads((place / upload["with"]["sarif_file"]).read_text())
    assert "IMG101" in [result["ruleId"] for result in log["runs"][0]["results"]]
    assert all(step.get("if") == "always()" for step in steps[steps.index(upload) - 1 :])


@pytest.mark.parametrize(("image", "uploaded"), [(GOOD, True), (BAD, False)])
def test_the_line_for_openstack(tmp_path: Path, home: Path, image: Path, uploaded: bool) -> None:
    """A good image is uploaded with the formats that were validated, a bad one is not."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "openstack").write_text('#!/bin/sh\necho "$@" > uploaded\n')
    (programs / "openstack").chmod(0o755)
    shutil.copyfile(image, tmp_path / "image.qcow2")
    path = f"{programs}:{environment(home)['PATH']}"
    done = run("env", f"PATH={path}", "sh", "-c", script("openstack"), cwd=tmp_path, home=home, check=False)
    assert (done.returncode == 0) == uploaded, done.stdout + done.stderr
    assert (tmp_path / "uploaded").exists() == uploaded
    if uploaded:
        told = (tmp_path / "uploaded").read_text()
        assert "--disk-format qcow2 --container-format bare --file image.qcow2" in told
    else:
        assert all(part in " ".join(done.stdout.split()) for part in TOLD)
