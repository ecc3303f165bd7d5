"""Inspecting what comes once: the head, the tail and planned windows are kept, the rest goes by."""

from __future__ import annotations

import hashlib
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

import imgtool
from imgtool.inspection.conductor import examine
from imgtool.inspection.options import Options
from imgtool.inspection.streams import examine_stream
from imgtool.limits import DEFAULT
from imgtool.sources.base import NotHeldError
from imgtool.sources.held import HeldStream
from tests.kit import codes, fixture, need, no_bug, report_of, run
from tests.test_golden import plain

MIB = 1024**2


class Chunks:
    """Chunks as a stream that cannot seek; each is made when it is asked for."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        return next(self._chunks, b"")


def stream_of(chunks: Iterator[bytes]) -> IO[bytes]:
    """Chunks as a file object."""
    return Chunks(chunks)  # type: ignore[return-value] # as much of IO[bytes] as a pipe has


def snapshot(number: int) -> bytes:
    """A snapshot table entry: 24 bytes of extra data, id and name, padded to 8."""
    identity, name = str(number).encode(), f"snapshot {number}".encode()
    entry = struct.pack(">QIHHIIQII", 0, 0, len(identity), len(name), 1, 2, 3, 0, 24)
    entry += struct.pack(">QQQ", 0, 64 * 1024, (1 << 64) - 1) + identity + name
    return entry + bytes(-len(entry) % 8)


def far_snapshots(at: int, count: int) -> tuple[bytes, bytes]:
    """The head of a qcow2 whose snapshot table lies at `at`, and that table."""
    head = bytearray(fixture("qcow2/plain.qcow2"))
    head[60:72] = struct.pack(">IQ", count, at)
    return bytes(head), b"".join(snapshot(number) for number in range(1, count + 1))


def pieces(head: bytes, at: int, table: bytes, size: int, step: int) -> Iterator[bytes]:
    """`head`, zeros to `at`, `table`, zeros to `size`, in chunks of `step`."""
    for start in range(0, size, step):
        chunk = bytearray(min(step, size - start))
        for offset, data in ((0, head), (at, table)):
            low, high = max(start, offset), min(start + len(chunk), offset + len(data))
            if low < high:
                chunk[low - start : high - start] = data[low - offset : high - offset]
        yield bytes(chunk)


@pytest.mark.parametrize("step", [MIB, 65_536, 999_999, 5 * MIB])
def test_a_far_snapshot_table_is_read_through_windows(step: int) -> None:
    """A table 40 MiB in is planned while the stream runs and read whole, however the bytes come."""
    head, table = far_snapshots(40 * MIB, 60)
    chunks = pieces(head, 40 * MIB, table, 64 * MIB, step)
    report = imgtool.inspect(stream_of(chunks), ())
    no_bug(report)
    assert report.streamed
    assert report.size == 64 * MIB
    assert "IMG007" not in codes(report)
    assert [one.name for one in report.details.snapshots] == [f"snapshot {number}" for number in range(1, 61)]


def test_what_was_not_kept_is_named() -> None:
    """With no room for windows the far table is IMG007 and the report partial; the rest is told all the same."""
    head, table = far_snapshots(40 * MIB, 2)
    limits = DEFAULT._replace(stream_windows=0)
    report = imgtool.inspect(stream_of(pieces(head, 40 * MIB, table, 64 * MIB, MIB)), (), limits=limits)
    no_bug(report)
    missed = [finding for finding in report.findings if finding.code == "IMG007"]
    assert [(finding.severity, finding.offset, finding.length) for finding in missed] == [("note", 40 * MIB, 40)]
    assert report.partial
    assert report.virtual_size == MIB


def test_held_bytes_are_bounded() -> None:
    """Whatever is asked for, no more is kept than head, tail twice and windows."""
    limits = DEFAULT._replace(stream_head=64 * 1024, stream_tail=16 * 1024, stream_windows=512 * 1024)
    held = HeldStream("-", limits)
    chunk = memoryview(bytes(10_000))
    for step in range(1000):
        held.take(chunk)
        held.want([(step * 20_000 + offset * 500_000, 4096) for offset in range(20)])
    assert held.position == 10_000_000
    assert held.kept <= 64 * 1024 + 2 * 16 * 1024 + 512 * 1024


def test_a_trickle_of_single_bytes_is_kept_as_bytes() -> None:
    """A writer that sends byte by byte costs no object a byte."""
    held = HeldStream("-", DEFAULT._replace(stream_head=1000, stream_tail=1000))
    for number in range(5000):
        held.take(memoryview(bytes([number % 251])))
    held.ended = True
    source = held.source()
    assert source.read_at(4990, 100) == bytes(number % 251 for number in range(4990, 5000))
    assert held.kept <= 3000


def test_ranges_out_of_a_held_stream() -> None:
    """Head and tail are there, the middle is not; a range over the end is cut."""
    data = bytes(range(256)) * 40
    held = HeldStream("-", DEFAULT._replace(stream_head=1000, stream_tail=1000))
    held.take(memoryview(data[:5000]))
    held.take(memoryview(data[5000:]))
    held.ended = True
    source = held.source()
    assert source.size == len(data)
    assert source.read_at(10, 500) == data[10:510]
    assert source.read_at(len(data) - 100, 500) == data[-100:]
    assert source.read_at(len(data), 5) == b""
    with pytest.raises(NotHeldError):
        source.read_at(3000, 10)
    with pytest.raises(NotHeldError):
        source.read_at(995, 10)


def test_a_window_may_begin_in_what_just_went_by() -> None:
    """A range that passed a moment ago is taken from the tail, and its end from what comes."""
    data = os.urandom(60_000)
    held = HeldStream("-", DEFAULT._replace(stream_head=1000, stream_tail=10_000))
    held.take(memoryview(data[:20_000]))
    held.want([(15_000, 8_000)])
    for start in range(20_000, 60_000, 1000):
        held.take(memoryview(data[start : start + 1000]))
    held.ended = True
    assert held.source().read_at(15_000, 8_000) == data[15_000:23_000]


def test_a_real_pipe() -> None:
    """From an operating system's pipe: the same report as from the bytes, digest included."""
    data = fixture("qcow2/snapshots.qcow2")
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb") as pipe:
        report = imgtool.inspect(pipe)
    writer.join()
    assert report.streamed
    assert report.checksums == {"sha256": hashlib.sha256(data).hexdigest()}
    first, second = plain(report), plain(report_of(data, checksums=("sha256",)))
    del first["path"], second["path"]
    assert first == second


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    """Nothing there yet is not the end."""
    data = fixture("qcow2/plain.qcow2")
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    started = threading.Event()

    def write() -> None:
        started.wait()
        os.write(writing, data[:100])
        os.write(writing, data[100:])
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        threading.Timer(0.05, started.set).start()
        report = imgtool.inspect(pipe)
    writer.join()
    assert report.size == len(data)
    assert report.format == "qcow2"


