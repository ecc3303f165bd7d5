"""`imgtool.inspect` and the public names: what may be given, what is raised, what the report tells of the run."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import imgtool
from imgtool.disks import recognise
from imgtool.errors import EXIT_INPUT, EXIT_USAGE, FAILURES
from imgtool.findings.core import Finding, rule
from imgtool.formats import FORMATS, QCOW2
from imgtool.inspection import conductor
from imgtool.limits import DEFAULT, Limits
from imgtool.model.facts import Facts
from imgtool.structs.view import View
from tests.kit import codes, fixture, images, no_bug, patches, report_of
from tests.test_golden import plain

PLAIN = "qcow2/plain.qcow2"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A qcow2 on disk."""
    path = tmp_path / "disk.qcow2"
    path.write_bytes(fixture(PLAIN))
    return path


def test_whatever_names_the_file(image: Path) -> None:
    """Text, PathLike, an open file, bytes in memory, a pipe: the same report but for name and place."""
    data = fixture(PLAIN)
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    with open(image, "rb") as file, os.fdopen(reading, "rb") as pipe:
        given: list[Any] = [str(image), image, file, io.BytesIO(data), pipe]
        reports = [imgtool.inspect(one) for one in given]
    told = [{key: value for key, value in plain(report).items() if key != "path"} for report in reports]
    assert all(one == told[0] for one in told)
    assert [report.path for report in reports[:3]] == [str(image)] * 3
    assert [report.streamed for report in reports] == [False, False, False, False, True]
    assert reports[0].allocated == os.stat(image).st_blocks * 512
    assert reports[0].checksums == {"sha256": hashlib.sha256(data).hexdigest()}


def test_a_file_object_stays_open_and_the_callers(image: Path) -> None:
    """It is read from its first byte wherever it stands, and not closed."""
    with open(image, "rb") as file:
        file.seek(1000)
        assert imgtool.inspect(file, ()).format == "qcow2"
        assert not file.closed


@pytest.mark.parametrize("given", [None, 3, b"bytes", io.StringIO("text")], ids=lambda given: type(given).__name__)
def test_neither_a_path_nor_binary(given: Any) -> None:
    """UsageError, whose exit status is that of usage."""
    for call in (imgtool.inspect, imgtool.checksum):
        with pytest.raises(imgtool.UsageError, match="a path or a binary file object") as raised:
            call(given)
        assert raised.value.exit_status == EXIT_USAGE


def make_directory(path: Path) -> None:
    """A folder."""
    path.mkdir()


def make_fifo(path: Path) -> None:
    """A FIFO that nobody writes to."""
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    """A bound socket."""
    listener = socket.socket(socket.AF_UNIX)
    old = os.getcwd()
    os.chdir(path.parent)
    try:
        listener.bind(path.name)
    finally:
        os.chdir(old)
        listener.close()


def make_character_device(path: Path) -> None:
    """A link to a device that reads without end."""
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("device", [False, True])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (make_directory, "a directory"),
        (make_fifo, "a FIFO"),
        (make_socket, "a socket"),
        (make_character_device, "a character device"),
    ],
)
def test_what_is_no_regular_file_is_refused(make: Any, kind: str, device: bool, tmp_path: Path) -> None:
    """At once, naming what it is, with the exit status of input; a FIFO does not hang; --device changes nothing."""
    path = tmp_path / "thing"
    make(path)
    for call in (imgtool.inspect, imgtool.checksum):
        with pytest.raises(imgtool.NotRegularError, match=kind) as raised:
            call(path, device=device)
        assert raised.value.exit_status == EXIT_INPUT
        assert raised.value.code == "not-a-regular-file"


@pytest.mark.parametrize("name", ["missing", "missing/deeper", "file/below", "", "with\0nul"])
def test_not_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NotFoundError, whose exit status is that of input."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(imgtool.NotFoundError) as raised:
        imgtool.inspect(name)
    assert raised.value.exit_status == EXIT_INPUT
    assert raised.value.code == "not-found"


def test_a_loop_of_links_is_input_that_cannot_be_read(tmp_path: Path) -> None:
    """As is a name that is too long: InputError, not a trace."""
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for path in (tmp_path / "a", tmp_path / ("x" * 300)):
        with pytest.raises(imgtool.InputError):
            imgtool.inspect(path)


def test_a_link_to_an_image_is_the_image(image: Path, tmp_path: Path) -> None:
    """Links are followed by the caller's own doing."""
    link = tmp_path / "link"
    link.symlink_to(image)
    assert imgtool.inspect(link, ()).format == "qcow2"


def test_device_on_a_regular_file(image: Path) -> None:
    """`device=True` admits a block device and is nothing to a file."""
    first, second = imgtool.inspect(image, device=True), imgtool.inspect(image)
    assert first == second


def test_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    """It is read, shown with U+FFFD and given exactly as base64."""
    path = os.fsencode(tmp_path) + b"/disk\xff\xfe.img"
    with open(path, "wb") as file:
        file.write(fixture(PLAIN))
    told = imgtool.inspect(os.fsdecode(path), ()).to_dict()
    assert str(told["path"]).endswith("disk\ufffd\ufffd.img")
    assert json.loads(json.dumps(told))["path_b64"]
    assert told["format"] == "qcow2"


