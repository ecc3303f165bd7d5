"""The hook for pre-commit: its definition, and the real program running it on good and bad images."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.hooks.kit import BAD, GOOD, TOLD, blocks, home_in, repository, run
from tests.kit import ROOT, images

MANIFEST = ROOT / ".pre-commit-hooks.yaml"


def definition() -> dict[str, object]:
    """The one hook that the manifest defines."""
    (hook,) = yaml.safe_load(MANIFEST.read_text())
    assert isinstance(hook, dict)
    return hook


def test_definition(tmp_path: Path) -> None:
    """pre-commit finds it valid; the id and the entry are those that README names."""
    run("pre-commit", "validate-manifest", MANIFEST, cwd=ROOT, home=home_in(tmp_path))
    hook = definition()
    assert (hook["id"], hook["entry"], hook["language"]) == ("imgtool-validate", "imgtool validate", "python")


@pytest.mark.parametrize(
    "name",
    ["a.qcow2", "A.QCOW2", "dir/b.vmdk", "c.vhd", "d.vhdx", "e.vdi", "f.iso", "g.img", "h.raw", "i.ova", "j.img.xz"],
)
def test_files_that_are_looked_at(name: str) -> None:
    """Names of images, in any case, compressed or not."""
    assert re.search(str(definition()["files"]), name)


@pytest.mark.parametrize("name", ["a.qcow2.json", "img", "a.xz", "raw.txt", "isolated", "b.tar.gz"])
def test_files_that_are_not(name: str) -> None:
    """Other files that are kept beside images."""
    assert not re.search(str(definition()["files"]), name)


def test_suffixes_of_fixtures() -> None:
    """Most fixtures are looked at by their names: a format's usual suffix is not forgotten."""
    suffixes = {Path(name.removesuffix(".gz")).suffix for name in images()}
    wanted = {".qcow2", ".qcow", ".qed", ".vmdk", ".vhd", ".vhdx", ".vdi", ".iso", ".img", ".ova", ".ovf", ".dmg"}
    pattern = str(definition()["files"])
    assert {suffix for suffix in suffixes & wanted if not re.search(pattern, f"a{suffix}")} == set()


def configured(tmp_path: Path, hooks: Path, revision: str, home: Path, extra: str = "") -> Path:
    """A repository with README's configuration and a good and a bad image in the index."""
    place = repository(tmp_path / "work", home, {"images/good.qcow2": GOOD, "images/bad.qcow2": BAD})
    (block,) = [block for block in blocks("yaml") if "imgtool-validate" in block]
    block = re.sub(r"(repo: ).*", rf"\g<1>{hooks}", block)
    block = re.sub(r"(rev: ).*", rf"\g<1>{revision}", block)
    (place / ".pre-commit-config.yaml").write_text(block.rstrip("\n") + extra + "\n")
    run("git", "add", "-A", cwd=place, home=home)
    return place


def blocks_the_bad_one(place: Path, home: Path) -> None:
    """The commit is refused for the bad image, with the cure; without it, it goes through."""
    run("pre-commit", "install", cwd=place, home=home)
    refused = run("git", "commit", "-q", "-m", "images", cwd=place, home=home, check=False)
    told = refused.stdout + refused.stderr
    assert refused.returncode == 1, told
    assert "images/bad.qcow2" in told
    for part in TOLD:
        assert part in " ".join(told.split())
    run("git", "rm", "-q", "--cached", "images/bad.qcow2", cwd=place, home=home)
    done = run("git", "commit", "-q", "-m", "images", cwd=place, home=home)
    assert "imgtool validate" in done.stdout + done.stderr
    assert "Passed" in done.stdout + done.stderr


def test_pre_commit_runs_the_hook(tmp_path: Path) -> None:
    """The real pre-commit with our definition, imgtool being the one that is installed here."""
    home = home_in(tmp_path)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    shutil.copy(MANIFEST, hooks)
    run("git", "init", "-q", cwd=hooks, home=home)
    run("git", "add", "-A", cwd=hooks, home=home)
    run("git", "commit", "-q", "-m", "hooks", cwd=hooks, home=home)
    revision = run("git", "rev-parse", "HEAD", cwd=hooks, home=home).stdout.strip()
    place = configured(tmp_path, hooks, revision, home, extra="\n        language: system")
    blocks_the_bad_one(place, home)


@pytest.mark.full
def test_pre_commit_installs_and_runs_the_hook(tmp_path: Path) -> None:
    """The real pre-commit, which clones this repository and installs it as users have it."""
    home = home_in(tmp_path)
    clone = tmp_path / "imgtool"
    run("git", "clone", "-q", ROOT, clone, cwd=tmp_path, home=home)
    revision = run("git", "rev-parse", "HEAD", cwd=clone, home=home).stdout.strip()
    blocks_the_bad_one(configured(tmp_path, clone, revision, home), home)
