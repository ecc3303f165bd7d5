"""Images that the native engine writes, proved with qemu-img and with ourselves."""

from __future__ import annotations

import subprocess
from pathlib import Path
from random import Random

import imgtool
from imgtool.disks.digest import block_digest
from imgtool.disks.open import open_disk
from imgtool.inspection.deep import check
from tests.kit import need, qemu_info, run

KIB = 1024
MIB = 1024 * KIB

#: What a guest may hold.
CONTENTS = ("patterned", "sparse", "empty", "zeros", "random", "text", "ends")


def source(path: Path, kind: str, size: int, seed: object = 0) -> Path:
    """A raw file of `size` bytes: `empty` is one hole, `zeros` the same written out; the same for the same seed."""
    chance = Random(repr((kind, size, seed)))
    with open(path, "wb") as file:
        if kind == "random":
            file.write(chance.randbytes(size))
        elif kind == "zeros":
            file.write(bytes(size))
        elif kind == "text":
            words = [chance.randbytes(chance.randrange(2, 9)).hex().encode() for _ in range(400)]
            text = b" ".join(chance.choice(words) for _ in range(min(size, 4 * MIB) // 3 + 1))
            file.write((text * (size // len(text) + 1))[:size])
        elif kind == "patterned":
            _pattern(path, size, chance)
        elif kind == "sparse":
            for _ in range(6):
                _at(path, chance.randrange(max(1, size)), chance.randbytes(chance.choice((1, 512, 5000))), size)
        elif kind == "ends":
            _at(path, 0, b"a", size)
            _at(path, size - 1, b"z", size)
    with open(path, "r+b") as file:
        file.truncate(size)
    return path


def _at(path: Path, offset: int, data: bytes, size: int) -> None:
    with open(path, "r+b") as file:
        file.seek(max(0, offset))
        file.write(data[: max(0, size - offset)])


def _pattern(path: Path, size: int, chance: Random) -> None:
    """Runs about the edges of sectors, pages and blocks: holes, zeros, one byte, noise."""
    at = 0
    while at < size:
        length = chance.choice((512, 4096, 64 * KIB, MIB, 2 * MIB, 512 * KIB + 512, chance.randrange(1, 3 * MIB)))
        kind = chance.choice(("hole", "hole", "zeros", "byte", "noise"))
        if kind != "hole":
            data = {"zeros": bytes(length), "byte": bytes([chance.randrange(1, 256)]) * length}.get(kind)
            _at(path, at, data if data is not None else chance.randbytes(length), size)
        at += length


def proved(raw: Path, path: Path, form: str, qemu: str, *, checked: bool = False) -> None:
    """Fail unless the image at `path` holds what the raw file does, and nothing at all is wrong with it.

    Guest bytes by `qemu-img compare`, and by digests of ours at the image's size; with `checked` by `qemu-img check`;
    then our validation and deep check, without an error or a warning.
    """
    same_content(raw, path, qemu, checked=checked)
    verdict = imgtool.validate(path, disk_format=form, deep=True)
    assert verdict.accepted
    assert not verdict.incomplete
    assert not [finding for finding in verdict.findings if finding.severity != "note"]
    result = check(path)
    assert result.clean
    assert not [finding for finding in result.findings if finding.severity != "note"]


def same_content(raw: Path, path: Path, qemu: str, *, checked: bool = False) -> None:
    """Fail unless the image holds what the raw file does, by qemu-img and by digests; `checked` as for `proved`."""
    same = run(need("qemu-img"), "compare", "-f", "raw", "-F", qemu, str(raw), str(path))
    assert b"Images are identical." in same
    if checked:
        done = subprocess.run([need("qemu-img"), "check", "-f", qemu, str(path)], capture_output=True)
        assert done.returncode == 0, done
        assert b"No errors were found" in done.stdout
    with open_disk(path) as disk:
        told, digest = disk.size, block_digest(disk)
    assert told == qemu_info(path, qemu)["virtual-size"]
    assert raw.stat().st_size <= told
    with open(raw, "r+b") as file:
        kept = raw.stat().st_size
        file.truncate(told)
    with open_disk(raw, format="raw") as disk:
        assert block_digest(disk) == digest
    with open(raw, "r+b") as file:
        file.truncate(kept)
