"""What qemu-img is given: open files under /proc/self/fd, by options that leave nothing to guess; a passphrase."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator

from imgtool.conversion.qemu_options import BACKED, SECRET, SOURCES, TARGETS, named
from imgtool.errors import OutputError, UnsupportedError, UsageError
from imgtool.limits import Limits


def place(fd: int) -> str:
    """The name of an open file to a program that was handed it."""
    return f"/proc/self/fd/{fd}"


def image(fd: int, form: str, *, encrypted: bool = False) -> str:
    """An image that is read, as image options: the driver named, locks kept, no file but this one."""
    form = named(form)
    drivers = TARGETS if encrypted else SOURCES
    if form not in drivers:
        raise UnsupportedError(f"qemu-img is not given {form} to read")
    protocol = "host_device" if stat.S_ISBLK(os.fstat(fd).st_mode) else "file"
    words = [f"driver={drivers[form]}", "read-only=on"]
    words += ["backing="] if drivers[form] in BACKED else []
    if encrypted:
        words += [f"key-secret={SECRET}"] if form == "luks" else []
        words += [] if form == "luks" else ["encrypt.format=luks", f"encrypt.key-secret={SECRET}"]
    words += [f"file.driver={protocol}", f"file.filename={place(fd)}", "file.locking=auto"]
    return ",".join(words)


def secret_object(fd: int | None) -> list[str]:
    """The arguments that hand over a passphrase, if there is one."""
    return [] if fd is None else ["--object", f"secret,id={SECRET},file={place(fd)}"]


@contextlib.contextmanager
def handed(fd: int) -> Iterator[int]:
    """A descriptor of the same open file that is none of the three standard ones."""
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    try:
        yield copy
    finally:
        os.close(copy)


@contextlib.contextmanager
def memory_file(data: bytes) -> Iterator[int]:
    """A file in memory that holds `data`."""
    fd = os.memfd_create("passphrase")
    try:
        os.write(fd, data)
        yield fd
    finally:
        os.close(fd)


class Secret:
    """A passphrase: read once, as it may come from a pipe, and is needed more than once. `mark`: tells the file, as
    it was, from others; empty where it was no file that can be looked at again."""

    __slots__ = ("data", "mark")

    def __init__(self, data: bytes, mark: str) -> None:
        self.data = data
        self.mark = mark


def read_secret(path: str, limits: Limits) -> Secret:
    """The passphrase that a file, or a pipe, holds: every byte of it, in UTF-8 and none a NUL, as qemu-img wants it.
    Raises UsageError."""
    try:
        with open(path, "rb") as file:
            data = file.read(limits.secret + 1)
            status = os.fstat(file.fileno())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path!r}: cannot read the passphrase: {reason}") from error
    if not data or len(data) > limits.secret:
        raise UsageError(f"{path!r}: a passphrase has from 1 to {limits.secret} bytes")
    if b"\0" in data:
        raise UsageError(f"{path!r}: a passphrase has no NUL bytes: qemu-img would not take it")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path!r}: a passphrase is text in UTF-8 to qemu-img, and this is not") from None
    told = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    return Secret(data, " ".join(map(str, told)) if stat.S_ISREG(status.st_mode) else "")


@contextlib.contextmanager
def secret_of(given: str | Secret, limits: Limits) -> Iterator[int]:
    """A passphrase, or the one that a file holds, as a file in memory. Raises UsageError."""
    secret = read_secret(given, limits) if isinstance(given, str) else given
    with memory_file(secret.data) as fd:
        yield fd


def trim(fd: int, size: int, target: str) -> None:
    """A raw disk has the size that was asked for: qemu-img counts in sectors."""
    if size <= os.fstat(fd).st_size < size + 512:
        try:
            os.ftruncate(fd, size)
        except OSError as error:
            raise OutputError(f"{target}: cannot write: {error.strerror}") from error
