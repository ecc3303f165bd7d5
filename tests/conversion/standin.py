"""A program in qemu-img's place that writes down how it was started, and then does what a test wants."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from imgtool.conversion import qemu_img
from imgtool.conversion.qemu_img import Tool
from imgtool.targets.options import Value, checked

#: Names that mean something to QEMU, to a shell, or to nobody.
HOSTILE = (
    b'json:{"driver":"nbd","host":"example.org"}',
    b"nbd:example.org:10809",
    b"nbd+unix:",
    b"-option",
    b"--image-opts",
    b"driver=qcow2,file.filename=disk.raw",
    b"a,backing.file.filename=b",
    b"two\nlines\r",
    b"fd:0",
    b"/proc/self/fd/0".replace(b"/", b":"),
    b"not utf-8 \xff\xfe.raw",
    "\u202egnp.\x1b[31m".encode(),
    b"$(touch pwned);`touch pwned`%s",
)

_SCRIPT = """#!{python} -I
import json, os, resource, signal, sys, time
fds = {{}}
for name in os.listdir("/proc/self/fd"):
    try:
        fds[name] = [os.readlink("/proc/self/fd/" + name), os.fstat(int(name)).st_ino]
    except OSError:
        pass
until = time.monotonic() + 30
while resource.getrlimit(resource.RLIMIT_CORE) != (0, 0) and time.monotonic() < until:
    time.sleep(0.001)
record = {{
    "argv": sys.argv[1:],
    "env": dict(os.environ),
    "cwd": os.getcwd(),
    "fds": fds,
    "pid": os.getpid(),
    "session": os.getsid(0),
    "memory": resource.getrlimit(resource.RLIMIT_AS),
    "file_size": resource.getrlimit(resource.RLIMIT_FSIZE),
}}
with open({record!r} + ".part", "w") as file:
    json.dump(record, file)
os.rename({record!r} + ".part", {record!r})
with open({runs!r}, "a") as file:
    file.write("x")
{body}
"""


class StandIn(NamedTuple):
    """The program, where it writes what it saw, and where it counts its runs."""

    tool: Tool
    record: Path
    runs: Path

    def seen(self) -> dict[str, Any]:
        """How it was started last."""
        told: dict[str, Any] = json.loads(self.record.read_text())
        return told

    def started(self) -> int:
        """How often it was started."""
        return len(self.runs.read_text()) if self.runs.exists() else 0


def stand_in(folder: Path, body: str = "") -> StandIn:
    """A stand-in called qemu-img in a new folder `bin`."""
    place = folder / "bin"
    place.mkdir(exist_ok=True)
    path, record, runs = place / "qemu-img", place / "record.json", place / "runs"
    path.write_text(_SCRIPT.format(python=sys.executable, record=str(record), runs=str(runs), body=body))
    path.chmod(0o755)
    return StandIn(Tool(str(path), (7, 2, 0)), record, runs)


def values(target: str, **given: str) -> dict[str, Value]:
    """Checked creation options; `__` in a name is a dot and `_` stays."""
    named = {name.replace("__", "."): value for name, value in given.items()}
    return checked(qemu_img.options_of(target), named, target)


@contextmanager
def opened(path: Path | bytes, flags: int = os.O_RDONLY) -> Iterator[int]:
    """A descriptor of a file."""
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def nameless(folder: Path) -> Iterator[int]:
    """A new file without a name, as targets are."""
    with opened(folder, os.O_TMPFILE | os.O_RDWR) as fd:
        yield fd


def engine(raw: Path, folder: Path, form: str = "qcow2", **words: Any) -> bytes:
    """What the engine writes of a raw disk; `words` for `convert`."""
    words.setdefault("options", values(form))
    with opened(raw) as source, nameless(folder) as made:
        qemu_img.convert(source, "raw", made, form, size=raw.stat().st_size, **words)
        return os.pread(made, os.fstat(made).st_size, 0)


def gone(pid: int, seconds: float = 20) -> bool:
    """True when a process is no more (or was not waited for by its new parent), within that time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


#: Children that were there before a test began (a server of other tests): none of its business.
before: set[int] = set()


def children() -> set[int]:
    """The processes that are ours since the test began, zombies too."""
    return _all_children() - before


def note_children() -> None:
    """A test begins."""
    before.clear()
    before.update(_all_children())


def _all_children() -> set[int]:
    found: set[int] = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parent = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == os.getpid():
                found.add(int(name))
    return found
