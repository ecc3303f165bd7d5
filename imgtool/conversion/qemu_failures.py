"""What became of a qemu-img that failed: one failure of ours, with the last lines it said."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from typing import NamedTuple

from imgtool.errors import ImgtoolError, InputError, OutputError, ToolError
from imgtool.render.escape import terminal

#: Of what it said: lines, and characters of a line, that are told.
LINES = 4
LINE = 300

_NOT_WRITTEN = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|Read-only file system|error while writing", re.I
)
_NOT_READ = re.compile(r"error while reading (?:at|block status)", re.I)
_NOISE = re.compile(r"^qemu-img: warning: ")


class Ended(NamedTuple):
    """How a program ended: its status (negative: the signal that it died of), the last bytes that it said."""

    status: int
    stdout: bytes
    stderr: bytes


def lines_of(said: bytes, names: Mapping[str, str]) -> list[str]:
    """The last lines of `said`, without warnings, safe to show; `names`: what stands for what it was given."""
    lines: list[str] = []
    for raw in re.split(r"[\r\n]+", said.decode("utf-8", "surrogateescape")):
        if not raw.strip() or _NOISE.match(raw):
            continue
        line = raw.strip().removeprefix("qemu-img: ")
        for given in sorted(names, key=len, reverse=True):
            line = line.replace(f"'{given}'", names[given]).replace(given, names[given])
        line = terminal(line)
        lines.append(line if len(line) <= LINE else f"{line[:LINE]}…")
    return lines[-LINES:]


def failure(
    ended: Ended, names: Mapping[str, str], source: str, target: str, most: int | None = None
) -> ImgtoolError:
    """The failure that `ended` means. `names` as for `lines_of`; `source` and `target` are named where it is theirs;
    `most`: bytes that it was allowed to write."""
    said = "; ".join(lines_of(ended.stderr, names))
    if ended.status < 0:
        return ToolError(_death(-ended.status, said, most))
    text = ended.stderr.decode("utf-8", "replace")
    opened = [given for given, name in names.items() if name == source]
    unopened = any(f"Could not open {quote}{given}{quote}:" in text for given in opened for quote in ("'", ""))
    if unopened or (_NOT_READ.search(text) and not _NOT_WRITTEN.search(text)):
        return InputError(f"{source}: cannot read: qemu-img: {said}")
    if _NOT_WRITTEN.search(text):
        return OutputError(f"{target}: cannot write: qemu-img: {said}")
    return ToolError(f"qemu-img: {said or 'it said nothing'} (exit status {ended.status})")


def _death(number: int, said: str, most: int | None) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    reasons: Mapping[int, str] = {
        signal.SIGXFSZ: f"it wrote more than {most} bytes",
        signal.SIGKILL: "killed from outside, or memory ran out",
        signal.SIGABRT: "it gave up, perhaps for want of memory",
    }
    why = reasons.get(number)
    return f"qemu-img died of {name}{f': {why}' if why else ''}{f'; it said: {said}' if said else ''}"
