"""Options of qemu-img's targets: what is known, what goes together, how it is spelled; passphrases; sizes."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from pathlib import Path

import pytest

from imgtool.conversion import qemu_img
from imgtool.conversion.qemu_options import TARGETS, check, luks_header, named, options_of, spelled
from imgtool.errors import InputError, ToolError, UnsupportedError, UsageError
from imgtool.targets.options import checked
from tests.conversion.standin import nameless, opened, stand_in, values
from tests.kit import need

#: What `-o help` names and is not offered: other files, deprecated ciphers, hints for the host, what we set.
LEFT_OUT = {
    *("size", "backing_file", "backing_fmt", "data_file", "data_file_raw", "encryption", "key-secret"),
    *("encrypt.key-secret", "nocow", "extent_size_hint"),
}


@pytest.mark.parametrize("target", TARGETS)
def test_all_options_are_qemus(target: str) -> None:
    """The tables have what `-o help` lists, but for what is left out; preallocation where the format has it."""
    command = [need("qemu-img"), "create", "-f", TARGETS[target], "-o", "help", "x"]
    said = subprocess.run(command, capture_output=True, text=True).stdout
    theirs = set(re.findall(r"^  ([a-z0-9_.-]+)=<", said, re.M)) - LEFT_OUT
    ours = {option.name for option in options_of(target)}
    assert ours <= theirs
    assert theirs - ours <= {"preallocation", "encrypt.format"}
    if target in ("raw", "qcow2", "luks"):
        assert "preallocation" in ours


@pytest.mark.parametrize("target", TARGETS)
def test_defaults_are_qemus(target: str, tmp_path: Path) -> None:
    """With all options said, and with none, qemu-img makes files of one size; the exact size of a vhd is ours."""
    chosen = spelled(target, values(target))
    assert "=none" not in chosen
    assert chosen.count("key-secret=secret0") == (target == "luks")
    if target == "luks":
        return
    sizes = []
    for options in (chosen, {"vhd": "force_size=on"}.get(target, "")):
        words = ["-o", options] if options else []
        path = tmp_path / "image"
        command = [need("qemu-img"), "create", "-q", "-f", TARGETS[target], *words, str(path), "64M"]
        subprocess.run(command, check=True)
        sizes.append(path.stat().st_size)
        path.unlink()
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("name", ["backing_file", "data_file", "encryption", "nocow", "size"])
def test_options_that_are_not_offered(name: str) -> None:
    """Other files, weak ciphers, what comes too late."""
    with pytest.raises(UsageError, match=f"no option {name!r}"):
        checked(options_of("qcow2"), {name: "x"}, "qcow2")


@pytest.mark.parametrize(
    ("target", "options", "told"),
    [
        ("qcow2", {"compat": "0.10", "extended_l2": "on"}, "extended_l2 needs compat=1.1"),
        ("qcow2", {"compat": "v2", "lazy_refcounts": "on"}, "lazy_refcounts needs compat=1.1"),
        ("qcow2", {"compat": "v2", "compression_type": "zstd"}, "compression_type=zstd needs compat=1.1"),
        ("qcow2", {"compat": "v2", "refcount_bits": "8"}, "refcount_bits needs compat=1.1"),
        ("qcow2", {"refcount_bits": "12"}, "refcount_bits is 1, 2, 4, 8, 16, 32 or 64, not 12"),
        ("qcow2", {"extended_l2": "on", "cluster_size": "8K"}, "extended_l2 needs a cluster_size of 16K or more"),
        ("qcow2", {"encrypt.iter-time": "10"}, "encrypt.iter-time needs encrypt.format=luks"),
        ("vmdk", {"compat6": "on", "hwversion": "7"}, "compat6 is a hwversion; take one of them"),
        ("vhdx", {"block_size": "3M"}, "block_size is 0 or a power of two from 1M to 256M, not 3145728"),
        ("vhdx", {"block_size": "512K"}, "block_size is 0 or a power of two from 1M to 256M, not 524288"),
        ("vhdx", {"log_size": "1100K"}, "log_size is a multiple of 1048576, not 1126400"),
        (
            "qed",
            {"cluster_size": "64M", "table_size": "2"},
            "cluster_size and table_size together are too large for QEMU's arithmetic",
        ),
        ("parallels", {"cluster_size": "1000"}, "cluster_size is a multiple of 512, not 1000"),
    ],
)
def test_what_does_not_go_together(target: str, options: dict[str, str], told: str) -> None:
    """It is told before work starts."""
    with pytest.raises(UsageError) as caught:
        check(target, checked(options_of(target), options, target))
    assert str(caught.value) == f"{target}: {told}"


@pytest.mark.parametrize(("target", "prefix"), [("luks", ""), ("qcow2", "encrypt.")])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("cipher-alg=cast5-128", "cipher-mode=xts needs a cipher of 128-bit blocks; cast5-128 takes cbc or ctr"),
        ("cipher-alg=aes-192,cipher-mode=cbc", "cipher-alg=aes-192 needs {}cipher-mode=xts"),
        ("ivgen-alg=essiv,ivgen-hash-alg=sha1", "ivgen-alg=essiv needs {}ivgen-hash-alg=sha256 or md5 with aes-256"),
        (
            "ivgen-alg=essiv,cipher-alg=cast5-128,cipher-mode=cbc",
            "ivgen-alg=essiv needs {}ivgen-hash-alg=md5 with cast5-128",
        ),
        ("cipher-alg=cast5-128,cipher-mode=cbc", ""),
        ("cipher-alg=aes-192,ivgen-hash-alg=sha1", ""),
        ("ivgen-alg=essiv", ""),
    ],
)
def test_ciphers_that_do_not_go_together(target: str, prefix: str, words: str, told: str) -> None:
    """It is told before qemu-img fails, or dies, of them."""
    given = {f"{prefix}{name}": value for name, value in (word.split("=") for word in words.split(","))}
    options = checked(options_of(target), given | ({"encrypt.format": "luks"} if prefix else {}), target)
    if not told:
        check(target, options, secret=True)
        return
    with pytest.raises(UsageError) as caught:
        check(target, options, secret=True)
    assert str(caught.value) == f"{target}: {prefix}{told.format(prefix)}"


@pytest.mark.parametrize("target", ["vmdk"])
@pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"])
def test_targets_are_one_file(target: str, subformat: str) -> None:
    """Subformats of several files are not written."""
    with pytest.raises(UsageError, match="one of monolithicSparse, streamOptimized"):
        checked(options_of(target), {"subformat": subformat}, target)


def test_compression() -> None:
    """Where it is an option of the engine, not of the format."""
    check("qcow2", values("qcow2"), compress=True)
    with pytest.raises(UsageError, match="does not compress vdi"):
        check("vdi", values("vdi"), compress=True)
    encrypted = values("qcow2", encrypt__format="luks")
    with pytest.raises(UsageError, match="what is encrypted cannot be compressed"):
        check("qcow2", encrypted, compress=True, secret=True)


def test_names() -> None:
    """Ours, and QEMU's for a vhd; others are not written."""
    assert named("vpc") == "vhd"
    assert options_of("vpc") == options_of("vhd")
    assert options_of("iso") == ()
    with pytest.raises(UnsupportedError, match="qemu-img does not write iso"):
        check("iso", {})


