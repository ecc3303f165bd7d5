"""The engine qemu-img: the one file that starts it.

- No name of the user's reaches it. Source, target and passphrase are open descriptors, which it gets as
  /proc/self/fd/N in options that name the driver: nothing can be read as a protocol, an option or a format.
- Nothing outlives us. It runs in a session of its own, so that Ctrl-C is ours to hear first; whatever ends our wait
  ends it; and a pipe that closes when we die makes the kernel kill its group (fcntl(2), F_SETSIG).
- It is bounded by address space and bytes written, never by time. What it says is kept only as far as it is told.

Reference: qemu-img(1) of QEMU 7.2; what differs from what is written there: `_BUGS`, and `IN_ORDER` of the options.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import resource
import selectors
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from imgtool.conversion.deferred import deferred
from imgtool.conversion.qemu_failures import Ended, failure
from imgtool.conversion.qemu_given import Secret, handed, image, place, secret_object, secret_of, trim
from imgtool.conversion.qemu_options import (
    IN_ORDER,
    TARGETS,
    check,
    check_device,
    encrypts,
    named,
    options_of,
    spelled,
)
from imgtool.conversion.qemu_packages import how_to_install
from imgtool.conversion.qemu_progress import Meter
from imgtool.errors import InputError, ToolError, ToolMissingError
from imgtool.ingest.pump import Progress
from imgtool.limits import DEFAULT, Limits
from imgtool.targets.options import Value

__all__ = ["TARGETS", "Tool", "check", "convert", "encrypts", "equal", "find", "options_of"]

#: The oldest version with all that is used here (target options of 5.1 and 5.2).
OLDEST = (5, 2, 0)

#: Bytes of its output that are kept while it runs.
KEPT = 16 * 1024

_GRACE = 2.0  # seconds between asking it to end and ending it
_BEAT = 0.2  # seconds after which `progress` is called though nothing went by
_AGAIN = 50  # times that a run is repeated
_MOST = (1 << 63) - 1
_VERSION = re.compile(rb"qemu-img version (\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?")


class Bug(NamedTuple):
    """What a version gets wrong at random: seen there, said so, and how it is met: by running it again."""

    seen: tuple[int, int]
    said: bytes


#: 7.2: the time of deriving a key is taken from a clock too coarse for it, on a busy machine most of all.
_BUGS = (Bug((7, 2), b"Unable to get accurate CPU usage"),)


class Tool(NamedTuple):
    """A qemu-img: its path and version."""

    path: str
    version: tuple[int, int, int]


class Bounds(NamedTuple):
    """What a run may take, in bytes."""

    memory: int
    file_size: int


# --- finding it ---------------------------------------------------------------------------------------------------


def find(limits: Limits = DEFAULT) -> Tool:
    """qemu-img as PATH has it. Raises ToolMissingError that says how to install it; ToolError for one too old."""
    found = shutil.which("qemu-img")
    if found is None:
        raise ToolMissingError(f"qemu-img is not installed: {how_to_install()}")
    path = os.path.abspath(found)
    status = os.stat(path)
    tool = Tool(path, _version(path, status.st_ino, status.st_mtime_ns, limits.tool_memory))
    if tool.version < OLDEST:
        told = ".".join(map(str, tool.version))
        raise ToolError(f"{tool.path} is version {told}; 5.2 or newer is needed: {how_to_install()}")
    return tool


@lru_cache(maxsize=4)
def _version(path: str, inode: int, mtime_ns: int, memory: int) -> tuple[int, int, int]:
    """The version of the program that lies there now."""
    ended = _run(path, ["--version"], (), Bounds(memory, KEPT))
    found = _VERSION.search(ended.stdout)
    if ended.status != 0 or found is None:
        raise ToolError(f"{path} does not say which version of qemu-img it is")
    return int(found[1]), int(found[2]), int(found[3] or 0)


# --- what it is used for ------------------------------------------------------------------------------------------


def convert(
    source_fd: int,
    source_format: str,
    target_fd: int,
    target_format: str,
    options: Mapping[str, Value],
    *,
    size: int,
    progress: Progress | None = None,
    limits: Limits = DEFAULT,
    compress: bool = False,
    secret_file: str | Secret | None = None,
    tool: Tool | None = None,
    source: str = "the source",
    target: str = "the target",
) -> None:
    """Write the disk in the open file `source_fd` to the open, empty file (or device) `target_fd`.

    `options`: of `options_of`, checked. `size`: bytes of the disk. `secret_file`: holds the passphrase of an
    encrypted target, every byte of it. `source`, `target`: what they are called in a failure.
    Raises UsageError and UnsupportedError before anything is written; ToolError, InputError, OutputError.
    """
    target_format = named(target_format)
    check(target_format, options, compress=compress, secret=secret_file is not None)
    before = os.fstat(source_fd).st_size
    on_device = stat.S_ISBLK(os.fstat(target_fd).st_mode)
    if on_device:
        check_device(target_format)
    tool = tool or find(limits)
    meter = Meter(size, progress)
    with contextlib.ExitStack() as stack:
        given = stack.enter_context(handed(source_fd))
        made = stack.enter_context(handed(target_fd))
        secret = None if secret_file is None else stack.enter_context(secret_of(secret_file, limits))
        reading, writing = image(given, source_format), place(made)
        # "unsafe" leaves flushing to whoever gives the target its name: it is nobody's before.
        arguments = ["convert", "-p", *secret_object(secret)]
        arguments += ["--image-opts", "-T", "writeback", "-t", "unsafe", "-m", "16", "-S", "4k"]
        arguments += [] if target_format in IN_ORDER else ["-W"]
        arguments += ["-c"] if compress else []
        chosen = spelled(target_format, options)
        arguments += ["-O", TARGETS[target_format], *(["-o", chosen] if chosen else []), reading, writing]
        fds = (given, made, *(() if secret is None else (secret,)))
        bounds = Bounds(limits.tool_memory, size + size // 8 + limits.tool_slack)
        ended = _run_again(tool, arguments, fds, bounds, meter)
        if ended.status != 0:
            raise failure(ended, {reading: source, writing: target}, source, target, bounds.file_size)
    if os.fstat(source_fd).st_size != before:  # beyond the end of a file it reads zeros, and says nothing
        raise InputError(f"{source}: changed its size while it was read")
    if target_format == "raw" and not on_device:
        trim(target_fd, size, target)
    meter.whole()


def equal(
    source_fd: int,
    source_format: str,
    target_fd: int,
    target_format: str,
    options: Mapping[str, Value],
    *,
    size: int,
    progress: Progress | None = None,
    limits: Limits = DEFAULT,
    secret_file: str | Secret | None = None,
    tool: Tool | None = None,
    source: str = "the source",
    target: str = "the target",
) -> bool:
    """True when the guest sees the same bytes in both; for targets that nobody reads without the passphrase.

    Arguments and failures as for `convert`. Zeros at the end of the longer one are no difference.
    """
    target_format = named(target_format)
    tool = tool or find(limits)
    meter = Meter(size, progress)
    with contextlib.ExitStack() as stack:
        given = stack.enter_context(handed(source_fd))
        made = stack.enter_context(handed(target_fd))
        secret = None if secret_file is None else stack.enter_context(secret_of(secret_file, limits))
        reading = image(given, source_format)
        other = image(made, target_format, encrypted=encrypts(target_format, options))
        arguments = ["compare", "-p", *secret_object(secret), "--image-opts", "-T", "writeback", reading, other]
        fds = (given, made, *(() if secret is None else (secret,)))
        ended = _run_again(tool, arguments, fds, Bounds(limits.tool_memory, 0), meter)
    differs = ended.status == 1 and b"mismatch" in ended.stdout
    if ended.status != 0 and not differs:
        raise failure(ended, {reading: source, other: target}, source, target)
    meter.whole()
    return not differs


# --- running it ---------------------------------------------------------------------------------------------------


def _run_again(tool: Tool, arguments: list[str], fds: tuple[int, ...], bounds: Bounds, meter: Meter | None) -> Ended:
    """A run, and again where a known bug made it fail at random."""
    ended = _run(tool.path, arguments, fds, bounds, meter)
    for _ in range(_AGAIN):
        if ended.status == 0 or not any(bug.said in ended.stderr for bug in _BUGS):
            break
        ended = _run(tool.path, arguments, fds, bounds, meter)
    return ended


def _run(path: str, arguments: list[str], fds: tuple[int, ...], bounds: Bounds, meter: Meter | None = None) -> Ended:
    """Run the program at `path` to its end. Raises ToolError where it cannot be started."""
    leash, ours = os.pipe2(os.O_CLOEXEC)
    try:
        with deferred() as heed:
            process = _started(path, arguments, (*fds, leash))
            try:
                _bind(process.pid, leash, bounds)
                heed()
                stdout, stderr = _listen(process, meter)
                return Ended(process.wait(), stdout, stderr)
            finally:
                _end(process)
    finally:
        os.close(leash)
        os.close(ours)


def _started(path: str, arguments: list[str], fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
    """The program, in a session of its own. Raises ToolError."""
    try:
        return subprocess.Popen(
            [path, *arguments],
            executable=path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=fds,
            env=_environment(),
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"{path}: cannot be run: {error.strerror or error}") from error


def _environment() -> dict[str, str]:
    """What it gets of ours: where libraries lie. Few heaps, since each takes address space that is bounded."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C", "MALLOC_ARENA_MAX": "2"}


