"""What tests of outputs and writers share: an output in memory, images made by the native engine, a small device."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imgtool.conversion import native
from imgtool.disks.open import open_disk
from imgtool.disks.recognise import entry_named
from imgtool.sources.disk import Disk
from imgtool.sources.flat import FlatDisk
from imgtool.sources.memory import BytesSource
from imgtool.targets.options import checked
from imgtool.targets.output import FileOutput, Output
from imgtool.targets.writer import Writer
from tests.kit import need

#: Seconds since 1970 of all images made here: 2020-01-01 00:00 UTC.
TIME = 1_577_836_800


class MemoryOutput(Output):
    """An output in memory. `garbage`: what it holds already, where it is like a device."""

    def __init__(self, garbage: int = 0) -> None:
        self.name = "memory"
        self.data = bytearray(b"\xa5" * garbage)
        self.known_zeros = not garbage
        self.writes: list[tuple[int, int]] = []

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        end = offset + len(data)
        self.data.extend(bytes(max(0, end - len(self.data))))
        self.data[offset:end] = data
        self.size = max(self.size, end)
        self.writes.append((offset, len(data)))

    def truncate(self, size: int) -> None:
        if self.known_zeros:
            del self.data[size:]
            self.data.extend(bytes(size - len(self.data)))
        self.size = size


def flat(data: bytes) -> Disk:
    """A disk of these bytes."""
    return FlatDisk(BytesSource(data), len(data))


def writer_of(form: str, output: Output, size: int, **options: str) -> Writer[Any]:
    """The native writer of a format with options as they are typed."""
    entry = entry_named(form)
    return native.open_writer(entry, output, size, checked(native.options_of(entry), options, form))


def written(form: str, data: bytes | Disk, *, time: int = TIME, **options: str) -> bytes:
    """The image of a format that the native engine makes."""
    output = MemoryOutput()
    disk = flat(data) if isinstance(data, bytes) else data
    native.write(disk, writer_of(form, output, disk.size, **options), time)
    assert output.size == len(output.data)
    return bytes(output.data)


def converted(source: Path, path: Path, form: str, **options: str) -> Path:
    """The image at `path` that the native engine makes of a raw file."""
    with open_disk(source, format="raw") as disk, FileOutput(os.fspath(path), force=True) as output:
        native.write(disk, writer_of(form, output, disk.size, **options), TIME)
        output.commit()
        assert path.stat().st_size == output.size
    return path


def mark(data: bytes) -> str:
    """The mark of a content in hex, by the rule of imgtool/targets/ids.py and a CRC-32C of the test's own."""
    hashed = hashlib.sha256()
    for number, low in enumerate(range(0, len(data), 65_536)):
        unit = data[low : low + 65_536].ljust(65_536, b"\0")
        if any(unit):
            hashed.update(struct.pack(">QI", number, _crc32c(unit)))
    hashed.update(struct.pack(">Q", len(data)))
    return hashed.hexdigest()


def _crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), a byte at a time."""
    table = list(range(256))
    for _ in range(8):
        table = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in table]
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def as_root(*command: str) -> list[str]:
    """A command that only root may run."""
    return [*([] if os.geteuid() == 0 else ["sudo", "-n"]), need(command[0]), *command[1:]]


@contextmanager
def small_room(folder: Path, size: int) -> Iterator[Path]:
    """A file system of `size` bytes in memory, mounted at `folder`/room."""
    room = folder / "room"
    room.mkdir()
    options = f"size={size},mode=1777"
    subprocess.run(as_root("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(room)), check=True)
    try:
        yield room
    finally:
        subprocess.run(as_root("umount", str(room)), check=True)


@contextmanager
def sharing_room(folder: Path, size: int) -> Iterator[Path]:
    """A file system of `size` bytes whose files can share blocks, mounted at `folder`/room."""
    disk, room = folder / "btrfs.img", folder / "room"
    with open(disk, "wb") as file:
        file.truncate(size)
    subprocess.run([need("mkfs.btrfs"), "-q", "-d", "single", "-m", "single", str(disk)], check=True)
    room.mkdir()
    subprocess.run(as_root("mount", "-o", "loop", str(disk), str(room)), check=True)
    try:
        subprocess.run(as_root("chmod", "777", str(room)), check=True)
        yield room
    finally:
        subprocess.run(as_root("umount", str(room)), check=True)


def used(room: Path) -> int:
    """Bytes of a file system that are taken, once all is written."""
    os.sync()
    told = os.statvfs(room)
    return (told.f_blocks - told.f_bfree) * told.f_frsize


@contextmanager
def loop_device(path: Path, *options: str) -> Iterator[str]:
    """A block device that is the file at `path`, or the part of it that the options of losetup say."""
    command = as_root("losetup", "-f", "--show", *options, str(path))
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    device = made.stdout.strip()
    try:
        subprocess.run(as_root("chmod", "o+rw", device), check=True)
        yield device
    finally:
        subprocess.run(as_root("losetup", "-d", device), check=True)