def test_spelling() -> None:
    """Flags are on and off, sizes bytes; what QEMU is to choose is not said; of unused ciphers nothing is said."""
    assert spelled("vhd", values("vhd", subformat="fixed")) == "subformat=fixed,force_size=on"
    assert "block_state_zero=off" in spelled("vhdx", values("vhdx", subformat="fixed"))
    assert "block_state_zero=on" in spelled("vhdx", values("vhdx"))
    assert spelled("qcow", {}) == ""
    assert spelled("vmdk", values("vmdk", toolsversion="10")) == (
        "subformat=monolithicSparse,adapter_type=ide,compat6=off,toolsversion=10,zeroed_grain=off"
    )
    assert spelled("qcow2", values("qcow2", cluster_size="2M")) == (
        "compat=1.1,cluster_size=2097152,compression_type=zlib,extended_l2=off,lazy_refcounts=off,refcount_bits=16,"
        "preallocation=off"
    )
    assert spelled("raw", {"preallocation": "a,b"}) == "preallocation=a,,b"


# --- passphrases


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A raw disk of a few sectors."""
    path = tmp_path / "disk.raw"
    path.write_bytes(os.urandom(5000))
    return path


def luks(raw: Path, folder: Path, secret: str | None, tool: qemu_img.Tool | None = None) -> None:
    """A conversion to luks."""
    with opened(raw) as source, nameless(folder) as made:
        options = values("luks")
        qemu_img.convert(source, "raw", made, "luks", options, size=5000, secret_file=secret, tool=tool)


def test_a_passphrase_is_needed_where_it_is_used(raw: Path, tmp_path: Path) -> None:
    """And only there."""
    it = stand_in(tmp_path)
    with pytest.raises(UsageError, match=r"an encrypted luks needs a passphrase.*--secret-file"):
        luks(raw, tmp_path, None, it.tool)
    with pytest.raises(UsageError, match="vdi is not encrypted with these options"):
        check("vdi", values("vdi"), secret=True)
    with pytest.raises(UsageError, match="an encrypted qcow2 needs a passphrase"):
        check("qcow2", values("qcow2", encrypt__format="luks"))
    assert it.started() == 0


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "a passphrase has from 1 to 65536 bytes"),
        (b"x" * 65_537, "a passphrase has from 1 to 65536 bytes"),
        (b"\xff\xfe", "is text in UTF-8"),
        (b"a\0b", "a passphrase has no NUL bytes"),
        (None, "cannot read the passphrase"),
    ],
)
def test_passphrases_that_cannot_be(raw: Path, tmp_path: Path, data: bytes | None, told: str) -> None:
    """Told before anything runs, and not shown."""
    it = stand_in(tmp_path)
    secret = tmp_path / "secret"
    if data is not None:
        secret.write_bytes(data)
    with pytest.raises(UsageError, match=told):
        luks(raw, tmp_path, os.fspath(secret), it.tool)
    assert it.started() == 0


def test_a_passphrase_from_a_pipe_is_whole(raw: Path, tmp_path: Path) -> None:
    """Every byte of it, its newline too, also when it is read twice; it is in no argument and no variable."""
    saw = os.fspath(tmp_path / "saw")
    body = f"""
