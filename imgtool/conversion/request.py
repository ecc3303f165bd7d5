"""What was asked for: one conversion, in the words of the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from imgtool.detect.registry import Entry
from imgtool.disks.recognise import entry_named
from imgtool.errors import UsageError

if TYPE_CHECKING:
    from imgtool.conversion.qemu_given import Secret

Engine = Literal["native", "qemu-img"]

ENGINES = ("auto", "native", "qemu-img")
VERIFY = ("content", "none")

_CODE = re.compile(r"[A-Z]{3}\d{3}")


class Request(NamedTuple):
    """One conversion. `source` and `target` are paths; `target` is empty where only a measure is wanted.

    `to`: the registry entry of the target; `machine`: as a machine image (ami), which is the root file system raw.
    `options`: creation options as they were typed. `align`: bytes; the disk's size is rounded up to a multiple (0:
    not). `format`, `snapshot`, `member`, `follow`: of the source, as for `open_disk`. `allow`: codes of findings of
    the source (and the target) that do not stop it; None: all of them. `secret_file`: the passphrase of an encrypted
    target, or the file that holds it.
    """

    source: str
    target: str
    to: Entry
    machine: bool = False
    options: Mapping[str, str] = {}
    engine: str = "auto"
    verify: str = "content"
    align: int = 0
    force: bool = False
    format: str | None = None
    snapshot: str | None = None
    member: str | None = None
    follow: bool | str | os.PathLike[str] = False
    device: bool = False
    policy: str | os.PathLike[str] = "default"
    allow: tuple[str, ...] | None = ()
    secret_file: str | Secret | None = None
    threads: int | None = None


def target_named(to: str) -> tuple[Entry, bool]:
    """The target that a name means, and whether it is a machine image. Raises UsageError, which lists them."""
    if to.strip().lower() == "ami":
        return entry_named("raw"), True
    try:
        entry = entry_named(to)
    except UsageError:
        raise UsageError(f"no such format: {to!r} (one of {', '.join(target_names())})") from None
    if entry.writer is None and entry.name not in target_names():
        raise UsageError(f"{entry.name} is a format that is read, not written; one of {', '.join(target_names())} is")
    return entry, False


def target_names() -> tuple[str, ...]:
    """The formats that are written, by either engine, and the machine image."""
    from imgtool.conversion.qemu_options import TARGETS

    return (*TARGETS, "ami")


def with_compression(
    options: Mapping[str, str], entry: Entry, compress: str | None, level: int | None
) -> dict[str, str]:
    """Creation options with what `--compress` and `--level` mean for the target. Raises UsageError, also where the
    options say something else."""
    chosen = dict(options)
    if compress is not None:
        if entry.name == "vmdk":
            raise UsageError("a compressed vmdk is the subformat streamOptimized: --option subformat=streamOptimized")
        if entry.name != "qcow2":
            raise UsageError(f"{entry.name} cannot be compressed; qcow2 can (and vmdk as streamOptimized)")
        _add(chosen, "compress", compress)
    if level is not None:
        _add(chosen, "level", str(level))
    return chosen


def _add(options: dict[str, str], name: str, value: str) -> None:
    """Raises UsageError where another value is there."""
    if options.setdefault(name, value) != value:
        raise UsageError(f"{name} is given as {options[name]!r} and as {value!r}")


def allowed_codes(given: str) -> tuple[str, ...] | None:
    """What `--if-unsafe` says: "reject" (), "allow" None, "allow:CODE,CODE" or bare codes. Raises UsageError."""
    text = given.strip()
    if text == "reject":
        return ()
    if text == "allow":
        return None
    codes = tuple(code.strip().upper() for code in text.removeprefix("allow:").split(",") if code.strip())
    wrong = [code for code in codes if not _CODE.fullmatch(code)]
    if wrong or not codes:
        raise UsageError(f"--if-unsafe is reject, allow, or codes (QCW101,VMD003), not {given!r}")
    return codes


def one_of(what: str, given: str, choices: Iterable[str]) -> str:
    """`given`, which must be one of the choices. Raises UsageError."""
    if given not in choices:
        raise UsageError(f"{what} is one of {', '.join(choices)}, not {given!r}")
    return given
