"""The journal of a batch: one JSON object a line, appended and flushed when a target is whole and proved, just before
it gets its name. Whenever a batch ends, what has a name has its line.

A line is believed only while all files are as they were (which file it is, its size and times of change: of the
source, of the target, of each file that the source refers to) and the same is asked for: so not where the target
did not come to its name. Of a block device nothing tells when it was written: no line holds for one. A line that
was cut off by a crash is passed over; one that tells less of the files does not count.
"""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from imgtool.conversion.clock import output_time
from imgtool.conversion.request import Request
from imgtool.errors import InputError, OutputError
from imgtool.inspection.validate import policy_named
from imgtool.model.conversion import Conversion

if TYPE_CHECKING:
    from imgtool.conversion.api import Job

VERSION = 1

#: Formats whose files bear the time of `output_time`.
DATED = ("vhd",)


#: What each line begins with.
_MARK = b'{"imgtool":'

#: Bytes of one line: a conversion with as many findings as are kept of it.
_LINE = 64 << 20


class Read(NamedTuple):
    """What a target is made from: inode, size and times of change of the source (None: a device); path, inode, size
    and time of change of each file that was followed. No device numbers: they change when the system starts anew."""

    source: list[int] | None
    followed: list[list[str | int]]


def read_of(job: Job) -> Read:
    """What a job reads, as it is before it begins."""
    followed: list[list[str | int]] = [[one.path, one.inode, one.size, one.mtime_ns] for one in sorted(job.followed)]
    return Read(_state(job.source.fd, source=True), followed)


class Journal:
    """A journal at `path`; `resume` says whether what stands there already counts. A context.

    Raises InputError where a file is there that is no journal: it is left as it is. `write`: False to look only.
    """

    def __init__(self, path: str, *, resume: bool, write: bool = True) -> None:
        self.path = path
        self._fd = -1
        self._lock = threading.Lock()
        self._done: dict[str, dict[str, Any]] = {}
        _regular(path)
        if resume:
            self._done = {line["key"]: line for line in _lines(path)}
        if not write:
            return
        _no_other(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (0 if resume else os.O_TRUNC)
        try:
            self._fd = os.open(path, flags, 0o666)
            end = os.lseek(self._fd, 0, os.SEEK_END)
            if end and not _ends_whole(path, end):
                os.write(self._fd, b"\n")
        except OSError as error:
            raise OutputError(f"{path}: cannot write the journal: {error.strerror}") from error

    def done(self, request: Request) -> dict[str, Any] | None:
        """The conversion of an earlier run that still holds: the JSON object it gave; None where it is to be done."""
        line = self._done.get(_key(request))
        if line is None or line.get("asked") != _asked(request):
            return None
        source, target = _state(request.source, source=True), _state(request.target)
        if None in (source, target) or line.get("source") != source or line.get("target") != target:
            return None
        if not _still_followed(line.get("followed"), request):
            return None
        conversion = line.get("conversion")
        return conversion if isinstance(conversion, dict) else None

    def wrote(self, request: Request) -> bool:
        """Whether its target is what an earlier run wrote there, be the source as it was or not."""
        line, target = self._done.get(_key(request)), _state(request.target)
        return line is not None and target is not None and line.get("target") == target

    def add(self, request: Request, conversion: Conversion, fd: int, read: Read) -> None:
        """Tell that a target is whole, made from what was `read`; `fd`: what was written, which gets its name next.
        Raises OutputError."""
        import json

        line = {
            "imgtool": VERSION,
            "key": _key(request),
            "asked": _asked(request),
            "source": read.source,
            "followed": read.followed,
            "target": _state(fd),
            "conversion": conversion.to_dict(),
        }
        try:
            with self._lock:
                left = json.dumps(line).encode() + b"\n"
                while left:
                    left = left[os.write(self._fd, left) :]
                os.fsync(self._fd)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot write the journal: {error.strerror}") from error

    def close(self) -> None:
        """Release the file. Twice is fine."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _key(request: Request) -> str:
    """One source, one disk in it, one target."""
    return "\0".join((os.path.abspath(request.source), request.member or "", os.path.abspath(request.target)))


def _asked(request: Request) -> list[str]:
    """What else was asked for, as far as it changes the target, or whether there is to be one."""
    from hashlib import sha256

    options = [f"{name}={value}" for name, value in sorted(request.options.items())]
    return [
        request.to.name,
        str(request.machine),
        request.engine,
        request.verify,
        str(request.align),
        request.format or "",
        request.snapshot or "",
        f"policy={sha256(repr(policy_named(request.policy)).encode()).hexdigest()} {request.allow}",
        *_passphrase(request),
        *([f"SOURCE_DATE_EPOCH={output_time()}"] if request.to.name in DATED else []),
        *options,
    ]


def _passphrase(request: Request) -> list[str]:
    """Which file holds it; of one that cannot be looked at again something that no line has."""
    secret = request.secret_file
    if secret is None:
        return []
    return [f"secret={secret if isinstance(secret, str) else secret.mark or os.urandom(16).hex()}"]


def _still_followed(told: object, request: Request) -> bool:
    """Whether the files that were followed are as they were. A line that tells of none may be from before they were
    written down: it holds where none may be followed."""
    if told is None:
        return request.follow is False
    return isinstance(told, list) and all(_as_it_was(one) for one in told)


def _as_it_was(told: object) -> bool:
    if not isinstance(told, list) or not told or not isinstance(told[0], str):
        return False
    try:
        status = os.stat(told[0])
    except (OSError, ValueError):
        return False
    return told[1:] == [status.st_ino, status.st_size, status.st_mtime_ns]


def _state(file: str | int, *, source: bool = False) -> list[int] | None:
    """Inode, size and time of change of a regular file by its path, or of an open one; None of anything else.

    `source`: also when the inode changed, which no copying sets back. (That of a target does when it gets its name.)
    """
    try:
        status = os.stat(file)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    inode = [status.st_ctime_ns] if source else []
    return [status.st_ino, status.st_size, status.st_mtime_ns, *inode]


def _regular(path: str) -> None:
    """Raise InputError where something is there that is no file: a FIFO would be waited for."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: is no file that a journal could be; name another")


def _no_other(path: str) -> None:
    """Raise InputError where a file is there that does not begin as a journal does."""
    try:
        with open(path, "rb") as file:
            head = file.read(len(_MARK))
    except OSError:
        return
    if not _MARK.startswith(head):
        raise InputError(f"{path}: is no journal of conversions; name another file")


def _lines(path: str) -> list[dict[str, Any]]:
    """The lines of a journal that are whole. Raises InputError where it is something else."""
    import json

    found: list[dict[str, Any]] = []
    try:
        with open(path, "rb") as file:
            while text := file.readline(_LINE + 1):
                if len(text) > _LINE:
                    raise InputError(f"{path}: has a line of more than {_LINE} bytes, as no journal of conversions")
                try:
                    line = json.loads(text)
                except (ValueError, RecursionError):
                    continue
                if isinstance(line, dict) and line.get("imgtool") == VERSION and isinstance(line.get("key"), str):
                    found.append(line)
                elif text.strip():
                    raise InputError(f"{path}: is no journal of conversions; name another file")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{path}: cannot read the journal: {error.strerror}") from error
    return found


def _ends_whole(path: str, end: int) -> bool:
    with open(path, "rb") as file:
        file.seek(end - 1)
        return file.read(1) == b"\n"