def test_an_empty_stream_is_an_empty_file() -> None:
    """No bytes: IMG005, size 0."""
    report = imgtool.inspect(stream_of(iter(())))
    assert report.size == 0
    assert codes(report) >= {"IMG005"}


def test_a_stream_that_fails_raises() -> None:
    """An I/O error in the middle is a failure of the input, with its exit status."""

    class Failing(Chunks):
        def readinto(self, buffer: memoryview) -> int:
            raise OSError(5, "Input/output error")

    with pytest.raises(imgtool.InputError, match="Input/output error"):
        imgtool.inspect(Failing(iter(())))  # type: ignore[arg-type] # as much of IO[bytes] as a pipe has


def test_dry_runs_are_bounded() -> None:
    """However many pieces come to their end, the inspection runs dry at most `stream_replans` times."""
    calls = 0

    def counting(*arguments: object, **keywords: object) -> imgtool.Report:
        nonlocal calls
        calls += 1
        return examine(*arguments, **keywords)  # type: ignore[arg-type] # passed on as they came

    head, table = far_snapshots(17 * MIB, 2000)
    options = Options(DEFAULT._replace(stream_replans=3))
    examine_stream(pieces(head, 17 * MIB, table, 24 * MIB, 65_536), "-", options, counting)
    assert calls <= 4


def same_from_a_pipe(path: Path) -> None:
    """The report from a pipe is the file's."""
    with open(path, "rb") as file:
        streamed = imgtool.inspect(stream_of(iter(lambda: file.read(300_000), b"")), ())
    no_bug(streamed)
    assert streamed.streamed
    first, second = plain(streamed), plain(imgtool.inspect(path, ()))
    del first["path"], second["path"]
    assert first == second


def test_a_file_system_far_inside_a_disk(tmp_path: Path) -> None:
    """A partition that begins at 100 MiB: planned once the table is there; the backup is the tail."""
    path = tmp_path / "disk.raw"
    path.write_bytes(b"")
    os.truncate(path, 180 * MIB)
    run(need("sgdisk"), "-n", "1:2048:+20M", "-n", "2:204800:+50M", "-c", "2:far away", str(path))
    run(need("mkfs.ext4"), "-q", "-F", "-L", "far", "-E", f"offset={100 * MIB}", str(path), "50M")
    report = imgtool.inspect(path, ())
    assert report.volumes is not None
    found = report.volumes.tables[0].partitions[1].filesystem
    assert found is not None
    assert (found.kind, found.label) == ("ext4", "far")
    same_from_a_pipe(path)


def test_a_member_far_inside_an_archive(tmp_path: Path) -> None:
    """The second disk of a tar lies 24 MiB in: its header and tail are planned."""
    (tmp_path / "filler.bin").write_bytes(b"x" * (24 * MIB))
    (tmp_path / "box.ovf").write_bytes(fixture("ovf/bare.ovf"))
    far, _ = far_snapshots(0, 0)
    (tmp_path / "disk.qcow2").write_bytes(far)
    names = ("box.ovf", "filler.bin", "disk.qcow2")
    run(need("tar"), "--format=ustar", "-C", str(tmp_path), "-cf", str(tmp_path / "box.ova"), *names)
    report = imgtool.inspect(tmp_path / "box.ova", ())
    assert [member.format for member in report.members if member.path == "disk.qcow2"] == ["qcow2"]
    same_from_a_pipe(tmp_path / "box.ova")
