"""Conversions that are disturbed: started as commands, ended at chosen moments, and what is left of them."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.kit import need, run

IMGTOOL = (sys.executable, "-m", "imgtool")
MIB = 1 << 20

#: Names that a batch may leave beside its targets.
JOURNAL = ".imgtool-journal.jsonl"


class Ended(NamedTuple):
    """How a command ended: its status (negative: the signal it died of), what it said, and how long it took."""

    status: int
    errors: str
    seconds: float


def source(path: Path, size: int = 96 * MIB) -> Path:
    """A raw disk of bytes that do not compress, with a hole in the middle."""
    chance = random.Random(size)
    with open(path, "wb") as file:
        for at in range(0, size, MIB):
            if at // MIB % 7 != 3:
                file.seek(at)
                file.write(chance.randbytes(MIB))
        file.truncate(size)
    return path


def digest(path: Path) -> str:
    """The digest of a whole file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


class Moment(NamedTuple):
    """What happens to a command once its target, which has no name yet, takes so many bytes in its folder."""

    folder: Path
    written: int
    happens: Callable[[subprocess.Popen[bytes]], object]

    def wait(self, running: subprocess.Popen[bytes]) -> None:
        """Let it happen when it is time; never, where the command ends before."""
        while running.poll() is None:
            if _taken(running.pid, self.folder) >= self.written:
                self.happens(running)
                return
            time.sleep(0.001)


def _taken(pid: int, folder: Path) -> int:
    """Bytes on disk of the files of a folder that a process has open."""
    found: dict[int, int] = {}
    with suppress(OSError):  # it ends, or closes one of them
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                link = f"/proc/{pid}/fd/{fd}"
                if os.readlink(link).startswith(f"{folder}/"):
                    status = os.stat(link)
                    found[status.st_ino] = status.st_blocks * 512
    return sum(found.values())


def call(
    *arguments: str,
    cwd: Path,
    after: float | None = None,
    number: int = signal.SIGKILL,
    path: str | None = None,
    when: Moment | None = None,
) -> Ended:
    """Run the command; after that many seconds it gets the signal, if it still runs. `when`: what happens to it."""
    env = {**os.environ, **({"PATH": path} if path is not None else {})}
    begin = time.monotonic()
    running = subprocess.Popen(
        [*IMGTOOL, *arguments], cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        if when is not None:
            when.wait(running)
        _, errors = running.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        running.send_signal(number)
        _, errors = running.communicate(timeout=60)
    return Ended(running.returncode, errors.decode(errors="replace"), time.monotonic() - begin)


def names(folder: Path) -> set[str]:
    """Everything in a folder, hidden names too."""
    return set(os.listdir(folder)) if folder.exists() else set()


def orphans(marker: str) -> list[str]:
    """Processes whose command line or open files name the marker, once those that are ending have ended."""
    for _ in range(50):
        left = [
            pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid() and _holds(pid, marker)
        ]
        if not left:
            return []
        time.sleep(0.1)
    return left


def _holds(pid: str, marker: str) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if b"qemu-img" not in file.read():
                return False
        return any(marker in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def moments(target: Path, count: int) -> list[int]:
    """Bytes of a target after which a run is in its middle: from its first to its last, when it is read back."""
    whole = target.stat().st_blocks * 512
    return [1 + (whole - 1) * index // count for index in range(count)]


def same_guest(first: Path, first_format: str, second: Path, second_format: str) -> bool:
    """Whether qemu-img sees the same bytes in both."""
    run(need("qemu-img"), "compare", "-f", first_format, "-F", second_format, str(first), str(second))
    return True