def test_expected_digest(image: Path) -> None:
    """The right digest is no finding; another is IMG301 that names both; the algorithm is computed unasked."""
    data = fixture(PLAIN)
    right, wrong = hashlib.md5(data).hexdigest(), "0" * 40
    report = imgtool.inspect(image, (), expect=[f"md5:{right.upper()}"])
    assert report.checksums == {"md5": right}
    assert not report.findings
    report = imgtool.inspect(image, ("sha256",), expect=[f"md5:{right}", f"sha1:{wrong}"])
    assert set(report.checksums) == {"sha256", "md5", "sha1"}
    (finding,) = report.findings
    assert (finding.code, finding.severity) == ("IMG301", "error")
    assert wrong in finding.message
    assert hashlib.sha1(data).hexdigest() in finding.message


def test_expected_digest_of_a_stream() -> None:
    """From a pipe just the same."""
    reading, writing = os.pipe()
    os.write(writing, b"some bytes")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        report = imgtool.inspect(pipe, (), expect=[f"sha256:{'0' * 64}"])
    assert "IMG301" in codes(report)


def test_an_unknown_digest_is_usage(image: Path) -> None:
    """Before anything is read."""
    with pytest.raises(imgtool.UsageError):
        imgtool.inspect(image, ("sha257",))
    with pytest.raises(imgtool.UsageError):
        imgtool.inspect("/nowhere", (), expect=["sha256:12"])


def grow(image: Path) -> None:
    """One byte more."""
    with open(image, "ab") as file:
        file.write(b"x")


def touch(image: Path) -> None:
    """Another time of change."""
    os.utime(image, ns=(1, 1))


def cut(image: Path) -> None:
    """Half of it."""
    os.truncate(image, 800)


def replace(image: Path) -> None:
    """Another file, of the same bytes, in its place."""
    other = image.with_name("other")
    other.write_bytes(image.read_bytes())
    os.rename(other, image)


CHANGES = [(grow, "size"), (cut, "size"), (touch, "modification time"), (replace, "inode")]


@pytest.mark.parametrize(("change", "what"), CHANGES)
@pytest.mark.parametrize("checksums", [(), ("sha256",)])
def test_a_change_while_reading_is_found(image: Path, change: Any, what: str, checksums: tuple[str, ...]) -> None:
    """IMG006 when the file is another one at the end, digests asked for or not."""
    report = imgtool.inspect(image, checksums, on_facts=lambda report: change(image))
    (finding,) = [finding for finding in report.findings if finding.code == "IMG006"]
    assert finding.severity == "error"
    assert what in finding.message


def test_no_change_no_finding(image: Path) -> None:
    """Reading alone does not change a file; nor does removing its name."""
    assert "IMG006" not in codes(imgtool.inspect(image))
    assert "IMG006" not in codes(imgtool.inspect(image, on_facts=lambda report: image.unlink()))


def test_facts_come_before_digests(image: Path) -> None:
    """`on_facts` is told once, before the first byte is digested, with a report that lacks only the digests."""
    order: list[str] = []
    early: list[imgtool.Report] = []

    def told(report: imgtool.Report) -> None:
        order.append("facts")
        early.append(report)

    final = imgtool.inspect(image, on_facts=told, progress=lambda count: order.append(f"{count} bytes"))
    assert order == ["facts", "1792 bytes"]
    assert early[0].checksums == {}
    assert {**early[0].to_dict(), "checksums": final.checksums} == final.to_dict()


def test_without_checksums_nothing_is_digested(image: Path) -> None:
    """`()` reads headers only."""
    counts: list[int] = []
    assert imgtool.inspect(image, (), progress=counts.append).checksums == {}
    assert counts == []


def test_structures_only_when_asked(image: Path) -> None:
    """The annotated header is there on demand, in the object too."""
    assert imgtool.inspect(image, ()).structures == ()
    assert "structures" not in imgtool.inspect(image, ()).to_dict()
    report = imgtool.inspect(image, (), structures=True)
    assert report.structures[0].name == "qcow2 header"
    assert json.loads(json.dumps(report.to_dict()))["structures"][0]["fields"][0]["raw"] == "514649fb"


def test_depth_is_told() -> None:
    """A member below the depth limit is named, not looked into, and IMG202 says so; depth 0 asks for no members."""
    data = fixture("qcow2/luks.qcow2.gz")
    deep = report_of(data, depth=1)
    assert "IMG202" not in codes(deep)
    shallow = report_of(data, depth=0)
    assert "IMG202" not in codes(shallow)
    assert [member.format for member in shallow.members] == [None] * len(shallow.members)
    nested = conductor.examine(source_of(data), "inner", conductor.Options(DEFAULT, depth=2), level=2)
    (finding,) = [finding for finding in nested.findings if finding.code == "IMG202"]
    assert finding.severity == "warning"