def _bind(pid: int, leash: int, bounds: Bounds) -> None:
    """Bound what it takes, and have its group killed when the other end of the leash closes, which we hold."""
    with contextlib.suppress(ProcessLookupError):
        fcntl.fcntl(leash, fcntl.F_SETOWN, -pid)
        fcntl.fcntl(leash, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(leash, fcntl.F_SETFL, os.O_ASYNC)
        for what, wanted in (
            (resource.RLIMIT_AS, bounds.memory),
            (resource.RLIMIT_FSIZE, bounds.file_size),
            (resource.RLIMIT_CORE, 0),
        ):
            hard = resource.prlimit(pid, what)[1]
            most = min(wanted, _MOST if hard == resource.RLIM_INFINITY else hard)
            resource.prlimit(pid, what, (most, most))


def _listen(process: subprocess.Popen[bytes], meter: Meter | None) -> tuple[bytes, bytes]:
    """The last bytes of its output and of its errors, once it has closed both or ended."""
    assert process.stdout is not None
    assert process.stderr is not None
    kept = {process.stdout.fileno(): b"", process.stderr.fileno(): b""}
    takes: Mapping[int, Callable[[bytes], None]] = {process.stdout.fileno(): meter.feed} if meter is not None else {}
    with selectors.DefaultSelector() as selector:
        for fd in kept:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(_BEAT)
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fd)
                kept[key.fd] = (kept[key.fd] + data)[-KEPT:]
                if key.fd in takes:
                    takes[key.fd](data)
            if not ready:
                if meter is not None:
                    meter.beat()
                if process.poll() is not None:
                    break
    return kept[process.stdout.fileno()], kept[process.stderr.fileno()]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it where it has not ended: asked first, then not asked."""
    try:
        if process.poll() is None:
            _signal_group(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
    finally:
        with deferred():
            if process.returncode is None:
                _signal_group(process.pid, signal.SIGKILL)
                process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _signal_group(pid: int, number: int) -> None:
    """Signal the group of a process that was not waited for yet: its number is still its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
