"""On a file system that can share blocks, data comes into the store without being copied byte by byte."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgtool.catalog.images import New
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from tests.kit import need, run
from tests.targets.kit import as_root

SIZE = 48 << 20


@pytest.fixture
def sharing(tmp_path: Path) -> Iterator[Path]:
    """A small btrfs."""
    disk, room = tmp_path / "btrfs.img", tmp_path / "room"
    with open(disk, "wb") as file:
        file.truncate(160 << 20)
    run(need("mkfs.btrfs"), "-q", "-d", "single", "-m", "single", str(disk))
    room.mkdir()
    subprocess.run(as_root("mount", "-o", "loop", str(disk), str(room)), check=True)
    subprocess.run(as_root("chmod", "777", str(room)), check=True)
    yield room
    subprocess.run(as_root("umount", str(room)), check=True)


def used(room: Path) -> int:
    """Bytes of the file system that are taken, once all is written."""
    os.sync()
    told = os.statvfs(room)
    return (told.f_blocks - told.f_bfree) * told.f_frsize


def test_blocks_are_shared(sharing: Path) -> None:
    """An image comes in and takes no room of its own; its bytes are its own, though: writing the file that was given
    changes nothing of them."""
    given = sharing / "given.raw"
    given.write_bytes(os.urandom(SIZE))
    with Catalog.open(identity="root:ops:admin", create=True, config=Config(location=str(sharing / "c"))) as catalog:
        before = used(sharing)
        record = catalog.create(New("web", "ops", disk_format="raw"), given)
        assert used(sharing) - before < SIZE // 8
        with open(given, "r+b") as file:
            file.write(b"changed")
        assert catalog.verify(record.id)
        kept = sharing / "other.raw"
        kept.write_bytes(os.urandom(SIZE))
        assert used(sharing) - before > SIZE  # what is not shared is seen by this measure
