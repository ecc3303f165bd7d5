"""Files that one process at a time holds, and how the catalog's files are removed, flushed and failed on.

A lock dies with its process, however that ends. Reference: flock(2).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from imgtool.errors import InputError, OutputError, RefusedError

_PATIENCE = 0.5  #: seconds within which one that holds a lock only to clear up lets go of it
_LOOKING = 20.0  #: seconds within which all that only look at it do, however busy the machine is


def hold(path: str, refusal: str) -> int:
    """The open file of a lock, made where it is not there, and held. Others that hold it may be such as only look
    whether it is held: those are waited for. Raises OSError, RefusedError with the words of `refusal`."""
    began = time.monotonic()
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            held = locked(fd)
            if held and same(path, fd):
                kept, fd = fd, -1
                return kept
            patience = _LOOKING if held or locked(fd, shared=True) else _PATIENCE
        finally:
            if fd >= 0:
                os.close(fd)
        if time.monotonic() - began > patience:
            raise RefusedError(refusal)
        time.sleep(0.005)


def is_held(path: str, place: str) -> bool:
    """True while some process holds the lock of a path. Raises InputError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InputError(f"{place}: {error.strerror}") from error
    try:
        return not locked(fd, shared=True)
    except OSError as error:
        raise InputError(f"{place}: its file system cannot tell whether a file is held: {error.strerror}") from error
    finally:
        os.close(fd)


def locked(fd: int, *, shared: bool = False) -> bool:
    """Lock an open file; False where another has it."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def same(path: str, fd: int) -> bool:
    """True where a path leads to an open file."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(fd))
    except FileNotFoundError:
        return False


def remove(path: str, place: str) -> int | None:
    """Remove a file: its bytes, None where it is not there. Raises OutputError."""
    with failing(place):
        try:
            size = os.stat(path, follow_symlinks=False).st_size
            os.unlink(path)
        except FileNotFoundError:
            return None
        return size


def names(folder: str) -> list[str]:
    """What a folder has, in order; nothing where there is none. Raises InputError."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from error


def flush(path: str) -> None:
    """Bring a file's bytes, or a folder's names, to the disk. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def failing(place: str) -> Iterator[None]:
    """An OSError as a failure of the store at `place`."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{place}: the store cannot be written: {error.strerror or error}") from error
