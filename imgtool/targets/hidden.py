"""Hidden names: what a target is called while it is not whole, where the file system knows no files without a name.

A hidden file is `.NAME.imgtool-TOKEN.part` beside its target. Who writes it holds a lock on it, which ends with the
process, however that ends; so one that nobody holds is what a killed run left, and the next run for the same target
removes it.

The lock is on one byte far beyond any image, of the open file (fcntl(2), F_OFD_SETLK): where locks are the server's
(NFS), one of the whole file would stand in the way of those that qemu-img takes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import struct
from collections.abc import Iterator
from secrets import token_hex

_BYTE = (1 << 62) - 1  #: the byte that is locked
_NAME_MAX = 120  #: bytes of the target's name that the hidden one has
_TRIES = 16  #: names that are tried where others hold what was made
_NOREPLACE = 1
_AT_FDCWD = -100


def hidden_name(base: str) -> str:
    """A new hidden name for a target of that name."""
    return f"{_prefix(base)}{token_hex(8)}.part"


def lock(fd: int) -> bool | None:
    """Hold a file that is open for writing; False where another holds it, None where it cannot be told."""
    # struct flock: the type, whence, (padding,) the first byte and the count, the process, which is of no use here
    wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _BYTE, 1, 0)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
    except OSError as error:
        return False if is_held(error) else None
    return True


def is_held(error: OSError) -> bool:
    """True for what a lock fails with where another has it (EACCES: fcntl(2), and servers of files)."""
    return error.errno in (errno.EAGAIN, errno.EACCES)


def open_hidden(folder: str, base: str) -> tuple[int, str]:
    """A new hidden file in a folder, open and held, and its path. Raises OSError."""
    for path in hidden_paths(folder, base):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            mine = lock(fd) is not False  # else a run that sweeps was faster
            if leads_to(path, fd):
                if mine:
                    kept, fd = fd, -1
                    return kept, path
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        finally:
            if fd >= 0:
                os.close(fd)
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), folder)


def hidden_paths(folder: str, base: str) -> Iterator[str]:
    """New hidden paths in a folder, as many as are tried."""
    for _ in range(_TRIES):
        yield os.path.join(folder, hidden_name(base))


def leads_to(path: str, fd: int, *, folder: int | None = None) -> bool:
    """True where a path, seen from an open folder where one is given, is that of an open file. Raises OSError."""
    try:
        return os.path.samestat(os.stat(path, dir_fd=folder, follow_symlinks=False), os.fstat(fd))
    except FileNotFoundError:
        return False


def sweep(folder: str, base: str) -> None:
    """Remove the hidden files of a target that nobody holds. What cannot be looked at stays."""
    sweep_named(folder, hidden_pattern(base))


def hidden_pattern(base: str) -> re.Pattern[str]:
    """The hidden names of a target of that name."""
    return re.compile(re.escape(_prefix(base)) + r"[0-9a-f]{16}\.part", re.ASCII)


def sweep_named(folder: str, ours: re.Pattern[str]) -> None:
    """Remove the files of a folder that nobody holds and whose names match. What cannot be looked at stays."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if ours.fullmatch(name):
                with contextlib.suppress(OSError):
                    _remove(os.path.join(folder, name))


def _remove(path: str) -> None:
    """Remove a file that nobody holds. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if lock(fd) and leads_to(path, fd):
            os.unlink(path)
    finally:
        os.close(fd)


def _prefix(base: str) -> str:
    """The beginning of the hidden names of a target. Long names are cut between two characters."""
    while len(os.fsencode(base)) > _NAME_MAX:
        base = base[:-1]
    return f".{base}.imgtool-"


def rename_new(old: str, new: str) -> None:
    """Give a file another name, if that is free; for file systems without hard links. Raises OSError."""
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    failed = errno.ENOSYS
    if rename is not None:
        if rename(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _NOREPLACE) == 0:
            return
        failed = ctypes.get_errno()
    if failed not in (errno.ENOSYS, errno.EINVAL):
        raise OSError(failed, os.strerror(failed), new)
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
    os.rename(old, new)