def source_of(data: bytes) -> Any:
    """Bytes as a source."""
    from imgtool.sources.memory import BytesSource

    return BytesSource(data)


def failing_reader(view: View, limits: Limits) -> Facts:
    """A reader with a bug."""
    raise KeyError("no such thing")


def sound_reader(view: View, limits: Limits) -> Facts:
    """A reader without one."""
    return Sound(format="qcow2", file_size=view.size, virtual_size=512)


class Sound(Facts):
    """Facts of a format under test."""


@rule("QCW999", "always-fails")
def failing_rule(facts: Facts, limits: Limits) -> Iterator[Finding]:
    """A rule with a bug, after its first finding."""
    yield failing_rule.at("before")
    raise ZeroDivisionError("in a rule")


FAILING_RULES = (failing_rule,)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Replaces qcow2's registry entry."""

    def use(**changes: Any) -> None:
        formats = tuple(entry if entry is not QCOW2 else entry._replace(**changes) for entry in FORMATS)
        monkeypatch.setattr(recognise, "FORMATS", formats)
        recognise.signature_index.cache_clear()

    yield use
    monkeypatch.undo()
    recognise.signature_index.cache_clear()


def test_a_failing_reader_is_a_finding(registry: Any) -> None:
    """A bug in a reader is IMG901, an error that names it; a broken report comes back all the same."""
    registry(reader=f"{__name__}:failing_reader")
    report = report_of(fixture(PLAIN))
    (finding,) = [finding for finding in report.findings if finding.code == "IMG901"]
    assert finding.severity == "error"
    assert "failing_reader: KeyError: 'no such thing'" in finding.message
    assert report.format == "qcow2"
    assert report.broken
    assert report.partial


def test_a_failing_rule_is_a_finding(registry: Any) -> None:
    """A bug in a rule is IMG902, an error that names it; the other findings stay."""
    registry(reader=f"{__name__}:sound_reader", checks=f"{__name__}:FAILING_RULES")
    report = report_of(fixture(PLAIN))
    (finding,) = [finding for finding in report.findings if finding.code == "IMG902"]
    assert finding.severity == "error"
    assert finding.message == "QCW999: ZeroDivisionError: in a rule"
    assert report.virtual_size == 512


def test_findings_worst_first() -> None:
    """Errors, then warnings, then notes."""
    order = ["error", "warning", "note"]
    for name in images():
        severities = [order.index(finding.severity) for finding in report_of(fixture(name)).findings]
        assert severities == sorted(severities), name


def test_every_public_name_twice(image: Path) -> None:
    """No room hides a public name: each is there, the same on second use, and listed."""
    for name in imgtool.__all__:
        first, second = getattr(imgtool, name), getattr(imgtool, name)
        assert first is second
        assert name in dir(imgtool)
    for _ in range(2):
        assert imgtool.inspect(image, ()).format == "qcow2"
        assert imgtool.checksum(image, ("md5",)) == {"md5": hashlib.md5(fixture(PLAIN)).hexdigest()}
        assert issubclass(imgtool.NotFoundError, imgtool.InputError)
        assert isinstance(imgtool.Limits(), imgtool.Limits)
        assert issubclass(imgtool.UnsupportedError, imgtool.ImgtoolError)
        assert imgtool.Finding("X", "x", "note", "m").code == "X"
        assert imgtool.__version__
        with imgtool.open_disk(image) as disk:
            assert isinstance(disk, imgtool.Disk)
            assert disk.size == 1 << 20
        assert isinstance(imgtool.compare(image, image), imgtool.Comparison)
        assert imgtool.compare(image, image).identical
        assert list(imgtool.checksum(image, content=True)) == ["blocks"]
        assert issubclass(imgtool.DiskError, imgtool.InputError)
        assert issubclass(imgtool.NotFollowedError, imgtool.InputError)
        assert issubclass(imgtool.EncryptedError, imgtool.UnsupportedError)


def test_no_such_public_name() -> None:
    """AttributeError, as for any module."""
    with pytest.raises(AttributeError, match="nothing_such"):
        imgtool.nothing_such  # noqa: B018 - the access is the test


def test_failures_have_a_code_and_a_status() -> None:
    """Each failure's code is its own, each status one of the table."""
    from imgtool.errors import EXIT_ORDER, EXIT_TABLE, worst

    assert len({failure.code for failure in FAILURES}) == len(FAILURES)
    statuses = {status for status, _ in EXIT_TABLE}
    assert {failure.exit_status for failure in FAILURES} <= statuses
    assert set(EXIT_ORDER) <= statuses
    assert worst([0, 1, 3]) == 3
    assert worst([]) == 0


def test_patched_samples_have_unique_names() -> None:
    """A sample's name names one sample."""
    names = [patch.name for patch in patches()]
    assert len(set(names)) == len(names)


def test_limits_are_honoured() -> None:
    """A smaller cap is a finding, not a crash."""
    limits = DEFAULT._replace(read=64, head=64, tail=64)
    report = report_of(fixture(PLAIN), limits=limits)
    no_bug(report)
    assert report.broken
    assert "IMG201" in codes(report)
