"""Targets of the engine qemu-img: contents × sizes × targets × options, proved by qemu-img and by ourselves."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import imgtool
from imgtool.conversion import qemu_img
from imgtool.conversion.qemu_options import TARGETS, luks_header
from imgtool.errors import ToolError
from imgtool.inspection.deep import check
from imgtool.targets.options import Value
from tests.conversion.standin import opened, values
from tests.kit import need, qemu_info, report_of, run
from tests.oracle.write_kit import CONTENTS, MIB, proved, same_content, source
from tests.targets.kit import loop_device

pytestmark = pytest.mark.oracle

SIZES = (512, 65_537, 2 * MIB + 512, 7 * MIB + 1000, 33 * MIB)


class Choice(NamedTuple):
    """A target with options; `told`: what `qemu-img info` says of them, by the path in its JSON."""

    target: str
    options: dict[str, str]
    told: dict[str, Any]
    compress: bool = False
    encrypted: bool = False


def qcow2(options: dict[str, str], compress: bool = False, **told: Any) -> Choice:
    """A qcow2 with what is said of it under format-specific/data."""
    return Choice("qcow2", options, {f"format-specific/data/{name}": value for name, value in told.items()}, compress)


CHOICES = (
    Choice("raw", {}, {}),
    Choice("raw", {"preallocation": "falloc"}, {}),
    Choice("raw", {"preallocation": "full"}, {}),
    qcow2({}, compat="1.1", refcount_bits=16),
    qcow2({"cluster_size": "512"}),
    qcow2({"cluster_size": "2M", "refcount_bits": "64"}, refcount_bits=64),
    qcow2({"refcount_bits": "1", "cluster_size": "4K"}, refcount_bits=1),
    qcow2({"compat": "v2"}, compat="0.10"),
    qcow2({"extended_l2": "on"}, extended_l2=True),
    qcow2({"lazy_refcounts": "on"}, lazy_refcounts=True),
    qcow2({"preallocation": "metadata"}),
    qcow2({"preallocation": "falloc"}),
    qcow2({"preallocation": "full"}),
    qcow2({}, compress=True, compression_type="zlib"),
    qcow2({"compression_type": "zstd", "cluster_size": "128K"}, compress=True, compression_type="zstd"),
    qcow2({"compat": "0.10", "cluster_size": "4K"}, compress=True, compat="0.10"),
    Choice("qcow", {}, {"cluster-size": 4096}),
    Choice("qed", {}, {"cluster-size": 65536}),
    Choice("qed", {"cluster_size": "4K", "table_size": "2"}, {"cluster-size": 4096}),
    Choice("qed", {"cluster_size": "1M", "table_size": "16"}, {"cluster-size": MIB}),
    Choice("vhd", {}, {"cluster-size": 2 * MIB}),
    Choice("vhd", {"subformat": "fixed"}, {}),
    Choice("vhdx", {}, {"cluster-size": 8 * MIB}),
    Choice("vhdx", {"subformat": "fixed"}, {}),
    Choice("vhdx", {"block_size": "1M", "log_size": "3M"}, {"cluster-size": MIB}),
    Choice("vhdx", {"block_state_zero": "off"}, {}),
    Choice("vdi", {}, {"cluster-size": MIB}),
    Choice("vdi", {"static": "on"}, {}),
    Choice("vmdk", {}, {"format-specific/data/create-type": "monolithicSparse"}),
    Choice("vmdk", {"subformat": "streamOptimized"}, {"format-specific/data/create-type": "streamOptimized"}),
    Choice("vmdk", {"adapter_type": "lsilogic", "zeroed_grain": "on"}, {}),
    Choice("vmdk", {"compat6": "on", "toolsversion": "11000"}, {}),
    Choice("parallels", {}, {}),
    Choice("parallels", {"cluster_size": "64K"}, {}),
)
_LUKS = {"iter-time": "10"}
ENCRYPTED = (
    Choice("luks", _LUKS, {"encrypted": True, "format-specific/data/cipher-mode": "xts"}, encrypted=True),
    Choice(
        "luks",
        {**_LUKS, "cipher-alg": "serpent-256", "hash-alg": "sha512", "preallocation": "full"},
        {"format-specific/data/cipher-alg": "serpent-256", "format-specific/data/hash-alg": "sha512"},
        encrypted=True,
    ),
    Choice(
        "luks",
        {**_LUKS, "cipher-alg": "aes-128", "cipher-mode": "cbc", "ivgen-alg": "essiv", "ivgen-hash-alg": "sha256"},
        {"format-specific/data/ivgen-alg": "essiv", "format-specific/data/cipher-mode": "cbc"},
        encrypted=True,
    ),
    Choice(
        "qcow2",
        {"encrypt.format": "luks", "encrypt.iter-time": "10", "encrypt.cipher-alg": "aes-128"},
        {"format-specific/data/encrypt/format": "luks", "format-specific/data/encrypt/cipher-alg": "aes-128"},
        encrypted=True,
    ),
)
MATRIX = tuple(itertools.product(CONTENTS, SIZES, range(len(CHOICES))))
#: Formats that `qemu-img check` knows and counts right.
CHECKED = {"qcow2", "vhdx", "vdi", "vmdk", "parallels"}


def chosen(choice: Choice) -> dict[str, Value]:
    """All options of a choice, checked."""
    return values(choice.target, **{name.replace(".", "__"): text for name, text in choice.options.items()})


def made(folder: Path, raw: Path, choice: Choice, secret: Path | None = None) -> Path:
    """The image that the engine makes, by way of a file of its own."""
    path = folder / f"image.{choice.target}"
    size = raw.stat().st_size
    steps: list[int] = []
    with opened(raw) as given, opened(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as target:
        checked = chosen(choice)
        secret_file = None if secret is None else os.fspath(secret)
        words: dict[str, Any] = {"size": size, "secret_file": secret_file}
        qemu_img.convert(
            given, "raw", target, choice.target, checked, compress=choice.compress, progress=steps.append, **words
        )
        if secret is not None:
            assert qemu_img.equal(given, "raw", target, choice.target, checked, **words)
    assert sum(steps) == size
    return path


def told_of(info: dict[str, Any], choice: Choice) -> None:
    """Fail where `qemu-img info` does not say what was asked for."""
    for path, expected in choice.told.items():
        value: Any = info
        for part in path.split("/"):
            value = value[part if part in value else part.replace("_", "-")]
        assert value == expected, path


def no_cluster_is_lost(path: Path) -> None:
    """Of a full qed with clusters of 4 KiB qemu-img 7.2 counts leaks though each cluster is referred to once: its
    corruptions are what it is asked, and the leaks are counted by us."""
    command = [need("qemu-img"), "check", "-f", "qed", "--output=json", str(path)]
    done = subprocess.run(command, capture_output=True)
    told = json.loads(done.stdout)
    assert done.returncode in (0, 3)
    assert told["check-errors"] == 0
    assert "corruptions" not in told
    found = check(path).totals
    assert found is not None
    assert (found.leaks, found.corruptions, found.check_errors) == (0, 0, 0)


def agrees(folder: Path, kind: str, size: int, choice: Choice) -> None:
    """Fail where an image is not what was asked."""
    raw = source(folder / "source.raw", kind, size)
    path = made(folder, raw, choice)
    driver = TARGETS[choice.target]
    info = qemu_info(path, driver)
    assert info["virtual-size"] == -(-size // 512) * 512
    told_of(info, choice)
    if choice.target == "raw":
        assert path.read_bytes() == raw.read_bytes()
        return
    expected = {"qed": {"IMG013", "QCW560"}, "vmdk": {"VMD501"} if "subformat" in choice.options else set()}
    codes: set[str] = expected.get(choice.target, set())
    if codes:  # a format that clouds do not take, and QEMU's streams without a footer
        same_content(raw, path, driver, checked=choice.target in CHECKED)
        verdict = imgtool.validate(path, deep=True)
        assert {finding.code for finding in verdict.findings if finding.severity != "note"} == codes
    else:
        proved(raw, path, choice.target, driver, checked=choice.target in CHECKED)
    if choice.target == "qed":
        no_cluster_is_lost(path)
    report = report_of(path.read_bytes())
    assert (report.format, report.virtual_size) == (choice.target, info["virtual-size"])


@pytest.mark.parametrize("case", random.Random(43).sample(MATRIX, 36), ids=str)
def test_sample(tmp_path: Path, case: tuple[str, int, int]) -> None:
    """A sample of the matrix."""
    kind, size, number = case
    agrees(tmp_path, kind, size, CHOICES[number])


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_matrix(tmp_path: Path, case: tuple[str, int, int]) -> None:
    """All of it."""
    kind, size, number = case
    agrees(tmp_path, kind, size, CHOICES[number])


def opens(tmp_path: Path, choice: Choice) -> None:
    """With a passphrase, and only with it, the guest's bytes are there; size and header are as measured."""
    raw = source(tmp_path / "source.raw", "patterned", 2 * MIB + 1000)
    secret = tmp_path / "secret"
    secret.write_text("open, sesame\n")
    path = made(tmp_path, raw, choice, secret)
    info = qemu_info(path, choice.target)
    told_of(info, choice)
    assert info["virtual-size"] == 2 * MIB + 1024
    key = "key-secret" if choice.target == "luks" else "encrypt.key-secret"
    image = f"driver={choice.target},{key}=s,file.filename={path}"
    words = ["--object", f"secret,id=s,file={secret}", "--image-opts", f"driver=raw,file.filename={raw}", image]
    assert b"identical" in run(need("qemu-img"), "compare", *words)
    report = report_of(path.read_bytes())
    assert report.encrypted
    if choice.target == "luks":
        assert path.stat().st_size == luks_header(chosen(choice)) + 2 * MIB + 1024
        if "serpent" not in choice.options.get("cipher-alg", ""):  # a cipher that few kernels have
            words = ["open", "--test-passphrase", "--type", "luks1", "--key-file", str(secret), str(path)]
            run(need("cryptsetup"), *words)
    secret.write_text("open, sesame")
    given_to: dict[str, Any] = {"size": raw.stat().st_size, "secret_file": os.fspath(secret)}
    with opened(raw) as given, opened(path) as target, pytest.raises(ToolError, match="Invalid password"):
        qemu_img.equal(given, "raw", target, choice.target, chosen(choice), **given_to)


