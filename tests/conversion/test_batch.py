"""Batches: targets' names, journals, failures that stop nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from imgtool.conversion import batch
from imgtool.conversion import journal as journals
from imgtool.conversion.api import request_of
from imgtool.conversion.journal import Journal
from imgtool.conversion.request import Request
from imgtool.errors import InputError, OutputError, UsageError
from imgtool.targets.output import FileOutput
from tests.kit import need, run
from tests.targets.kit import loop_device

MIB = 1 << 20


def request(source: Path | str, target: Path | str, to: str = "qcow2") -> Request:
    """A conversion with nothing special."""
    return request_of(str(source), str(target), to, options={})


@pytest.mark.parametrize(
    ("source", "member", "to", "name"),
    [
        ("a/disk.img", None, "qcow2", "disk.qcow2"),
        ("disk.tar.qcow2.xz", None, "raw", "disk.tar.raw"),
        ("DISK.VMDK.GZ", None, "vdi", "DISK.vdi"),
        ("x.ova", "dir/disk1.vmdk", "qcow2", "disk1.qcow2"),
        (".img", None, "raw", ".img.raw"),
        ("noext", None, "vhd", "noext.vhd"),
        ("release-1.2", None, "vhdx", "release-1.2.vhdx"),
        ("d.img", None, "ami", "d.ami"),
    ],
)
def test_names_of_targets(source: str, member: str | None, to: str, name: str) -> None:
    """The endings of wrappers and images go, the target's comes; never a folder of the member's name."""
    assert batch.target_name(source, member, to, "out") == f"out/{name}"


def test_two_of_one_target() -> None:
    """Refused before work starts."""
    with pytest.raises(UsageError, match="both be written"):
        batch.one_target_each([request("a/x.img", "out/x.qcow2"), request("b/x.img", "out/./x.qcow2")])


@pytest.fixture
def work(tmp_path: Path) -> list[Request]:
    """Three conversions, of which the second cannot be done."""
    for number in (1, 3):
        (tmp_path / f"{number}.img").write_bytes(bytes([number]) * MIB)
    return [request(tmp_path / f"{number}.img", tmp_path / f"{number}.qcow2") for number in (1, 2, 3)]


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_a_failure_stops_nothing(work: list[Request], jobs: int) -> None:
    """Outcomes come in order; the one that failed says why."""
    outcomes = list(batch.run_all(work, jobs=jobs))
    assert [outcome.request.source for outcome in outcomes] == [one.source for one in work]
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, InputError)


def test_a_journal_is_resumed(work: list[Request], tmp_path: Path) -> None:
    """What is done and as it was is not done again; what changed, and what was asked for differently, is."""
    path = str(tmp_path / "journal")
    with Journal(path, resume=False) as journal:
        first = list(batch.run_all(work, journal=journal))
    (tmp_path / "2.img").write_bytes(b"\2" * MIB)
    with Journal(path, resume=True) as journal:
        second = list(batch.run_all(work, journal=journal))
        assert [outcome.earlier is not None for outcome in second] == [True, False, True]
        assert second[1].conversion is not None
        assert first[0].conversion is not None
        assert second[0].earlier is not None  # written just before the target had its name
        assert {**second[0].earlier, "seconds": 0} == json.loads(json.dumps(first[0].conversion.to_dict())) | {
            "seconds": 0
        }
    os.utime(work[0].source, ns=(5, 5))
    os.unlink(work[2].target)
    other = work[1]._replace(options={"cluster_size": "4K"}, force=True)
    with Journal(path, resume=True) as journal:
        asked = [work[0]._replace(force=True), other, work[2]]
        third = list(batch.run_all(asked, journal=journal))
        assert [outcome.conversion is not None for outcome in third] == [True, True, True]
    with Journal(path, resume=True) as journal:
        assert all(outcome.earlier for outcome in batch.run_all(asked, journal=journal))


def test_a_journal_that_was_cut_off(work: list[Request], tmp_path: Path) -> None:
    """A line that a crash cut is passed over, and what comes after it is a line of its own."""
    path = tmp_path / "journal"
    with Journal(str(path), resume=False) as journal:
        list(batch.run_all(work, journal=journal))
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with Journal(str(path), resume=True) as journal:
        again = list(batch.run_all([one._replace(force=True) for one in work], journal=journal))
    assert [outcome.earlier is not None for outcome in again] == [True, False, False]
    with Journal(str(path), resume=True) as journal:
        assert journal.done(work[2]) is not None


@pytest.mark.parametrize("line", [b"[" * 100_000, b'{"imgtool": ' + b"[" * 100_000, b"9" * 10_000, b"\xff"])
def test_a_journal_with_lines_that_are_none(work: list[Request], tmp_path: Path, line: bytes) -> None:
    """They are passed over, and the others hold."""
    path = tmp_path / "journal"
    with Journal(str(path), resume=False) as journal:
        list(batch.run_all(work[:1], journal=journal))
    path.write_bytes(path.read_bytes() + line + b"\n")
    with Journal(str(path), resume=True) as journal:
        assert next(batch.run_all(work[:1], journal=journal)).earlier is not None


def test_a_journal_with_a_line_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is none; no more of it is read."""
    monkeypatch.setattr(journals, "_LINE", 4096)
    path = tmp_path / "journal"
    path.write_bytes(b'{"imgtool":' + b" " * 4096)
    with pytest.raises(InputError, match="a line of more than 4096 bytes"):
        Journal(str(path), resume=True)
    assert path.stat().st_size == 4107


