"""A folder as an output: hidden beside its target until it is whole.

Who writes one holds a lock on the hidden folder, which ends with the process, however that ends; what killed runs for
the same target left is removed by the next one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from imgtool.errors import ExistsError, OutputError
from imgtool.targets.hidden import hidden_paths, hidden_pattern, is_held, leads_to, rename_new
from imgtool.targets.output import unsettled


class FolderOutput:
    """A new folder. `work`: the path where it is filled; `commit` gives it its name, and until then there is none.

    Raises ExistsError, OutputError.
    """

    def __init__(self, path: str) -> None:
        self.name = path.rstrip(os.sep) or path
        self._parent, base = os.path.split(self.name)
        self._parent = self._parent or "."
        if os.path.lexists(self.name):
            raise ExistsError(f"{path}: exists")
        _sweep(self._parent, base)
        with _failing(self.name):
            self.work, self._fd = _hidden(self._parent, base)

    def commit(self) -> None:
        """Flush the folder, and give it its name; its files were flushed before. Where the name cannot be flushed it
        has none again, or the failure says that it is there. Raises ExistsError, OutputError."""
        with _failing(self.name):
            for folder, _, _ in os.walk(self.work):
                _flush(folder)
            try:
                rename_new(self.work, self.name)
            except OSError as error:
                if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                    raise ExistsError(f"{self.name}: exists") from None
                raise
            self._settle()

    def _settle(self) -> None:
        """Flush the name that the folder has now. Raises OSError, OutputError where it is there all the same."""
        try:
            _flush(self._parent)
        except OSError as error:
            try:
                if leads_to(self.name, self._fd):
                    os.rename(self.name, self.work)
            except OSError:
                raise OutputError(unsettled(self.name, error)) from error
            raise

    def close(self) -> None:
        """Remove what was not committed."""
        if self._fd >= 0:
            shutil.rmtree(self.work, ignore_errors=True)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _hidden(parent: str, base: str) -> tuple[str, int]:
    """A new hidden folder, held. Raises OSError."""
    for path in hidden_paths(parent, base):
        os.mkdir(path, 0o700)
        with contextlib.suppress(FileNotFoundError):  # another run swept it before it was held
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                mine = _hold(fd) is not False  # else a run that sweeps was faster
                if leads_to(path, fd):
                    if mine:
                        kept, fd = fd, -1
                        return path, kept
                    os.rmdir(path)
            finally:
                if fd >= 0:
                    os.close(fd)
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), parent)


def _hold(fd: int) -> bool | None:
    """Lock an open folder; False where another holds it, None where it cannot be told (file systems of a network)."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if is_held(error) else None
    return True


def _sweep(parent: str, base: str) -> None:
    """Remove the hidden folders of a target that nobody holds. What cannot be looked at stays."""
    ours = hidden_pattern(base)
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            if not ours.fullmatch(name):
                continue
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):
                fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    if _hold(fd):
                        shutil.rmtree(path, ignore_errors=True)
                finally:
                    os.close(fd)


def _flush(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _failing(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{name}: {error.strerror or error}") from error