path = sys.argv[sys.argv.index("--object") + 1].partition("file=")[2]
with open({saw!r}, "ab") as file:
    file.write(open(path, "rb").read())
if os.path.getsize({saw!r}) < 20:
    sys.exit("Unable to get accurate CPU usage")
"""
    it = stand_in(tmp_path, body)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=("geheim, wörd\n".encode(),))
    writer.start()
    luks(raw, tmp_path, os.fspath(pipe), it.tool)
    writer.join()
    assert Path(saw).read_bytes() == "geheim, wörd\n".encode() * 2
    told = repr(it.seen())
    assert "geheim" not in told
    assert "pipe'" not in told


# --- what is written, read


def test_equal_and_not(raw: Path, tmp_path: Path) -> None:
    """The guest's bytes are compared; what cannot be read is a failure, not a difference."""
    options = values("vdi")
    with opened(raw) as source, nameless(tmp_path) as made:
        qemu_img.convert(source, "raw", made, "vdi", options, size=5000)
        steps: list[int] = []
        assert qemu_img.equal(source, "raw", made, "vdi", options, size=5000, progress=steps.append)
        assert sum(steps) == 5000
        raw.write_bytes(os.urandom(5000))
        assert not qemu_img.equal(source, "raw", made, "vdi", options, size=5000)
        with pytest.raises(ToolError, match=r"^qemu-img: Could not open out: .* \(exit status 2\)"):
            qemu_img.equal(source, "raw", made, "vhdx", values("vhdx"), size=5000, target="out")
        with pytest.raises(InputError, match=r"^in: cannot read: qemu-img: Could not open in: "):
            qemu_img.equal(source, "qcow2", made, "vdi", options, size=5000, source="in")


@pytest.mark.parametrize(
    ("options", "bytes_before"),
    [
        ({}, 2_068_480),
        ({"cipher-alg": "aes-128"}, 1_052_672),
        ({"cipher-alg": "twofish-192", "hash-alg": "sha1"}, 1_544_192),
        ({"cipher-mode": "cbc", "ivgen-alg": "essiv", "ivgen-hash-alg": "sha256"}, 1_052_672),
    ],
)
def test_how_large_a_luks_is_before_its_payload(options: dict[str, str], bytes_before: int) -> None:
    """By the specification's arithmetic; the numbers are those of images that qemu-img made."""
    assert luks_header(checked(options_of("luks"), options, "luks")) == bytes_before
