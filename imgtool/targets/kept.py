"""An output that outlives a run which fails: what was written stays beside the target, for the next run to go on.

It lies under a hidden name that the caller chooses, is held while it is written, and has the target's name only once
it is whole. What an earlier run left is never trusted: `there` reads it, for who writes to compare with.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from imgtool.errors import OutputError
from imgtool.targets.hidden import lock
from imgtool.targets.output import FileOutput, free_target, umask

_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: Bits of a mode with which others may write.
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class KeptOutput(FileOutput):
    """A new file at `path`, until its commit under the name `hidden` in the same folder.

    `found`: bytes that an earlier run left. `open_kept` opens it.
    """

    def __init__(self, path: str, hidden: str, *, force: bool = False) -> None:
        self._called = os.path.join(os.path.dirname(path) or ".", hidden)
        self.found = 0
        super().__init__(path, force=force)
        self._hidden = self._called

    def _nameless(self) -> int:
        while True:
            made = True
            try:
                fd = os.open(self._called, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                made = False
                fd = self._left()
            if fd < 0:
                continue
            try:
                if self._ours(fd, made):
                    self.found = os.fstat(fd).st_size
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _left(self) -> int:
        """What has the hidden name, open; -1 where that was a link, which no run leaves, or nothing any more."""
        try:
            return os.open(self._called, _FLAGS)
        except OSError as error:
            if error.errno == errno.ELOOP:
                os.unlink(self._called)
            elif error.errno != errno.ENOENT:
                raise
        return -1

    def _ours(self, fd: int, made: bool) -> bool:
        """True for a file that is held now, and that was made now or that nobody else can write; others lose the
        name. (Where a file system has owners and modes of its own, nothing that was left is gone on with.)"""
        status = os.fstat(fd)
        alone = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & _OTHERS
        trusted = made or alone
        if trusted and not lock(fd):
            raise OutputError(f"{self._called}: another run writes it, or its file system has no locks")
        with suppress(FileNotFoundError):
            if os.path.samestat(os.lstat(self._called), os.fstat(fd)):
                if trusted and os.fstat(fd).st_nlink == 1:
                    return True
                os.unlink(self._called)
        return False

    def there(self, offset: int, length: int) -> bytes:
        """What an earlier run left in a range; short, or empty, where it left nothing. Raises OutputError."""
        data = b""
        try:
            while len(data) < length and (more := os.pread(self.fd, length - len(data), offset + len(data))):
                data += more
        except OSError as error:
            raise OutputError(f"{self._called}: cannot read: {error.strerror}") from error
        return data

    def commit(self) -> None:
        with suppress(OSError):  # where modes cannot be changed, it stays its owner's
            os.fchmod(self.fd, 0o666 & ~umask())
        super().commit()

    def discard(self) -> None:
        """Keep nothing."""
        if self._hidden is not None:
            with suppress(OSError):
                os.unlink(self._hidden)
            self._hidden = None

    def close(self) -> None:
        self._hidden = None
        super().close()


def open_kept(path: str, hidden: str, *, force: bool = False) -> KeptOutput:
    """The output that goes on with what lies under a hidden name. Raises OutputError, also where another run writes
    it, ExistsError."""
    with suppress(OSError):  # a run may have ended between two names: then it was whole
        left = os.path.join(os.path.dirname(path) or ".", hidden)
        if os.path.samestat(os.lstat(path), os.lstat(left)):
            os.unlink(left)
    if free_target(path, force=force):
        raise OutputError(f"{path}: is a block device; only a file can be gone on with")
    return KeptOutput(path, hidden, force=force)
