"""On a file system that can share blocks, data comes into the store without being copied byte by byte."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgtool.catalog.images import New
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from tests.targets.kit import sharing_room, used

SIZE = 48 << 20


@pytest.fixture
def sharing(tmp_path: Path) -> Iterator[Path]:
    """A file system whose files can share blocks."""
    with sharing_room(tmp_path, 160 << 20) as room:
        yield room


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