@pytest.mark.parametrize("choice", [ENCRYPTED[0], ENCRYPTED[-1]], ids=str)
def test_encrypted(tmp_path: Path, choice: Choice) -> None:
    """A luks, and a qcow2 that holds one."""
    opens(tmp_path, choice)


@pytest.mark.full
@pytest.mark.parametrize("choice", ENCRYPTED, ids=str)
def test_encrypted_all(tmp_path: Path, choice: Choice) -> None:
    """Other ciphers, modes and hashes."""
    opens(tmp_path, choice)


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("qcow2", ""),
        ("qcow2", "cluster_size=4k,extended_l2=off,compat=0.10"),
        ("qcow2", "compression_type=zstd"),
        ("vmdk", ""),
        ("vmdk", "subformat=streamOptimized"),
        ("vdi", ""),
        ("vhdx", ""),
        ("vhd", "subformat=fixed,force_size=on"),
        ("qed", ""),
        ("qcow", ""),
        ("parallels", ""),
    ],
)
def test_sources(tmp_path: Path, form: str, options: str) -> None:
    """What it reads itself: the guest's bytes come out, of every format it is given."""
    raw = source(tmp_path / "source.raw", "patterned", 3 * MIB)
    image = tmp_path / "image"
    words = ["-c"] if "zstd" in options else []
    words += ["-o", options] if options else []
    run(need("qemu-img"), "convert", "-f", "raw", "-O", TARGETS[form], *words, str(raw), str(image))
    with opened(image) as given, opened(tmp_path / "back.raw", os.O_RDWR | os.O_CREAT) as target:
        qemu_img.convert(given, form, target, "raw", values("raw"), size=3 * MIB)
    assert (tmp_path / "back.raw").read_bytes() == raw.read_bytes()


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_a_device_that_was_in_use(tmp_path: Path, form: str) -> None:
    """Nothing that was on it is part of the disk afterwards."""
    raw = source(tmp_path / "source.raw", "sparse", 3 * MIB)
    backing = tmp_path / "device.img"
    backing.write_bytes(b"\xa5" * 8 * MIB)
    with loop_device(backing) as device:
        with opened(raw) as given, opened(Path(device), os.O_RDWR) as target:
            qemu_img.convert(given, "raw", target, form, values(form), size=3 * MIB)
            os.fsync(target)
        if form == "qcow2":
            assert b"identical" in run(need("qemu-img"), "compare", "-f", "raw", "-F", form, str(raw), device)
        else:
            assert Path(device).read_bytes()[: 3 * MIB] == raw.read_bytes()


@pytest.mark.parametrize("target", [target for target in TARGETS if target not in ("qcow", "vmdk", "luks")])
def test_an_empty_disk(tmp_path: Path, target: str) -> None:
    """A disk of no bytes at all is written, where QEMU has one."""
    raw = source(tmp_path / "source.raw", "empty", 0)
    path = made(tmp_path, raw, Choice(target, {}, {}))
    assert qemu_info(path, TARGETS[target])["virtual-size"] == 0


@pytest.mark.parametrize("target", ["qcow", "vmdk"])
def test_an_empty_disk_that_cannot_be(tmp_path: Path, target: str) -> None:
    """Where it has none it says so."""
    raw = source(tmp_path / "source.raw", "empty", 0)
    with pytest.raises(ToolError, match=r"cannot be zero length|Unsupported image type"):
        made(tmp_path, raw, Choice(target, {}, {}))
