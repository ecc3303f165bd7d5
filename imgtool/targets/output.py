"""Outputs: what writers write to. A file beside its target without a name of its own until it is whole; a block
device; or nothing at all, which only counts.

Contract (tests/targets/test_output.py runs it against each one):
- What was not written reads as zeros, unless `known_zeros` is False (a device).
- `commit` makes the target appear under its name, whole and flushed; before it nothing is there, whatever happens.
  Where the name itself cannot be flushed, a new target is gone again, and of one that was replaced that is said.
- Every failure to write is an OutputError that names the target.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from imgtool.errors import ExistsError, OutputError
from imgtool.targets.hidden import hidden_name, leads_to, lock, open_hidden, rename_new, sweep

_FICLONERANGE = 0x4020940D

_PERMISSIONS = 0o777  #: bits of a mode that say who may do what

_ZEROS = 1024 * 1024  #: bytes of one write of zeros

#: What opening a nameless file fails with where there are none: by the file system, or by the kernel.
_NO_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)

_PROC = "/proc"

#: Symbolic links that are gone along, one after the other, as Linux does.
_LINKS = 40

#: What a hard link fails with where there are none.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


class Output(ABC):
    """Bytes that can be written at any offset. `size` is the end of what was written or asked for by `truncate`."""

    name: str
    size: int = 0
    known_zeros: bool = True

    @abstractmethod
    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data` from `offset` on. Raises OutputError."""

    @abstractmethod
    def truncate(self, size: int) -> None:
        """Make the output `size` bytes; what is new reads as zeros. Raises OutputError."""

    def write_zeros(self, offset: int, length: int) -> None:
        """Write zeros, where something else may be. Raises OutputError."""
        for at in range(offset, offset + length, _ZEROS):
            self.write_at(at, bytes(min(_ZEROS, offset + length - at)))

    def reserve(self, offset: int, length: int) -> None:
        """Take the space of a range on disk without writing it. Raises OutputError (no space left)."""
        self.size = max(self.size, offset + length)

    def clone_range(self, fd: int, source_offset: int, offset: int, length: int) -> bool:
        """Share a range of the file `fd` where the file system can do that; False where it cannot."""
        return False

    def commit(self) -> None:
        """Flush, and give the target its name."""
        return

    def close(self) -> None:
        """Release what is held; what was not committed is gone. Twice is fine."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class CountingOutput(Output):
    """Writes nothing: how large a target would be. `capacity`: bytes of the device that it would be."""

    def __init__(self, name: str = "nothing", capacity: int | None = None) -> None:
        self.name = name
        self.known_zeros = capacity is None
        self._capacity = capacity

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self.write_zeros(offset, len(data))

    def write_zeros(self, offset: int, length: int) -> None:
        self.truncate(max(self.size, offset + length))

    def truncate(self, size: int) -> None:
        if self._capacity is not None and size > self._capacity:
            raise _too_small(self.name, self._capacity, size)
        self.size = size


class FileOutput(Output):
    """A new file. Until `commit` it has no name (or a hidden one where the file system knows no nameless files).

    `force`: an existing target is replaced, at the moment of the commit and not before; the new file has the
    permissions that the old one had. Hidden files that killed runs for the same target left are removed.
    """

    def __init__(self, path: str, *, force: bool = False) -> None:
        self.name = path
        self._force = force
        self._folder = os.path.dirname(path) or "."
        self._hidden: str | None = None
        if os.path.isdir(path):
            raise OutputError(f"{path}: is a directory")
        if not force and os.path.lexists(path):
            raise _exists(path)
        try:
            self.fd = self._nameless()
        except OSError as error:
            raise _failed(path, error) from error

    def _nameless(self) -> int:
        base = os.path.basename(self.name)
        if self._force:  # then a whole file has a hidden name for a moment, everywhere
            sweep(self._folder, base)
        try:
            fd = os.open(self._folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno not in _NO_NAMELESS:
                raise
        else:
            lock(fd)
            return fd
        if not self._force:
            sweep(self._folder, base)
        fd, self._hidden = open_hidden(self._folder, base)
        return fd

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        try:
            done = os.pwrite(self.fd, view, offset)
            while done < len(view):
                done += os.pwrite(self.fd, view[done:], offset + done)
        except (OSError, OverflowError) as error:
            raise _failed(self.name, error) from error
        self.size = max(self.size, offset + len(view))

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self.fd, size)
        except (OSError, OverflowError) as error:
            raise _failed(self.name, error) from error
        self.size = size

    def reserve(self, offset: int, length: int) -> None:
        if length <= 0:
            return
        try:
            os.posix_fallocate(self.fd, offset, length)
        except (OSError, OverflowError) as error:
            raise _failed(self.name, error) from error
        super().reserve(offset, length)

    def clone_range(self, fd: int, source_offset: int, offset: int, length: int) -> bool:
        request = b"".join(n.to_bytes(8, "little") for n in (fd, source_offset, length, offset))
        try:
            fcntl.ioctl(self.fd, _FICLONERANGE, request)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise _failed(self.name, error) from error
            return False
        self.size = max(self.size, offset + length)
        return True

    def commit(self) -> None:
        try:
            os.fsync(self.fd)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._appear(folder)
                self._settle(folder)
            finally:
                os.close(folder)
        except FileExistsError as error:
            raise _exists(self.name) from error
        except OSError as error:
            raise _failed(self.name, error) from error

    def _appear(self, folder: int) -> None:
        """Take the target's name: only where it is free, or in place of what has it."""
        base = os.path.basename(self.name)
        if not self._force:
            self._link(base, folder)
            return
        self._permit_as(base, folder)
        if self._hidden is None:
            hidden = hidden_name(base)
            self._link(hidden, folder)
            self._hidden = os.path.join(self._folder, hidden)
        os.replace(self._hidden, self.name)
        self._hidden = None

    def _permit_as(self, base: str, folder: int) -> None:
        """Have the mode of the file that is replaced, and where that may be its owner and group; where its group may
        not be, a group has no permissions. Raises OSError."""
        try:
            old = os.stat(base, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISREG(old.st_mode):
            return
        new = os.fstat(self.fd)
        if new.st_gid != old.st_gid:
            with contextlib.suppress(OSError):
                os.fchown(self.fd, -1, old.st_gid)
        if new.st_uid != old.st_uid:
            with contextlib.suppress(OSError):
                os.fchown(self.fd, old.st_uid, -1)
        new = os.fstat(self.fd)
        mode = old.st_mode & (_PERMISSIONS if new.st_gid == old.st_gid else _PERMISSIONS & ~stat.S_IRWXG)
        if stat.S_IMODE(new.st_mode) != mode:  # where a file system has no modes, they are the same
            os.fchmod(self.fd, mode)

    def _settle(self, folder: int) -> None:
        """Flush the name that the target has now; where that fails, a new target has none again. Raises OSError,
        OutputError where the target is there all the same."""
        try:
            os.fsync(folder)
        except OSError as error:
            if not self._force and self._taken_away(folder):
                raise
            raise OutputError(unsettled(self.name, error)) from error

    def _taken_away(self, folder: int) -> bool:
        """Take the target's name away; False where that fails too."""
        base = os.path.basename(self.name)
        try:
            if leads_to(base, self.fd, folder=folder):
                os.unlink(base, dir_fd=folder)
        except OSError:
            return False
        return True

    def _link(self, base: str, folder: int) -> None:
        if self._hidden is None:  # with a folder given, linkat(2) follows the link to the nameless file
            os.link(f"/proc/self/fd/{self.fd}", base, dst_dir_fd=folder, follow_symlinks=True)
            return
        try:
            os.link(self._hidden, base, dst_dir_fd=folder)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            rename_new(self._hidden, self.name)
        else:
            os.unlink(self._hidden)
        self._hidden = None

    def close(self) -> None:
        if self._hidden is not None:  # while it is held: else it is nobody's, and another run's to remove
            with contextlib.suppress(OSError):  # a folder that is gone, or not ours to write any more
                os.unlink(self._hidden)
            self._hidden = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class DeviceOutput(Output):
    """A block device, written in place: there is no other way, so the caller asks for it by name and by force."""

    known_zeros = False

    def __init__(self, path: str) -> None:
        self.name = path
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
            self.capacity = os.lseek(self.fd, 0, os.SEEK_END)
        except OSError as error:
            raise _failed(path, error) from error

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        try:
            done = 0
            while done < len(view):
                done += os.pwrite(self.fd, view[done:], offset + done)
        except OSError as error:
            raise _failed(self.name, error) from error
        self.size = max(self.size, offset + len(view))

    def truncate(self, size: int) -> None:
        if size > self.capacity:
            raise _too_small(self.name, self.capacity, size)
        self.size = size

    def commit(self) -> None:
        try:
            os.fsync(self.fd)
        except OSError as error:
            raise _failed(self.name, error) from error

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def open_output(path: str, *, force: bool = False) -> FileOutput | DeviceOutput:
    """The output that `path` means: a new file, or a block device where `force` says so. Raises OutputError."""
    return DeviceOutput(path) if free_target(path, force=force) else FileOutput(path, force=force)


def counted_output(path: str, *, force: bool = False) -> CountingOutput:
    """What stands for `open_output` where nothing is to be written, or opened for it. Raises OutputError as that
    does, as far as can be known."""
    if free_target(path, force=force):
        return CountingOutput(path, _capacity(path))
    folder = os.path.dirname(path) or "."
    while not os.path.lexists(folder):  # it would be made
        folder = os.path.dirname(folder) or "."
    if not os.path.isdir(folder):
        raise OutputError(f"{path}: cannot write: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise OutputError(f"{path}: cannot write: nothing can be made in the folder {folder}")
    return CountingOutput(path)


def _capacity(path: str) -> int:
    """Bytes of a block device that can be written. Raises OutputError."""
    if not os.access(path, os.W_OK, effective_ids=True):
        raise OutputError(f"{path}: cannot write: the device is not to be written")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
        try:
            return os.lseek(fd, 0, os.SEEK_END)
        finally:
            os.close(fd)
    except OSError as error:
        raise _failed(path, error) from error


def free_target(path: str, *, force: bool = False) -> bool:
    """Whether a target is a block device; nothing is opened. Raises what stands against writing it: ExistsError where
    it is there and `force` does not say so, OutputError where it is something that is not written to.

    By `force` a symbolic link is replaced itself, as rename(2) does, and not what it leads to; none into /proc is
    (/dev/stdout, /dev/fd/1): that stands for an open file, and has no name that another could take.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = 0
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise OutputError(f"{path!r}: {error}") from error
    if stat.S_ISBLK(mode):
        if not force:
            raise ExistsError(f"{path}: is a block device, and all that is on it would be lost; --force writes to it")
        return True
    if stat.S_ISDIR(mode) or path.endswith(os.sep):
        raise OutputError(f"{path}: is a directory; name a file in it")
    if mode and not stat.S_ISREG(mode):
        raise OutputError(f"{path}: is neither a regular file nor a block device; name a file")
    if os.path.islink(path) and _into_proc(path):
        raise OutputError(f"{path}: leads into /proc, to an open file, which cannot be replaced; name a file")
    if not force and os.path.lexists(path):
        raise _exists(path)
    return False


def _into_proc(path: str) -> bool:
    """Whether a symbolic link leads to a name below /proc, by way of others or not."""
    for _ in range(_LINKS):
        folder = os.path.realpath(os.path.dirname(path))
        if folder == _PROC or folder.startswith(_PROC + os.sep):
            return True
        try:
            path = os.path.join(folder, os.readlink(path))
        except OSError:  # the last one: no link any more, or nothing
            return False
    return False


def umask() -> int:
    """The process' mask for new files; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _exists(path: str) -> ExistsError:
    return ExistsError(f"{path}: exists; --force replaces it")


def _too_small(path: str, capacity: int, size: int) -> OutputError:
    return OutputError(f"{path}: the device has {capacity} bytes, {size} are needed")


def unsettled(path: str, error: OSError) -> str:
    """What is said of a target that is there, and may not be after a crash."""
    return f"{path}: is there, but its name is not flushed and may not outlive a crash: {error.strerror or error}"


def _failed(path: str, error: OSError | OverflowError) -> OutputError:
    """`error`: OverflowError for offsets and sizes that no file has."""
    told = error.strerror if isinstance(error, OSError) else os.strerror(errno.EFBIG)
    return OutputError(f"{path}: cannot write: {told or error}")
