"""The verbs over a guest's disk, as a user types them."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import jsonschema
import pytest

from imgtool.targets.hidden import hidden_name
from tests.kit import fixture, need, qemu_create, run
from tests.targets.kit import loop_device
from tests.test_cli import call


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """One disk as raw and as qcow2, another that differs in two places, and a chain of two."""
    data = bytearray(3 << 20)
    data[0:512] = b"A" * 512
    data[1 << 20 : (1 << 20) + 65536] = os.urandom(65536)
    (tmp_path / "one.raw").write_bytes(data)
    run(
        need("qemu-img"),
        "convert",
        "-f",
        "raw",
        "-O",
        "qcow2",
        str(tmp_path / "one.raw"),
        str(tmp_path / "one.qcow2"),
    )
    data[100] ^= 1
    data[2 << 20 : (2 << 20) + 1024] = b"B" * 1024
    (tmp_path / "two.raw").write_bytes(data)
    extra = ("-b", "one.qcow2", "-F", "qcow2")
    run(need("qemu-img"), "create", "-q", "-f", "qcow2", *extra, str(tmp_path / "child.qcow2"))
    return tmp_path


def test_map_json_is_qemu_imgs(pair: Path) -> None:
    """The array of `qemu-img map --output=json`, on one line."""
    ours = call("map", "--json", "one.qcow2", cwd=pair)
    assert ours.stdout.count(b"\n") == 1
    theirs = json.loads(run(need("qemu-img"), "map", "--output=json", str(pair / "one.qcow2")))
    assert [(run["start"], run["length"], run["data"], run["zero"]) for run in json.loads(ours.stdout)] == [
        (run["start"], run["length"], run["data"], run["zero"]) for run in theirs
    ]


def test_map_text_and_runs(pair: Path) -> None:
    """The picture with its totals; the runs one a line."""
    told = call("map", "--width", "48", "one.qcow2", cwd=pair).stdout.decode()
    assert told.splitlines()[0] == "one.qcow2: 3 MiB, one cell is 4 KiB"
    assert "  █ data       128 KiB (4.17 %) in 2 runs" in told.splitlines()
    lines = call("map", "--extents", "one.qcow2", cwd=pair).stdout.decode().splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["0", "65536", "data"],
        ["65536", "983040", "hole"],
        ["1048576", "65536", "data"],
        ["1114112", "2031616", "hole"],
    ]
    assert call("map", "--json", "--extents", "one.qcow2", cwd=pair).returncode == 2


def test_map_draws(pair: Path) -> None:
    """SVG and PNG files; a folder that is not there is status 5; nothing temporary stays."""
    assert call("map", "--svg", "map.svg", "--png", "map.png", "one.qcow2", cwd=pair).returncode == 0
    assert (pair / "map.svg").read_bytes().startswith(b"<svg")
    assert (pair / "map.png").read_bytes().startswith(b"\x89PNG")
    assert call("map", "--png", "-", "one.qcow2", cwd=pair).stdout.startswith(b"\x89PNG")
    assert call("map", "--svg", "missing/map.svg", "one.qcow2", cwd=pair).returncode == 5
    names = {"child.qcow2", "map.png", "map.svg", "one.qcow2", "one.raw", "two.raw"}
    assert set(os.listdir(pair)) == names


def test_drawings_are_outputs_like_any_other(pair: Path) -> None:
    """Names as long as they get; what was there is replaced, what a killed run left goes; no folder, FIFO, device."""
    long = "x" * 251 + ".svg"
    left = pair / hidden_name("map.svg")
    for path in (pair / "map.svg", left):
        path.write_bytes(b"old")
    os.mkfifo(pair / "fifo")
    for name in (long, "map.svg"):
        assert call("map", "--svg", name, "one.qcow2", cwd=pair).returncode == 0
        assert (pair / name).read_bytes().startswith(b"<svg")
    assert not left.exists()
    for name, told in ((".", b"is a directory"), ("fifo", b"neither a regular file nor a block device")):
        done = call("map", "--svg", name, "one.qcow2", cwd=pair)
        assert (done.returncode, told in done.stderr) == (5, True)
    (pair / "behind").write_bytes(bytes(1 << 20))
    with loop_device(pair / "behind") as device:
        done = call("map", "--png", device, "one.qcow2", cwd=pair)
        assert (done.returncode, done.stderr.decode()) == (
            5,
            f"imgtool: {device}: is a block device; name a file\n",
        )
    assert (pair / "behind").read_bytes() == bytes(1 << 20)


def test_references_are_followed_by_permission(pair: Path) -> None:
    """Without --follow the map says reference and reading is status 3 with the cure; with it all is there."""
    told = json.loads(call("map", "--json", "child.qcow2", cwd=pair).stdout)
    assert [(run["present"], run["data"]) for run in told] == [(False, False)]
    refused = call("read", "--length", "512", "child.qcow2", cwd=pair)
    assert refused.returncode == 3
    assert b"--follow" in refused.stderr
    for follow in ("--follow", "--follow=.", "--follow-in=."):
        done = call("read", "--length", "512", follow, "child.qcow2", cwd=pair)
        assert done.stdout == b"A" * 512
    (pair / "elsewhere").mkdir()
    assert call("read", "--follow=elsewhere", "--length", "1", "child.qcow2", cwd=pair).returncode == 3


@pytest.mark.parametrize("follow", ["--follow=", "--follow-in="])
@pytest.mark.parametrize(
    "words",
    [
        ("read", "--length", "1", "child.qcow2"),
        ("map", "child.qcow2"),
        ("compare", "child.qcow2", "two.raw"),
        ("check", "child.qcow2"),
        ("validate", "one.raw"),
        ("checksum", "one.raw"),
        ("checksum", "--content", "child.qcow2"),
        ("convert", "child.qcow2", "--to", "raw", "-o", "new"),
        ("convert", "child.qcow2", "one.raw", "--to", "vdi", "--out-dir", "new"),
        ("measure", "child.qcow2", "--to", "raw"),
    ],
    ids=" ".join,
)
def test_an_empty_folder_is_not_the_current_one(words: tuple[str, ...], follow: str, pair: Path) -> None:
    """As of a variable that is not set: status 2, and nothing is followed or written."""
    done = call(*words, follow, cwd=pair)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"the folder to follow references in is empty" in done.stderr
    assert not (pair / "new").exists()


def test_compare_lists_every_difference(pair: Path) -> None:
    """0 and the size where a guest sees the same, 1 and the ranges where not; sizes count unless ignored."""
    same = call("compare", "one.raw", "one.qcow2", cwd=pair)
    assert (same.returncode, same.stdout) == (0, b"one.raw and one.qcow2: the same 3 MiB for a guest\n")
    differ = call("compare", "--json", "two.raw", "one.qcow2", cwd=pair)
    told = json.loads(differ.stdout)
    assert differ.returncode == 1
    assert told["schema"] == "imgtool.compare/1"
    jsonschema.validate(told, json.loads(call("schema", "compare").stdout))
    assert told["differences"] == [{"start": 0, "length": 512}, {"start": 2 << 20, "length": 1024}]
    assert (told["identical"], told["ranges"], told["differing"]) == (False, 2, 1536)
    text = call("compare", "--limit", "1", "two.raw", "one.qcow2", cwd=pair).stdout.decode()
    assert "1.5 KiB in 2 ranges" in text
    assert "and 1 more" in text
    qemu_create(pair / "longer.qcow2", "qcow2", "4M")
    (pair / "zeros.raw").write_bytes(bytes(3 << 20))
    assert call("compare", "--quiet", "longer.qcow2", "zeros.raw", cwd=pair).returncode == 1
    assert call("compare", "--ignore-size", "--quiet", "longer.qcow2", "zeros.raw", cwd=pair).returncode == 0


def test_content_digests_are_the_disks(pair: Path) -> None:
    """The same for raw and qcow2; sha256 is that of the raw bytes; a plain file digest is another."""
    done = call("checksum", "--content", "one.raw", "one.qcow2", cwd=pair)
    blocks = [line.split()[0] for line in done.stdout.decode().splitlines()]
    assert blocks[0] == blocks[1]
    plain = call("checksum", "--content", "--algorithm", "sha256", "one.qcow2", cwd=pair).stdout.decode().split()[0]
    assert plain == hashlib.sha256((pair / "one.raw").read_bytes()).hexdigest()
    assert call("checksum", "one.qcow2", cwd=pair).stdout.decode().split()[0] != plain


def test_read_takes_ranges(pair: Path) -> None:
    """Offsets and lengths with suffixes, clipped at the end; the whole disk without them."""
    data = (pair / "one.raw").read_bytes()
    assert call("read", "one.qcow2", cwd=pair).stdout == data
    part = call("read", "--offset", "1M", "--length", "1K", "one.qcow2", cwd=pair).stdout
    assert part == data[1 << 20 : (1 << 20) + 1024]
    assert call("read", "--offset", "3145700", "--length", "1G", "one.qcow2", cwd=pair).stdout == data[3145700:]
    assert call("read", "--offset", "9M", "one.qcow2", cwd=pair).stdout == b""
    assert call("read", "--offset", "x", "one.qcow2", cwd=pair).returncode == 2


def test_what_is_no_disk(tmp_path: Path) -> None:
    """A kernel, an encrypted image, a wrong claim, a stream, an unknown snapshot: a clear error each."""
    (tmp_path / "kernel").write_bytes(fixture("aki/bzimage.img"))
    (tmp_path / "luks").write_bytes(fixture("qcow2/luks.qcow2.gz"))
    (tmp_path / "plain").write_bytes(fixture("qcow2/plain.qcow2"))
    for arguments, status, words in (
        (("map", "kernel"), 3, "not a disk"),
        (("map", "luks"), 3, "encrypted"),
        (("map", "--format", "vmdk", "plain"), 2, "is not vmdk"),
        (("map", "--format", "nothing", "plain"), 2, "no such format"),
        (("map", "-"), 2, "standard input"),
        (("map", "--snapshot", "gone", "plain"), 2, "gone"),
        (("read", "missing"), 3, "No such file"),
    ):
        done = call(*arguments, cwd=tmp_path)
        assert (done.returncode, words in done.stderr.decode()) == (status, True), (arguments, done.stderr)
        assert b"Traceback" not in done.stderr


def test_members_of_an_appliance(tmp_path: Path) -> None:
    """The only disk of an OVA is taken, or named by --member; an unknown name lists what is there."""
    (tmp_path / "a.ova").write_bytes(fixture("ova/small.ova.gz"))
    assert call("map", "a.ova", cwd=tmp_path).returncode == 0
    assert call("map", "--member", "disk1.vmdk", "a.ova", cwd=tmp_path).returncode == 0
    wrong = call("map", "--member", "other.vmdk", "a.ova", cwd=tmp_path)
    assert (wrong.returncode, b"disk1.vmdk" in wrong.stderr) == (2, True)