def follows(folder: Path) -> tuple[Request, Path]:
    """A conversion of an overlay, whose base is found by a link; the base."""
    (folder / "base.raw").write_bytes(b"\1" * MIB)
    os.symlink("base.raw", folder / "link.raw")
    backing = ("-b", "link.raw", "-F", "raw")
    run(need("qemu-img"), "create", "-q", "-f", "qcow2", *backing, str(folder / "top.qcow2"))
    asked = request(folder / "top.qcow2", folder / "out.raw", "raw")
    return asked._replace(follow=True, force=True, allow=None), folder / "base.raw"


def redone(asked: Request, journal: Path) -> bool:
    """Resume: whether it was done again."""
    with Journal(str(journal), resume=True) as kept:
        (outcome,) = batch.run_all([asked], journal=kept)
    assert outcome.error is None
    return outcome.conversion is not None


@pytest.mark.parametrize("how", ["written", "replaced", "another"])
def test_a_file_that_was_followed_changes(tmp_path: Path, how: str) -> None:
    """What was made of it is made again: where it was written, another has its name, or the link leads to another."""
    asked, base = follows(tmp_path)
    journal = tmp_path / "journal"
    assert redone(asked, journal)
    assert not redone(asked, journal)
    status = base.stat()
    if how == "written":
        base.write_bytes(b"\2" * MIB)
        os.utime(base, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    else:
        (tmp_path / "other.raw").write_bytes(b"\2" * MIB)
        os.utime(tmp_path / "other.raw", ns=(status.st_atime_ns, status.st_mtime_ns))
    if how == "replaced":
        os.rename(tmp_path / "other.raw", base)
    if how == "another":
        os.unlink(tmp_path / "link.raw")
        os.symlink("other.raw", tmp_path / "link.raw")
    assert redone(asked, journal)
    assert (tmp_path / "out.raw").read_bytes() == b"\2" * MIB
    assert not redone(asked, journal)


@pytest.mark.parametrize("which", ["source", "target"])
def test_another_file_of_the_same_size_and_time(work: list[Request], tmp_path: Path, which: str) -> None:
    """Is not the one that was read, nor the one that was written; nor is a file with other bytes and its time set
    back."""
    journal, asked = tmp_path / "journal", work[0]._replace(force=True)
    assert redone(asked, journal)
    assert not redone(asked, journal)
    path = Path(asked.source if which == "source" else asked.target)
    status = path.stat()
    other = tmp_path / "other"
    other.write_bytes(b"\7" * status.st_size)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.rename(other, path)
    assert redone(asked, journal)
    assert not redone(asked, journal)
    source = Path(asked.source)
    status = source.stat()
    source.write_bytes(b"\x08" * status.st_size)
    while source.stat().st_ctime_ns == status.st_ctime_ns:  # clocks of file systems tick
        os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert redone(asked, journal)
    assert not redone(asked, journal)


def test_a_line_that_tells_of_less(work: list[Request], tmp_path: Path) -> None:
    """Size and time alone are not enough: it is done again."""
    journal, asked = tmp_path / "journal", work[0]._replace(force=True)
    assert redone(asked, journal)
    told = json.loads(journal.read_text())
    source, target = os.stat(asked.source), os.stat(asked.target)
    for name, status in (("source", source), ("target", target)):
        less = {**told, name: [status.st_size, status.st_mtime_ns]}
        journal.write_text(json.dumps(less) + "\n")
        assert Journal(str(journal), resume=True, write=False).done(asked) is None
    journal.write_text(json.dumps(told) + "\n")
    assert Journal(str(journal), resume=True, write=False).done(asked) is not None


@pytest.mark.parametrize("which", ["source", "target"])
def test_a_device_is_always_done_again(tmp_path: Path, which: str) -> None:
    """Its node tells nothing of what was written to it."""
    for name in ("behind", "file"):
        (tmp_path / name).write_bytes(name[:1].encode() * MIB)
    with loop_device(tmp_path / "behind") as device:
        source, target = (device, tmp_path / "file") if which == "source" else (tmp_path / "file", device)
        asked = request(source, target, "raw")._replace(force=True, device=True)
        for _ in range(2):
            assert redone(asked, tmp_path / "journal")


def test_a_line_that_does_not_say_what_was_followed(work: list[Request], tmp_path: Path) -> None:
    """As earlier versions wrote them: it holds where nothing may be followed."""
    asked, _ = follows(tmp_path)
    journal = tmp_path / "journal"
    assert redone(asked, journal)
    assert redone(work[0], journal)
    told = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [len(line.pop("followed")) for line in told] == [1, 0]
    journal.write_text("".join(json.dumps(line) + "\n" for line in told))
    assert not redone(work[0], journal)
    assert redone(asked, journal)
    journal.write_text("".join(json.dumps({**line, "followed": [7]}) + "\n" for line in told))
    assert redone(asked, journal)


def test_the_time_that_outputs_bear(work: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one makes other files of the formats that have it, and they are made again; others are not."""
    journal = tmp_path / "journal"
    to = {name: tmp_path / f"time.{name}" for name in ("qcow2", "raw", "vdi", "vhd", "vmdk")}
    asked = {name: request(work[0].source, path, name)._replace(force=True) for name, path in to.items()}
    before = {name: (redone(one, journal), to[name].read_bytes())[1] for name, one in asked.items()}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    again = {name for name, one in asked.items() if redone(one, journal)}
    for one in asked.values():
        list(batch.run_all([one]))
    assert again == {name for name, path in to.items() if path.read_bytes() != before[name]} == set(journals.DATED)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with Journal(str(journal), resume=True) as kept:
        (outcome,) = batch.run_all([asked["vhd"]], journal=kept)
    assert isinstance(outcome.error, UsageError)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_source_that_changes_when_all_is_proved(
    work: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    """The journal tells of the file that was read, not of what lies there a moment later."""
    journal, new = tmp_path / "journal", tmp_path / "new"
    add = Journal.add

    def late(kept: Journal, *rest: Any) -> None:
        new.write_bytes(b"\7" * (2 * MIB))
        if replaced:
            os.rename(new, work[0].source)
        else:
            os.truncate(work[0].source, 2 * MIB)
        add(kept, *rest)

    monkeypatch.setattr(Journal, "add", late)
    assert redone(work[0], journal)
    monkeypatch.undo()
    assert redone(work[0]._replace(force=True), journal)


def test_a_target_that_did_not_come_to_its_name(
    work: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its line stands in the journal, and is not believed: it is done again."""
    path = str(tmp_path / "journal")

    def fails(output: FileOutput) -> None:
        raise OutputError(f"{output.name}: no")

    monkeypatch.setattr(FileOutput, "commit", fails)
    with Journal(path, resume=False) as journal:
        assert isinstance(next(batch.run_all(work[:1], journal=journal)).error, OutputError)
    monkeypatch.undo()
    assert not os.path.exists(work[0].target)
    with Journal(path, resume=True) as journal:
        assert next(batch.run_all(work[:1], journal=journal)).conversion is not None
    with Journal(path, resume=True) as journal:
        assert next(batch.run_all(work[:1], journal=journal)).earlier is not None


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_journal_that_cannot_be_written(work: list[Request], tmp_path: Path, jobs: int) -> None:
    """Ends the batch, before the target has its name."""
    journal = Journal(str(tmp_path / "journal"), resume=False)
    journal.close()
    with pytest.raises(OutputError, match="journal"):
        list(batch.run_all(work, jobs=jobs, journal=journal))
    assert not os.path.exists(work[0].target)


def test_no_journal(work: list[Request], tmp_path: Path) -> None:
    """A file that is something else is left alone; one that cannot be written is said so."""
    other = tmp_path / "notes.jsonl"
    other.write_text('{"a": 1}\n')
    with pytest.raises(InputError, match="no journal"):
        Journal(str(other), resume=True)
    assert other.read_text() == '{"a": 1}\n'
    with pytest.raises(OutputError):
        Journal(str(tmp_path / "missing" / "journal"), resume=False)
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "."):
        with pytest.raises(InputError, match="no file that a journal could be"):
            Journal(str(tmp_path / name), resume=True)


def test_a_journal_of_odd_names(tmp_path: Path) -> None:
    """Names that are not UTF-8, with newlines and quotes, are told apart and found again."""
    names = [b"\xff\xfe.img", b"new\nline.img", b'"quote".img', b"-option.img"]
    made = []
    for name in names:
        path = os.path.join(os.fsencode(tmp_path), name)
        with open(path, "wb") as file:
            file.write(name * 1000)
        made.append(request(os.fsdecode(path), os.fsdecode(path) + ".vdi", "vdi"))
    place = str(tmp_path / "journal")
    with Journal(place, resume=False) as journal:
        assert all(outcome.conversion for outcome in batch.run_all(made, journal=journal))
    with Journal(place, resume=True) as journal:
        assert all(outcome.earlier for outcome in batch.run_all(made, journal=journal))
