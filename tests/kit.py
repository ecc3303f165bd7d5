"""What the tests share: fixtures by name, patched copies, reports of bytes, the oracle's programs."""

from __future__ import annotations

import functools
import gzip
import io
import json
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import imgtool
from imgtool.inspection.deep import check
from imgtool.model.tables import Check

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "fixtures"


class Patch(NamedTuple):
    """A change to a fixture: `edits` of (offset, bytes), negative offsets from the end; a cut; a tail.

    `deep`: its codes are those of the deep check, which reads all tables.
    """

    name: str
    base: str
    edits: tuple[tuple[int, bytes], ...]
    truncate: int | None
    append: bytes
    raises: tuple[str, ...]
    deep: bool = False


@functools.cache
def manifest() -> dict[str, Any]:
    """fixtures/MANIFEST.toml."""
    with open(FIXTURES / "MANIFEST.toml", "rb") as file:
        return tomllib.load(file)


def images() -> list[str]:
    """The names of all fixtures, as the manifest has them."""
    return [image["file"] for image in manifest().get("image", [])]


def patches() -> list[Patch]:
    """All patched samples of the manifest."""
    return [
        Patch(
            entry["name"],
            entry["base"],
            tuple((edit["at"], bytes.fromhex(edit["hex"])) for edit in entry.get("edits", [])),
            entry.get("truncate"),
            bytes.fromhex(entry.get("append", "")),
            tuple(entry["raises"]),
            entry.get("deep", False),
        )
        for entry in manifest().get("patch", [])
    ]


@functools.cache
def fixture(name: str) -> bytes:
    """The bytes of a fixture, `.gz` expanded (a fixture that is itself a wrapper is named without it)."""
    data = (FIXTURES / name).read_bytes()
    entry = next(image for image in manifest()["image"] if image["file"] == name)
    return gzip.decompress(data) if name.endswith(".gz") and entry.get("expand", True) else data


def patched(patch: Patch) -> bytes:
    """The bytes of a patched sample."""
    data = bytearray(fixture(patch.base))
    for at, raw in patch.edits:
        start = at if at >= 0 else len(data) + at
        data[start : start + len(raw)] = raw
    if patch.truncate is not None:
        del data[patch.truncate :]
    return bytes(data) + patch.append


def report_of(data: bytes, **options: Any) -> imgtool.Report:
    """The report of bytes, headers only unless `checksums` says more."""
    options.setdefault("checksums", ())
    return imgtool.inspect(io.BytesIO(data), **options)


def check_of(data: bytes) -> Check:
    """The deep check of bytes, in which no guard caught anything."""
    result = check(io.BytesIO(data))
    bugs = [finding for finding in result.findings if finding.code.startswith("IMG9")]
    assert not bugs, bugs
    return result


def deep_codes(data: bytes) -> set[str]:
    """The codes of a deep check, members included."""
    return {finding.code for finding in check_of(data).findings}


def codes(report: imgtool.Report) -> set[str]:
    """The codes of a report's findings, members included."""
    found = {finding.code for finding in report.findings}
    for member in report.members:
        found |= codes(member)
    return found


def faults(report: imgtool.Report) -> set[str]:
    """The codes of errors and warnings, members included."""
    found = {finding.code for finding in report.findings if finding.severity != "note"}
    for member in report.members:
        found |= faults(member)
    return found


def no_bug(report: imgtool.Report) -> None:
    """Fail when a guard caught something."""
    bugs = [finding for finding in report.findings if finding.code.startswith("IMG9")]
    assert not bugs, bugs
    for member in report.members:
        no_bug(member)


def run(*command: str, stdin: bytes | None = None) -> bytes:
    """The standard output of a program that must succeed."""
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr.decode(errors='replace')}"
    return done.stdout


def need(program: str) -> str:
    """The path of a program the tests need; missing ones fail, they are not skipped."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    assert path, f"{program} is missing: install the packages of tests/debian-packages.txt"
    return path


def deriving(*command: str) -> subprocess.CompletedProcess[bytes]:
    """A qemu-img that derives a key. Its timing of the derivation fails at random on a busy machine: then again."""
    for _ in range(50):
        done = subprocess.run(command, capture_output=True, check=False)
        if b"accurate CPU usage" not in done.stderr:
            break
    return done


def qemu_create(path: Path, form: str, size: int | str | None, *options: str, extra: tuple[str, ...] = ()) -> Path:
    """An image made by qemu-img create; `options` as for -o, `extra` further arguments."""
    chosen = ("-o", ",".join(options)) if options else ()
    sizes = (str(size),) if size is not None else ()
    command = (need("qemu-img"), "create", "-q", "-f", form, *chosen, *extra, str(path), *sizes)
    for _ in range(20):  # 7.2 takes the time of deriving a key from too coarse a clock, and gives up at random
        done = subprocess.run(command, capture_output=True, check=False)
        if b"accurate CPU usage" not in done.stderr:
            break
    assert done.returncode == 0, f"{command}: {done.stderr.decode(errors='replace')}"
    return path


def qemu_info(path: Path, form: str) -> dict[str, Any]:
    """`qemu-img info -f FORM --output=json`, without following backing files."""
    told: dict[str, Any] = json.loads(run(need("qemu-img"), "info", "-f", form, "--output=json", "-U", str(path)))
    return told
