"""Appliances in wrappers, and those whose disks lie beside them; and what is read as another format than it is."""

from __future__ import annotations

import json
import lzma
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import imgtool
from fixtures.recipes.ova import disk, packed
from imgtool.conversion import api
from imgtool.conversion.batch import look_inside
from imgtool.errors import InputError, RejectedError
from imgtool.findings.core import Finding
from tests.disks.test_members import FIRST, SECOND, appliance
from tests.kit import fixture
from tests.test_cli import call

CONTENTS = {"disk1": FIRST, "disk2": SECOND}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A descriptor with two disks beside it, and all of them in a wrapped archive."""
    vmdk, qcow2 = disk(data=FIRST), disk("qcow2", "", data=SECOND)
    members = appliance("disk1.vmdk", "disk2.qcow2", contents=(vmdk, qcow2))
    for name, data in members:
        (tmp_path / name).write_bytes(data)
    (tmp_path / "two.ova.xz").write_bytes(lzma.compress(packed(members)))
    return tmp_path


def codes(findings: Iterable[Finding]) -> set[str]:
    """The codes of findings."""
    return {finding.code for finding in findings}


@pytest.mark.parametrize(("name", "more"), [("two.ova.xz", ()), ("two.ovf", ("--follow",))])
def test_each_disk_is_converted(folder: Path, name: str, more: tuple[str, ...]) -> None:
    """Each into a target of its own, or the one that is named; `measure` tells the same."""
    done = call("convert", name, *more, "--to", "raw", "--out-dir", "out", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["member"], one["source_format"], one["verified"]) for one in told] == [
        ("disk1.vmdk", "vmdk", True),
        ("disk2.qcow2", "qcow2", True),
    ]
    for base, data in CONTENTS.items():
        assert (folder / "out" / f"{base}.raw").read_bytes() == data.ljust(1 << 20, b"\0")
    one = ("--member", "disk2.qcow2", "--to", "raw")
    assert call("convert", name, *more, *one, "--output", "one.raw", cwd=folder).returncode == 0
    assert (folder / "one.raw").read_bytes().startswith(SECOND)
    measured = call("measure", name, *more, "--to", "raw", "--json", cwd=folder)
    assert [json.loads(line)["member"] for line in measured.stdout.splitlines()] == ["disk1.vmdk", "disk2.qcow2"]
    refused = call("convert", name, *more, "--to", "raw", "--output", "x.raw", cwd=folder)
    assert refused.returncode == 2
    assert b"several disks in it (disk1.vmdk, disk2.qcow2)" in refused.stderr


def test_a_descriptor_without_leave(folder: Path) -> None:
    """What it names is no disk of it then, and it is refused for naming it."""
    assert look_inside(str(folder / "two.ovf")).disks == ()
    assert look_inside(str(folder / "two.ovf"), follow=True).disks == ("disk1.vmdk", "disk2.qcow2")
    with pytest.raises(RejectedError, match=r"IMG101.*; --follow opens what lies in the image's own folder"):
        imgtool.convert(folder / "two.ovf", folder / "x.raw", "raw", member="disk1.vmdk")


def test_a_disk_beside_a_descriptor_is_judged(folder: Path) -> None:
    """As it is where it is converted by its own name; and so is what is lost of it."""
    (folder / "disk2.qcow2").write_bytes(fixture("qcow2/snapshots.qcow2"))
    how: dict[str, Any] = {"follow": True, "member": "disk2.qcow2"}
    done = imgtool.convert(folder / "two.ovf", folder / "x.raw", "raw", **how)
    assert (done.source_format, done.container) == ("qcow2", "ovf")
    assert {"CNV001", "CNV010"} <= codes(done.losses)
    (folder / "disk2.qcow2").write_bytes(fixture("qcow2/hostile-counts-huge.qcow2"))
    for source, words in ((folder / "two.ovf", how), (folder / "disk2.qcow2", {})):
        with pytest.raises(RejectedError, match=r"disk2\.qcow2: rejected by the policy default: IMG002"):
            imgtool.convert(source, folder / "y.raw", "raw", **words)


def test_a_disk_beside_a_descriptor_that_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After it was judged: nothing is written."""
    real: Callable[..., Any] = api.judged_beside

    def late(*words: Any) -> Any:
        report = real(*words)
        os.replace(folder / "disk2.qcow2", folder / "disk1.vmdk")
        return report

    monkeypatch.setattr(api, "judged_beside", late)
    with pytest.raises(InputError, match=r"disk1\.vmdk: changed while it was opened"):
        imgtool.convert(folder / "two.ovf", folder / "x.raw", "raw", follow=True, member="disk1.vmdk")
    assert not (folder / "x.raw").exists()


@pytest.mark.parametrize(("name", "detected"), [("disk2.qcow2", "qcow2"), ("two.ova", "vmdk")])
def test_what_is_read_as_another_format(folder: Path, name: str, detected: str) -> None:
    """Is called what it is read as, with nothing around it, of which nothing stays behind."""
    (folder / "two.ova").write_bytes(lzma.decompress((folder / "two.ova.xz").read_bytes()))
    assert imgtool.inspect(folder / name, ()).format == detected
    words: dict[str, Any] = {"format": "raw", "if_unsafe": "allow"}
    done = imgtool.convert(folder / name, folder / "x.qcow2", "qcow2", **words)
    told = imgtool.measure(folder / name, "qcow2", **words)
    assert (done.source_format, done.container) == (told.source_format, told.container) == ("raw", "bare")
    assert done.virtual_size == (folder / name).stat().st_size
    assert codes(done.losses) == codes(told.losses) == set()
