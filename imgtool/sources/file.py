"""A path or an open file as a Source. Read-only, always.

Opening follows one rule: `stat`, open with O_NONBLOCK, `fstat`, compare. A device, FIFO, socket or
directory is refused with a message that says what to do instead.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from imgtool.errors import InputError, NotFoundError, NotRegularError
from imgtool.sources.base import Source, check_range


class Identity(NamedTuple):
    """What tells that a file changed while it was read."""

    device: int
    inode: int
    size: int
    mtime_ns: int


def _identity(status: os.stat_result) -> Identity:
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class FileSource(Source):
    """A regular file (or, when asked for, a block device) by its descriptor."""

    __slots__ = ("_device", "_status", "fd")

    def __init__(self, fd: int, status: os.stat_result, name: str, device: bool = False) -> None:
        self.fd = fd
        self.name = name
        self._status = status
        self._device = device
        self.size = os.lseek(fd, 0, os.SEEK_END) if device else status.st_size

    @property
    def allocated(self) -> int | None:
        return None if self._device else self._status.st_blocks * 512

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length)
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        try:
            data = os.pread(self.fd, length, offset)
            while len(data) < length:
                more = os.pread(self.fd, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise InputError(f"{self.name}: cannot read at byte {offset}: {error.strerror}") from error
        return data

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`; the count of bytes read (0 at the end)."""
        try:
            return os.preadv(self.fd, [buffer], offset)
        except OSError as error:
            raise InputError(f"{self.name}: cannot read at byte {offset}: {error.strerror}") from error

    def data_extents(self) -> Iterator[tuple[int, int]]:
        position = 0
        while position < self.size:
            try:
                start = os.lseek(self.fd, position, os.SEEK_DATA)
                end = os.lseek(self.fd, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                yield position, self.size - position
                return
            end = min(end, self.size)
            if end <= start:
                return
            yield start, end - start
            position = end

    def changed(self) -> str | None:
        """What differs from when the file was opened ("size", "modification time"); None when nothing does.

        "inode" where another file lies at the path now; that none does any more is no change of what was read.
        """
        now, then = _identity(os.fstat(self.fd)), _identity(self._status)
        if now.size != then.size:
            return "size"
        if now.mtime_ns != then.mtime_ns:
            return "modification time"
        try:
            there = _identity(os.stat(self.name))
        except (OSError, ValueError):
            return None
        return "inode" if (there.device, there.inode) != (then.device, then.inode) else None

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


_KINDS = (
    (stat.S_ISDIR, "a directory", "name the files in it, or give -r where the verb takes it"),
    (stat.S_ISFIFO, "a FIFO", "pipe it (imgtool … - < FIFO) where the verb takes that, else copy it to a file"),
    (stat.S_ISSOCK, "a socket", "name a regular file"),
    (stat.S_ISCHR, "a character device", "name a regular file"),
    (stat.S_ISBLK, "a block device", "say --device to read it"),
)


def _refuse(path: str, mode: int, device: bool) -> None:
    for test, kind, cure in _KINDS:
        if test(mode) and not (device and test is stat.S_ISBLK):
            raise NotRegularError(f"{path}: {kind}, not a regular file; {cure}")


def _os_error(path: str, error: OSError) -> InputError:
    kind = NotFoundError if error.errno in (errno.ENOENT, errno.ENOTDIR) else InputError
    return kind(f"{path}: {error.strerror}")


def open_file(path: str, device: bool = False) -> FileSource:
    """Open `path` for reading. Raises NotFoundError, NotRegularError or InputError."""
    try:
        before = os.stat(path)
        _refuse(path, before.st_mode, device)
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise _os_error(path, error) from error
    except ValueError as error:
        raise NotFoundError(f"{path!r}: {error}") from error
    try:
        status = os.fstat(fd)
        _refuse(path, status.st_mode, device)
        if (before.st_dev, before.st_ino) != (status.st_dev, status.st_ino):
            raise InputError(f"{path}: was replaced while it was opened; try again")
        return FileSource(fd, status, path, device and stat.S_ISBLK(status.st_mode))
    except BaseException:
        os.close(fd)
        raise
