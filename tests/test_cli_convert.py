"""`imgtool convert` and `imgtool measure` as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import imgtool
from imgtool.model.schema import conversion_schema, measure_schema
from tests.kit import fixture, need, qemu_create
from tests.test_cli import call

MIB = 1 << 20
Done = subprocess.CompletedProcess[bytes]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with images of several kinds, sound and broken."""
    plain = fixture("qcow2/plain.qcow2")
    (tmp_path / "disk.img").write_bytes(bytes(4096) + b"data" * 1024 + bytes(3 * MIB - 8192))
    (tmp_path / "plain.qcow2").write_bytes(plain)
    (tmp_path / "cut.qcow2").write_bytes(plain[:700])
    (tmp_path / "snapshots.qcow2").write_bytes(fixture("qcow2/snapshots.qcow2"))
    (tmp_path / "small.ova").write_bytes(fixture("ova/small.ova.gz"))
    (tmp_path / "several.ova").write_bytes(fixture("ova/several.ova.gz"))
    (tmp_path / "sub").mkdir()
    return tmp_path


def names(folder: Path) -> set[str]:
    """Every file and folder below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def rows(done: Done) -> dict[str, str]:
    """The facts of the text of one conversion or measure."""
    lines = done.stdout.decode().splitlines()[1:]
    return {line[2:15].strip(): line[16:] for line in lines}


def objects(text: bytes) -> list[dict[str, Any]]:
    """JSON Lines, each of which is one object."""
    return [json.loads(line) for line in text.splitlines()]


def refused(done: Done, status: int, *words: str) -> None:
    """One clear line on stderr, nothing on stdout, the status."""
    told = done.stderr.decode()
    assert done.returncode == status, told
    assert done.stdout == b""
    assert told.startswith("imgtool: ")
    assert told.count("\n") == 1, told
    assert "Traceback" not in told
    for word in words:
        assert word in told


def test_text_is_for_people(folder: Path) -> None:
    """What was written, how large, by what, proved; nothing on stderr."""
    done = call("convert", "disk.img", "--to", "qcow2", "-o", "new.qcow2", cwd=folder)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines()[0] == "disk.img → new.qcow2"
    told = rows(done)
    assert told["format"] == "raw → qcow2 (cluster_size=64KiB)"
    assert told["virtual size"] == "3 MiB (3145728 bytes)"
    digest = imgtool.checksum(folder / "disk.img", content=True)["blocks"]
    assert told["content"] == f"proved: blocks {digest}"
    assert told["engine"].startswith("native, ")
    assert "lost" not in told


def test_losses_are_told(folder: Path) -> None:
    """Snapshots that stay behind are named, with the code of the finding."""
    done = call("convert", "snapshots.qcow2", "--to", "vdi", "-o", "new.vdi", cwd=folder)
    assert done.returncode == 0
    assert b"lost          CNV001 snapshots-lost: 2 internal snapshots" in done.stdout


def test_json_is_of_its_schema(folder: Path) -> None:
    """One object a line for each input; the schemas are those that the command prints."""
    schema = json.loads(call("schema", "conversion").stdout)
    assert schema == json.loads(json.dumps(conversion_schema()))
    done = call(
        *("convert", "disk.img", "snapshots.qcow2", "several.ova", "--to", "vmdk", "--out-dir", "out", "--json"),
        cwd=folder,
    )
    told = objects(done.stdout)
    assert [one["target"] for one in told] == [f"out/{name}.vmdk" for name in ("disk", "snapshots", "disk1", "data")]
    for one in told:
        jsonschema.Draft202012Validator(schema).validate(one)
        assert one["schema"] == "imgtool.conversion/1"
        assert one["file_size"] == (folder / one["target"]).stat().st_size
    assert [one["type"] for one in objects(done.stderr)] == ["summary"]
    schema = json.loads(call("schema", "measure").stdout)
    assert schema == json.loads(json.dumps(measure_schema()))
    done = call("measure", "disk.img", "several.ova", "--to", "vhdx", "--json", cwd=folder)
    told = objects(done.stdout)
    assert [(one["path"], one["member"]) for one in told] == [
        ("disk.img", None),
        ("several.ova", "disk1.vmdk"),
        ("several.ova", "data.qcow2"),
    ]
    for one in told:
        jsonschema.Draft202012Validator(schema).validate(one)
        assert one["exact"] is False


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_dry_run_writes_nothing(form: tuple[str, ...], folder: Path) -> None:
    """The engine, what would be lost and the exact size; no target, no folder, no journal."""
    before = names(folder)
    command = ("convert", "snapshots.qcow2", "disk.img", "--to", "qcow2", "--out-dir", "new/deep")
    done = call(*command, "--dry-run", *form, cwd=folder)
    assert (done.returncode, done.stderr) == (0, b"")
    assert names(folder) == before
    sizes = [one["required"] for one in objects(call(*command, "--dry-run", "--json", cwd=folder).stdout)]
    assert b"snapshots-lost" in done.stdout
    for size in sizes:
        assert str(size).encode() in done.stdout
    assert call(*command, cwd=folder).returncode == 0
    assert sizes == [(folder / "new" / "deep" / f"{name}.qcow2").stat().st_size for name in ("snapshots", "disk")]


def test_a_dry_run_tells_what_would_be_refused(folder: Path) -> None:
    """A target that is there, or is the source; one that an earlier run made is told as that."""
    (folder / "there.raw").write_bytes(b"precious")
    refused(
        call("convert", "disk.img", "--to", "raw", "--dry-run", "-o", "there.raw", cwd=folder), 5, "--force replaces"
    )
    refused(
        call("convert", "disk.img", "--to", "raw", "--dry-run", "-o", "disk.img", cwd=folder), 5, "the source itself"
    )
    assert call("convert", "disk.img", "--to", "raw", "--dry-run", "--force", "-o", "there.raw", cwd=folder).stdout
    batch = ("convert", "disk.img", "plain.qcow2", "--to", "vdi", "--out-dir", "out")
    assert call(*batch[:2], *batch[3:], "--resume", cwd=folder).returncode == 0
    before = names(folder)
    told = objects(call(*batch, "--resume", "--dry-run", "--json", cwd=folder).stdout)
    assert [(one["schema"], one.get("resumed")) for one in told] == [
        ("imgtool.conversion/1", True),
        ("imgtool.measure/1", None),
    ]
    assert names(folder) == before
    assert (folder / "there.raw").read_bytes() == b"precious"


def test_quiet_says_what_failed_only(folder: Path) -> None:
    """No table and no text; errors stay."""
    done = call("convert", "disk.img", "missing", "--to", "vdi", "--out-dir", "out", "--quiet", cwd=folder)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"imgtool: missing: No such file or directory\n"
    done = call("convert", "disk.img", "--to", "vhd", "--output", "new.vhd", "-q", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("form", [("--json",), ("--progress", "json"), ("--json", "--progress", "json")])
def test_stderr_is_objects_for_programs(form: tuple[str, ...], folder: Path) -> None:
    """Errors with code and status, progress, a summary at the end: each line is an object with its type."""
    done = call(
        *("convert", "disk.img", "missing", "cut.qcow2", "--to", "vdi", "--out-dir", "out", "-j", "2", *form),
        cwd=folder,
    )
    assert done.returncode == 1
    told = objects(done.stderr)
    errors = {one["path"]: (one["code"], one["exit"]) for one in told if one["type"] == "error"}
    assert errors == {"missing": ("not-found", 3), "cut.qcow2": ("rejected", 1)}
    summary = told[-1]
    assert (summary["type"], summary["done"], summary["failed"]) == ("summary", 1, 2)
    assert sorted(summary["failures"]) == ["cut.qcow2", "missing"]
    progress = [one for one in told if one["type"] == "progress"]
    assert bool(progress) == ("--progress" in form)
    assert all(one["done"] <= (one["total"] or 0) for one in progress if one["path"] == "disk.img")
    usage = call("convert", "disk.img", "--to", "vdi", *form, cwd=folder)
    assert [(one["type"], one["code"], one["exit"]) for one in objects(usage.stderr)] == [("error", "usage", 2)]


def test_a_batch_is_a_table(folder: Path) -> None:
    """A line for each, in order however many are worked on; then who failed, and the sum. Status 1."""
    done = call(
        *("convert", "disk.img", "cut.qcow2", "plain.qcow2", "several.ova", "--to", "qcow2", "--out-dir", "out"),
        *("--compress", "zstd", "--level", "3", "--jobs", "3"),
        cwd=folder,
    )
    lines = done.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == [
        *("source", "disk.img", "plain.qcow2", "several.ova", "several.ova"),
        *("failed:", "4"),
    ]
    assert all(line.endswith("proved") for line in lines[1:5])
    assert lines[-1].startswith("4 conversions done, 1 failed; ")
    assert done.returncode == 1
    assert names(folder / "out") == {
        *("disk.qcow2", "plain.qcow2", "disk1.qcow2", "data.qcow2", ".imgtool-journal.jsonl"),
    }


def test_folders_are_walked(folder: Path) -> None:
    """With -r; what the batch itself made below them is no input of the next one."""
    (folder / "cut.qcow2").unlink()
    command = ("convert", "-r", ".", "--to", "vdi", "--out-dir", "sub/out", "--resume", "--json")
    first = call(*command, cwd=folder)
    second = call(*command, cwd=folder)
    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert not any(one.get("resumed") for one in objects(first.stdout))
    assert all(one["resumed"] for one in objects(second.stdout))
    assert len(objects(first.stdout)) == len(objects(second.stdout)) == 6
    here = call("convert", "-r", "sub/out", "--to", "raw", "--out-dir", "sub/out", cwd=folder)
    assert here.returncode == 0, here.stderr
    assert b"6 conversions done, 0 failed" in here.stdout


@pytest.mark.parametrize(
    ("arguments", "format", "size"),
    [
        (("--to", "vhd", "--option", "subformat=fixed", "--align", "1MiB"), "vhd", 4 * MIB + 512),
        (("--to", "qcow2", "--compress", "zlib", "--level", "9"), "qcow2", None),
        (("--to", "qcow2", "--compress", "zstd"), "qcow2", None),
        (("--to", "qcow2", "--option", "cluster_size=4K,refcount_bits=8"), "qcow2", None),
        (("--to", "vmdk", "--option", "subformat=streamOptimized"), "vmdk", None),
        (("--to", "vmdk"), "vmdk", None),
        (("--to", "vdi", "--option", "subformat=static"), "vdi", None),
        (("--to", "raw", "--align", "4K"), "raw", 3 * MIB + 4096),
        (("--to", "qed", "--engine", "qemu-img"), "qed", None),
        (("--to", "vhdx"), "vhdx", None),
    ],
)
def test_targets_as_they_are_asked_for(
    arguments: tuple[str, ...], format: str, size: int | None, folder: Path
) -> None:
    """Every one holds the guest's bytes, is what was asked for, and is accepted; measuring told its size."""
    with open(folder / "disk.img", "ab") as file:
        file.write(b"odd")
    measured = objects(call("measure", "disk.img", *arguments, "--json", cwd=folder).stdout)[0]
    done = call("convert", "disk.img", *arguments, "-o", "new", "--json", cwd=folder)
    told = objects(done.stdout)[0]
    assert done.returncode == 0, done.stderr
    written = (folder / "new").stat().st_size
    assert told["file_size"] == written
    assert size in (None, written)
    assert not measured["exact"] or measured["required"] == written
    assert told["options"] == measured["options"]
    assert told["verified"] is True
    report = imgtool.inspect(folder / "new", ())
    assert report.format == format
    with imgtool.open_disk(folder / "new") as disk:
        assert disk.read_at(4096, 8) == b"datadata"
        assert disk.read_at(3 * MIB, 3) == b"odd"
        assert disk.size == told["virtual_size"]
    assert imgtool.validate(folder / "new", policy="permissive").accepted
    if "subformat=streamOptimized" in arguments:
        assert getattr(report.details, "create_type", None) == "streamOptimized"


