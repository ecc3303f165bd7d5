"""qcow2 against `qemu-img info`: every creation option, sizes from one sector to the largest."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import imgtool
from tests.kit import deriving, need, no_bug, qemu_info, run

pytestmark = pytest.mark.oracle

SECRET = ("--object", "secret,id=key,data=correct-horse")
CLUSTERS = tuple(str(512 << step) for step in range(13))
ENCRYPTION = {
    "none": "",
    "aes": "encrypt.format=aes,encrypt.key-secret=key",
    "luks": "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10",
}


class Case(NamedTuple):
    """One choice of every creation option; the first value of each in `VALUES` is the default."""

    compat: str = "1.1"
    cluster_size: str = "65536"
    extended_l2: str = "off"
    refcount_bits: str = "16"
    lazy_refcounts: str = "off"
    compression_type: str = "zlib"
    preallocation: str = "off"
    encryption: str = "none"
    backing: str = "none"
    data_file: str = "none"
    size: str = "1M"


VALUES: dict[str, tuple[str, ...]] = {
    "compat": ("1.1", "0.10"),
    "cluster_size": ("65536", *CLUSTERS),
    "extended_l2": ("off", "on"),
    "refcount_bits": ("16", "1", "2", "4", "8", "32", "64"),
    "lazy_refcounts": ("off", "on"),
    "compression_type": ("zlib", "zstd"),
    "preallocation": ("off", "metadata", "falloc", "full"),
    "encryption": ("none", "aes", "luks"),
    "backing": ("none", "plain", "raw", "qcow2"),
    "data_file": ("none", "named", "raw"),
    "size": ("1M", "512", "513", "1536", "1T", "1000000", "0"),
}


def possible(case: Case) -> bool:
    """What qemu-img makes at all, and makes small."""
    modern = case.compat == "1.1"
    new = (case.refcount_bits != "16", case.lazy_refcounts == "on", case.compression_type == "zstd")
    if not modern and (any(new) or case.extended_l2 == "on" or case.data_file != "none"):
        return False
    if case.extended_l2 == "on" and int(case.cluster_size) < 16384:
        return False
    if case.size == "1T" and (int(case.cluster_size) < 65536 or case.preallocation != "off"):
        return False
    if case.backing != "none" and (case.data_file == "raw" or case.preallocation != "off"):
        return False
    return not (case.data_file != "none" and (case.encryption != "none" or case.size in ("0", "1T")))


def singly() -> list[Case]:
    """Each value of each option once, the others at their default."""
    cases = [Case()._replace(**{option: value}) for option, values in VALUES.items() for value in values]
    return [case for case in dict.fromkeys(cases) if possible(case)]


def sampled(count: int, seed: int, luks: int) -> list[Case]:
    """Random choices of all options together; `luks` of them with it, since deriving a key takes seconds."""
    chance = random.Random(seed)
    found: dict[Case, None] = {}
    while len(found) < count:
        case = Case(*(chance.choice(values) for values in VALUES.values()))
        if possible(case) and (case.encryption != "luks" or luks > 0):
            luks -= case.encryption == "luks"
            found[case] = None
    return list(found)


def paired() -> list[Case]:
    """Every pair of values of two options, the others at their default."""
    cases: dict[Case, None] = {}
    for first, second in itertools.combinations(VALUES, 2):
        for one, other in itertools.product(VALUES[first], VALUES[second]):
            cases[Case()._replace(**{first: one, second: other})] = None
    return [case for case in cases if possible(case)]


def make(case: Case, folder: Path) -> Path:
    """The image of a case."""
    path = folder / "image.qcow2"
    options = [f"{name}={getattr(case, name)}" for name in list(VALUES)[:7]]
    options += [ENCRYPTION[case.encryption]] if case.encryption != "none" else []
    if case.data_file != "none":
        options.append(f"data_file={folder / 'data.raw'}")
        options.append(f"data_file_raw={'on' if case.data_file == 'raw' else 'off'}")
    arguments = ["-o", ",".join(options)]
    if case.backing != "none":
        arguments += ["-u", "-b", "base image"]
        arguments += ["-F", "raw" if case.backing == "plain" else case.backing]
    create(*arguments, str(path), case.size)
    if case.backing == "plain":
        forget_backing_format(path)
    return path


def forget_backing_format(path: Path) -> None:
    """qemu-img no longer makes images that do not say it, but old ones are about: give it a type unknown to all."""
    data = bytearray(path.read_bytes()[:4096])
    at = data.find(bytes.fromhex("e2792aca"))
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(bytes(4 * [0x11]))


def create(*arguments: str) -> None:
    """qemu-img create."""
    done = deriving(need("qemu-img"), "create", "-q", *SECRET, "-f", "qcow2", *arguments)
    assert done.returncode == 0, done.stderr


def agrees(report: imgtool.Report, told: dict[str, Any]) -> None:
    """Every fact that qemu-img info tells is in the report."""
    facts = report.details
    data = told["format-specific"]["data"]
    assert report.format == told["format"] == "qcow2"
    assert report.container_format == "bare"
    assert report.disk_formats == ("qcow2",)
    assert report.virtual_size == told["virtual-size"]
    assert report.encrypted == told.get("encrypted", False)
    assert not report.broken
    assert not report.partial
    assert facts.cluster_size == told["cluster-size"]
    assert facts.backing_file == told.get("backing-filename")
    assert facts.backing_format == told.get("backing-filename-format")
    assert facts.dirty == told["dirty-flag"]
    assert facts.compat == data["compat"]
    assert facts.compression_type == data["compression-type"]
    assert facts.refcount_bits == data["refcount-bits"]
    assert facts.lazy_refcounts == data.get("lazy-refcounts", False)
    assert facts.corrupt == data.get("corrupt", False)
    assert facts.extended_l2 == data.get("extended-l2", False)
    assert facts.data_file == data.get("data-file")
    assert facts.data_file_raw == data.get("data-file-raw", False)
    assert facts.encryption == data.get("encrypt", {"format": "none"})["format"]
    if facts.encryption == "luks":
        luks_agrees(report, data["encrypt"])
    assert snapshots(facts) == told.get("snapshots", [])
    shown = [{"name": one.name, "granularity": one.granularity, "flags": sorted(one.flags)} for one in facts.bitmaps]
    assert shown == [{**one, "flags": sorted(one["flags"])} for one in data.get("bitmaps", [])]


def luks_agrees(report: imgtool.Report, told: dict[str, Any]) -> None:
    """The LUKS header inside is a member, and what qemu-img info tells of it holds."""
    (member,) = report.members
    facts: Any = member.details
    assert member.format == "luks"
    assert facts.uuid == told["uuid"]
    assert facts.payload_offset == told["payload-offset"]
    assert facts.hash == told["hash-alg"]
    assert facts.digest_iterations == told["master-key-iters"]
    assert facts.cipher_mode.startswith(f"{told['cipher-mode']}-{told['ivgen-alg']}")
    algorithm, _, bits = told["cipher-alg"].rpartition("-")
    assert facts.cipher_name == algorithm
    assert facts.key_size * 8 == int(bits) * (2 if told["cipher-mode"] == "xts" else 1)
    for slot, one in zip(facts.key_slots, told["slots"], strict=True):
        assert (slot.state == "enabled", slot.offset) == (one["active"], one["key-offset"])
        if one["active"]:
            assert (slot.iterations, slot.stripes) == (one["iters"], one["stripes"])


def snapshots(facts: Any) -> list[dict[str, Any]]:
    """The snapshots as qemu-img info tells them."""
    found = []
    for one in facts.snapshots:
        seconds, rest = divmod(one.vm_clock_nsec, 10**9)
        told = {
            "id": one.id,
            "name": one.name,
            "vm-state-size": one.vm_state_size,
            "date-sec": one.date,
            "date-nsec": one.date_nsec,
            "vm-clock-sec": seconds,
            "vm-clock-nsec": rest,
        }
        found.append(told if one.icount is None else {**told, "icount": one.icount})
    return found


def expected_errors(case: Case) -> set[str]:
    """The errors that a case has by its nature."""
    errors = {"QCW401"} if case.encryption == "aes" else set()
    if case.backing != "none":
        errors.add("IMG101")
    return errors | ({"IMG101", "IMG102"} if case.data_file != "none" else set())


def check(case: Case, folder: Path) -> None:
    """Make it, inspect it, compare."""
    path = make(case, folder)
    report = imgtool.inspect(path, ())
    no_bug(report)
    agrees(report, qemu_info(path, "qcow2"))
    errors = {finding.code for finding in report.findings if finding.severity == "error"}
    assert errors == expected_errors(case)
    assert [reference.value for reference in report.references if reference.kind == "backing"] == (
        ["base image"] if case.backing != "none" else []
    )


def name(case: Case) -> str:
    """What of a case is not the default."""
    other = [f"{key}={value}" for key, value in case._asdict().items() if value != getattr(Case(), key)]
    return ",".join(other) or "defaults"


@pytest.mark.parametrize("case", singly(), ids=name)
def test_each_option(case: Case, tmp_path: Path) -> None:
    """One option at a time."""
    check(case, tmp_path)


@pytest.mark.parametrize("case", sampled(30, 2, 1), ids=name)
def test_options_together(case: Case, tmp_path: Path) -> None:
    """A seeded sample of all options together."""
    check(case, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("case", [*paired(), *sampled(300, 7, 20)], ids=name)
def test_all_pairs(case: Case, tmp_path: Path) -> None:
    """Every pair of values, and a larger sample of all together."""
    check(case, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("cipher", ["aes-128", "aes-256", "serpent-256", "twofish-128"])
@pytest.mark.parametrize("mode", ["xts", "cbc"])
def test_luks_options(cipher: str, mode: str, tmp_path: Path) -> None:
    """Ciphers, modes and hashes of a LUKS header inside."""
    path = tmp_path / "image.qcow2"
    chosen = f"encrypt.cipher-alg={cipher},encrypt.cipher-mode={mode},encrypt.hash-alg=sha512"
    create("-o", f"{ENCRYPTION['luks']},{chosen},encrypt.ivgen-alg=plain64", str(path), "1M")
    report = imgtool.inspect(path, ())
    no_bug(report)
    agrees(report, qemu_info(path, "qcow2"))


@pytest.mark.parametrize(
    ("cluster_size", "size"),
    [("2M", 2 << 60), ("64k", 2 << 50), ("64k", (2 << 50) - 512), ("1M", 512 << 50)],
)
def test_largest_sizes(cluster_size: str, size: int, tmp_path: Path) -> None:
    """An L1 table of 32 MiB is the most there is, and the size right to the byte."""
    path = tmp_path / "image.qcow2"
    create("-o", f"cluster_size={cluster_size}", str(path), str(size))
    report = imgtool.inspect(path, ())
    agrees(report, qemu_info(path, "qcow2"))
    assert report.virtual_size == size
    assert not report.findings


@pytest.mark.parametrize("compat", ["0.10", "1.1"])
def test_snapshots(compat: str, tmp_path: Path) -> None:
    """Names of every kind, and the size that the disk had at the time of each."""
    path = tmp_path / "image.qcow2"
    create("-o", f"compat={compat}", str(path), "1M")
    names = ["first", "zweiter Stand ✓", "with \n newline and \x1b[31m", "x" * 255]
    for label in names:
        run(need("qemu-img"), "snapshot", "-c", label, str(path))
    if compat == "1.1":
        run(need("qemu-img"), "resize", "-q", str(path), "3M")
        run(need("qemu-img"), "snapshot", "-c", "after", str(path))
        names.append("after")
    report = imgtool.inspect(path, ())
    no_bug(report)
    agrees(report, qemu_info(path, "qcow2"))
    assert [one.name for one in report.details.snapshots] == names
    assert [one.virtual_size for one in report.details.snapshots] == [1 << 20] * 4 + [3 << 20] * (len(names) - 4)
    assert {finding.code for finding in report.findings} == {"QCW030"}


def test_many_snapshots(tmp_path: Path) -> None:
    """Forty snapshots, deleted in part: ids and order as qemu-img tells them."""
    path = tmp_path / "image.qcow2"
    create("-o", "cluster_size=512", str(path), "64K")
    for number in range(40):
        run(need("qemu-img"), "snapshot", "-c", f"snapshot {number}", str(path))
    for number in range(0, 40, 3):
        run(need("qemu-img"), "snapshot", "-d", f"snapshot {number}", str(path))
    report = imgtool.inspect(path, ())
    agrees(report, qemu_info(path, "qcow2"))
    assert len(report.details.snapshots) == 26


def test_bitmaps(tmp_path: Path) -> None:
    """Granularities from 512 bytes to 2 GiB, enabled and disabled, many of them."""
    path = tmp_path / "image.qcow2"
    create("-o", "cluster_size=4k", str(path), "16M")
    tool = need("qemu-img")
    for bits in (9, 12, 16, 20, 31):
        run(tool, "bitmap", "--add", "-g", str(1 << bits), str(path), f"bitmap {bits} ✓")
    run(tool, "bitmap", "--add", "--disable", str(path), "off")
    run(tool, "bitmap", "--add", str(path), "gone")
    run(tool, "bitmap", "--remove", str(path), "gone")
    report = imgtool.inspect(path, ())
    no_bug(report)
    agrees(report, qemu_info(path, "qcow2"))
    assert len(report.details.bitmaps) == 6
    assert {finding.code for finding in report.findings} == {"QCW040"}


def test_amended_and_marked(tmp_path: Path) -> None:
    """What qemu-img amend changes afterwards: version up and down, lazy reference counts, a dirty image."""
    path = tmp_path / "image.qcow2"
    create(str(path), "1M")
    run(need("qemu-img"), "amend", "-q", "-o", "lazy_refcounts=on", str(path))
    agrees(imgtool.inspect(path, ()), qemu_info(path, "qcow2"))
    run(need("qemu-img"), "amend", "-q", "-o", "lazy_refcounts=off,compat=0.10", str(path))
    report = imgtool.inspect(path, ())
    agrees(report, qemu_info(path, "qcow2"))
    assert report.details.version == 2
    assert not report.findings


def test_converted_with_data(tmp_path: Path) -> None:
    """Data, compressed by either method, changes no fact."""
    raw = tmp_path / "disk.raw"
    raw.write_bytes(random.Random(3).randbytes(300_000) + bytes(800_000) + b"x" * 212_192)
    for method in ("zlib", "zstd"):
        path = tmp_path / f"{method}.qcow2"
        options = f"compression_type={method},cluster_size=16k"
        run(need("qemu-img"), "convert", "-c", "-O", "qcow2", "-o", options, str(raw), str(path))
        report = imgtool.inspect(path, ())
        agrees(report, qemu_info(path, "qcow2"))
        assert report.virtual_size == 1_312_256
        assert not report.findings
