"""qcow, version 1, against qemu-img, over its creation options."""

from __future__ import annotations

from pathlib import Path

import pytest

import imgtool
from imgtool.formats.qcow.facts import QcowFacts
from tests.kit import faults, need, no_bug, qemu_create, qemu_info, run

pytestmark = pytest.mark.oracle

SIZES = (512, 127 * 512, 1 << 20, (1 << 30) + 512, 1 << 40)
AES = ("encrypt.format=aes", "encrypt.key-secret=s")
SECRET = ("--object", "secret,id=s,data=oracle")


def agrees(path: Path, expected: frozenset[str] = frozenset()) -> QcowFacts:
    """The facts, after they were compared with what qemu-img says."""
    report = imgtool.inspect(path, checksums=())
    no_bug(report)
    told = qemu_info(path, "qcow")
    facts = report.details
    assert isinstance(facts, QcowFacts)
    assert (report.format, report.broken, report.partial) == ("qcow", False, False)
    assert report.virtual_size == told["virtual-size"]
    assert facts.cluster_size == told["cluster-size"]
    assert facts.backing_file == told.get("backing-filename")
    assert report.encrypted == told.get("encrypted", False)
    assert faults(report) == expected
    return facts


@pytest.mark.parametrize("size", SIZES)
def test_plain(tmp_path: Path, size: int) -> None:
    """Sizes from one sector to 1 TiB."""
    agrees(qemu_create(tmp_path / "x", "qcow", size))


@pytest.mark.full
def test_large(tmp_path: Path) -> None:
    """16 TiB: an L1 table of 64 MiB, under the cap."""
    agrees(qemu_create(tmp_path / "x", "qcow", 16 << 40))


@pytest.mark.parametrize("size", SIZES[:4])
def test_aes(tmp_path: Path, size: int) -> None:
    """Legacy AES is named, and an error."""
    facts = agrees(qemu_create(tmp_path / "x", "qcow", size, *AES, extra=SECRET), frozenset({"QCW450"}))
    assert facts.encryption == "aes"


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("name", ["base.img", "/srv/images/base.img", "nbd://localhost:10809/disk", "b" * 1023])
def test_backing_file(tmp_path: Path, name: str, encrypted: bool) -> None:
    """The name is a reference, up to the 1,023 bytes that QEMU allows."""
    options = (f"backing_file={name}", "backing_fmt=raw", *(AES if encrypted else ()))
    path = qemu_create(tmp_path / "x", "qcow", 1 << 20, *options, extra=("-u", *SECRET))
    unsafe = {"IMG102"} if name[0] == "/" or ":" in name else set()
    aes = {"QCW450"} if encrypted else set()
    assert agrees(path, frozenset({"IMG101", *unsafe, *aes})).backing_file == name


def test_with_data(tmp_path: Path) -> None:
    """Clusters with data change no fact of the header (QEMU 7.2 cannot write compressed ones)."""
    source = tmp_path / "source"
    source.write_bytes(b"\x5a" * 300_000 + bytes(700_000))
    path = tmp_path / "x"
    run(need("qemu-img"), "convert", "-O", "qcow", str(source), str(path))
    agrees(path)