def test_appliances_and_wrappers(folder: Path) -> None:
    """Each disk of an OVA by its name; one of several by --member; a wrapped image in place."""
    refused(
        call("convert", "several.ova", "--to", "raw", "-o", "one", cwd=folder),
        2,
        "several disks in it (disk1.vmdk, data.qcow2)",
        "--member",
        "--out-dir",
    )
    done = call("convert", "several.ova", "--member", "data.qcow2", "--to", "raw", "-o", "one", cwd=folder)
    assert rows(done)["format"] == "qcow2 in ova (data.qcow2) → raw"
    refused(
        call("convert", "several.ova", "--member", "other", "--to", "raw", "-o", "two", cwd=folder),
        2,
        "there are: disk1.vmdk, data.qcow2",
    )
    refused(
        call("convert", "disk.img", "--member", "disk1.vmdk", "--to", "raw", "-o", "two", cwd=folder),
        2,
        "is no container but raw; leave the member 'disk1.vmdk' out",
    )
    for program, ending in (("gzip", ".gz"), ("xz", ".xz"), ("zstd", ".zst")):
        need(program)
        packed = folder / "sub" / f"plain.qcow2{ending}"
        with open(packed, "wb") as file:
            subprocess.run([program, "-c", "plain.qcow2"], cwd=folder, stdout=file, check=True)
        done = call("convert", str(packed), "--to", "vdi", "--out-dir", f"out{ending}", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert (folder / f"out{ending}" / "plain.vdi").exists()


def test_snapshots_and_chains(folder: Path) -> None:
    """One state of a disk; an overlay with what it refers to, and how to allow that."""
    done = call("convert", "snapshots.qcow2", "--snapshot", "first", "--to", "raw", "-o", "first.raw", cwd=folder)
    assert done.returncode == 0, done.stderr
    with imgtool.open_disk(folder / "snapshots.qcow2", snapshot="first") as disk:
        assert disk.read_at(0, disk.size) == (folder / "first.raw").read_bytes()
    refused(
        call("convert", "snapshots.qcow2", "--snapshot", "third", "--to", "raw", "-o", "x", cwd=folder),
        2,
        "no snapshot 'third'",
        "1 (first)",
    )
    qemu_create(folder / "over.qcow2", "qcow2", "3M", "backing_file=disk.img", "backing_fmt=raw")
    refused(
        call("convert", "over.qcow2", "--to", "raw", "-o", "x", cwd=folder), 1, "IMG101", "--follow opens what lies"
    )
    (folder / "sub" / "over.qcow2").write_bytes((folder / "over.qcow2").read_bytes())
    (folder / "sub" / "disk.img").symlink_to("../disk.img")
    for name, (place, *follow) in enumerate((("over.qcow2", "--follow"), ("sub/over.qcow2", "--follow=."))):
        done = call("convert", place, *follow, "--to", "raw", "-o", f"flat{name}", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert (folder / f"flat{name}").read_bytes() == (folder / "disk.img").read_bytes()


def test_machine_images(folder: Path) -> None:
    """A file system as it is; a disk with another one says why it cannot be, and what can."""
    (folder / "ext4.raw").write_bytes(fixture("volumes/ext4.raw.gz"))
    (folder / "gpt.raw").write_bytes(fixture("volumes/gpt.raw.gz"))
    done = call("convert", "ext4.raw", "--to", "ami", "--out-dir", "out", cwd=folder)
    assert rows(done)["format"] == "raw → ami"
    assert (folder / "out" / "ext4.ami").read_bytes() == fixture("volumes/ext4.raw.gz")
    refused(call("convert", "gpt.raw", "--to", "ami", "-o", "x", cwd=folder), 3, "swap", "--to raw keeps")
    refused(call("convert", "disk.img", "--to", "ami", "-o", "x", cwd=folder), 3, "an ami is a Linux file system")


def test_options_of_a_target_are_listed() -> None:
    """Each with its default and meaning, for both engines; that there are none is said, and formats that are not
    written say so."""
    from imgtool.conversion.native import options_of
    from imgtool.conversion.qemu_options import options_of as qemu_options_of
    from imgtool.conversion.request import target_named, target_names

    for to in target_names():
        done = call("convert", "--to", to, "--option", "help")
        assert done.returncode == 0
        entry, _ = target_named(to)
        listed: dict[str, dict[str, list[str]]] = {}
        title = ""
        for line in done.stdout.decode().splitlines():
            if line.startswith("  "):
                name, *about = line.split(maxsplit=2)
                listed[title][name] = about
            else:
                title = line
                listed[title] = {}
        for engine, table in (("native", options_of(entry)), ("qemu-img", qemu_options_of(entry.name))):
            shown = listed.pop(f"{entry.name} by {engine}:", {})
            shown.pop("option", None)
            assert list(shown) == [option.name for option in table]
            for option in table:
                default, meaning = shown[option.name]
                assert default == (option.default or "-")
                assert meaning.startswith(option.meaning)
        assert list(listed) == (["qcow has no creation options"] if to == "qcow" else [])
    assert call("measure", "--to", "vdi", "--option", "help").stdout.startswith(b"vdi by native:\n")
    refused(call("convert", "--to", "iso", "--option", "help"), 2, "read, not written; one of raw, ")


def test_measure_goes_on(folder: Path) -> None:
    """Of many each is told; those that cannot be are named, and the status is theirs."""
    done = call("measure", "disk.img", "missing", "plain.qcow2", "--to", "raw", cwd=folder)
    assert done.returncode == 3
    assert done.stderr == b"imgtool: missing: No such file or directory\n"
    lines = done.stdout.decode().splitlines()
    assert [line for line in lines if not line.startswith("  ")] == ["disk.img", "plain.qcow2"]
    assert "  file          3145728 bytes (3 MiB)" in lines
    about = call("measure", "disk.img", "--to", "vhdx", cwd=folder)
    assert rows(about)["file"].endswith(", an estimate")
    refused(call("measure", "-", "--to", "raw", cwd=folder), 2, "standard input", "name a file")
    refused(call("measure", "disk.img", cwd=folder), 2, "--to FORMAT")
    assert b"exists" not in call("measure", "disk.img", "--to", "raw", cwd=folder).stderr


def test_completion_offers_targets() -> None:
    """The verbs, a verb's options, and the formats that are written."""
    program = Path(sys.executable).parent / "imgtool"
    for words, count, offered in (
        ("imgtool conv", 1, ["convert"]),
        ("imgtool me", 1, ["measure"]),
        ("imgtool convert --out", 2, ["--output", "--out-dir"]),
        ("imgtool convert --to vh", 3, ["vhd", "vhdx"]),
        ("imgtool measure --to am", 3, ["ami"]),
    ):
        env = {**os.environ, "_IMGTOOL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(count)}
        done = subprocess.run([program], env=env, capture_output=True, check=False)
        assert done.stdout.decode().split() == offered
