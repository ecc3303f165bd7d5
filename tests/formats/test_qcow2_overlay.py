"""Writing qcow2 overlays: QEMU, the reader and the deep check agree on them; sizes at the edges."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import imgtool
from imgtool.errors import UnsupportedError, UsageError
from imgtool.formats.qcow2.write.overlay import write_overlay
from imgtool.inspection.deep import check
from imgtool.targets.output import FileOutput

GIB = 1 << 30


def made(folder: Path, size: int, backing: str = "base", form: str = "raw") -> str:
    """An overlay's path."""
    path = str(folder / "overlay")
    with FileOutput(path) as output:
        seen = write_overlay(output, size, backing, form)
        output.commit()
    assert seen == -(-size // 512) * 512
    return path


@pytest.mark.parametrize("size", [1, 512, 65536, 65537, 20 * GIB, 160 * GIB, 1 << 50])
def test_any_size(tmp_path: Path, size: int) -> None:
    """Nothing is allocated, and nothing is wrong."""
    (tmp_path / "base").write_bytes(b"x" * 512)
    path = made(tmp_path, size)
    told = json.loads(subprocess.run(
        ["qemu-img", "info", "--output=json", path], capture_output=True, check=True
    ).stdout)  # fmt: skip
    assert told["virtual-size"] == -(-size // 512) * 512
    assert (told["backing-filename"], told["backing-filename-format"]) == ("base", "raw")
    done = subprocess.run(["qemu-img", "check", "--output=json", path], capture_output=True, check=True)
    assert json.loads(done.stdout)["check-errors"] == 0
    report = imgtool.inspect(path, ())
    assert [(one.kind, one.value, one.format) for one in report.references] == [("backing", "base", "raw")]
    assert {one.code for one in check(path).findings} == {"IMG101"}
    with imgtool.open_disk(path, follow=True) as disk:
        assert disk.read_at(0, 512) == b"x" * 512


@pytest.mark.parametrize("name", ["b", "b" * 255, "../blobs/" + "ü" * 100, "d/" * 511 + "b"])
def test_any_name(tmp_path: Path, name: str) -> None:
    """Of up to 1,023 bytes."""
    (reference,) = imgtool.inspect(made(tmp_path, GIB, name, "qcow2"), ()).references
    assert (reference.value, reference.format) == (name, "qcow2")


@pytest.mark.parametrize(("name", "form"), [("", "raw"), ("b" * 1024, "raw"), ("base", "")])
def test_what_is_no_backing_file(tmp_path: Path, name: str, form: str) -> None:
    """A name, and a format, always."""
    with pytest.raises(UsageError, match="a backing file has a format, and a name of 1 to 1023 bytes"):
        made(tmp_path, GIB, name, form)
    assert list(tmp_path.iterdir()) == []


def test_what_is_too_large(tmp_path: Path) -> None:
    """It is said before anything is written."""
    with pytest.raises(UnsupportedError, match="are more than a qcow2 holds"):
        made(tmp_path, 1 << 62)
    assert list(tmp_path.iterdir()) == []
