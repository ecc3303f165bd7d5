"""The promised figures of the catalog: `pytest -m bench -s tests/bench/test_catalog.py`. Needs 4 GiB of /dev/shm."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from imgtool.catalog import images
from imgtool.catalog.images import New
from imgtool.catalog.listing import Filters, Sort
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from tests.bench.kit import judge, process, ratio, seconds
from tests.bench.test_bench import IMGTOOL, peak_of
from tests.kit import need

pytestmark = pytest.mark.bench

IMAGES = 10_000
PAGE = 100


@pytest.fixture(scope="module")
def shm() -> Iterator[Path]:
    """A folder in memory, with a catalog and 1 GiB of bytes that do not compress."""
    folder = Path(tempfile.mkdtemp(prefix="imgtool-bench-", dir="/dev/shm"))
    with open(folder / "large.raw", "wb") as file:
        for _ in range(1024):
            file.write(os.urandom(1 << 20))
    Catalog.open(folder / "catalog", create=True, config=Config()).close()
    yield folder
    shutil.rmtree(folder)


def create(folder: Path, *more: str) -> list[str]:
    """The command that registers the file."""
    place = ("--catalog", str(folder / "catalog"), "--config", "/dev/null", "--progress", "none")
    return ["image", "create", "large", "--file", str(folder / "large.raw"), "--disk-format", "raw", *place, *more]


def emptied(folder: Path) -> None:
    """Remove every image, data and all: a store that grows would be what is measured."""
    with Catalog.open(folder / "catalog", config=Config(delay=0)) as catalog:
        for record in catalog.list():
            catalog.delete(record.id)


def test_create_at_the_speed_of_its_digests(shm: Path) -> None:
    """One pass (md5 and sha512, the copy into the store, detection, findings) against `md5sum` and `sha512sum` side
    by side. The promise is held by the whole command, its start-up included; the library's call is told beside it."""
    large = shm / "large.raw"
    both = process("sh", "-c", f"{need('md5sum')} {large} & {need('sha512sum')} {large} & wait")
    before = (lambda: emptied(shm)), (lambda: None)
    with Catalog.open(shm / "catalog", config=Config()) as catalog:
        warm = ratio(
            lambda: catalog.create(New("large", "ops", disk_format="raw"), large), both, pairs=7, before=before
        )
    print(f"catalog-create: {warm:.4f} by the library")
    judge("catalog-create", ratio(process(IMGTOOL, *create(shm)), both, pairs=11, before=before))
    emptied(shm)
    peak, _ = peak_of(*create(shm))
    print(f"catalog-create: {peak >> 20} MiB")
    assert peak < 200 << 20


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of 10,000 images of ten owners, with tags and properties."""
    folder = tmp_path_factory.mktemp("many")
    with Catalog.open(folder, create=True, config=Config()) as catalog, catalog.database.write() as connection:
        for number in range(IMAGES):
            new = New(
                f"image-{number * 7919 % IMAGES:05}",
                f"owner-{number % 10}",
                visibility="public" if number % 3 else "private",
                disk_format=("qcow2", "raw", "vmdk")[number % 3],
                tags=(f"tag-{number % 50}", "all"),
                properties={"os_distro": ("debian", "fedora")[number % 2], "build": str(number)},
            )
            images.create(connection, new, "bench")
    return folder


def test_a_page_of_ten_thousand(many: Path) -> None:
    """A filtered and sorted page of 100 takes less than 50 ms in a warm process, at the end of the list, too."""
    filters = (
        Filters(),
        Filters(disk_format="qcow2", tags=("all",)),
        Filters(owner="owner-3", properties=(("os_distro", "fedora"),)),
        Filters(visibility="public", tags=("tag-7",)),
    )
    with Catalog.open(many, identity="ann:owner-3:member", config=Config()) as catalog:
        for asked in filters:
            for key in (Sort("created_at", True), Sort("name", False), Sort("size", True)):
                found = catalog.list(asked, (key,), limit=PAGE)
                assert len(found) == PAGE or len(found) == len(catalog.list(asked, (key,)))
                marker = found[-1].id
                for begin in (None, marker):
                    page = partial(catalog.list, asked, (key,), limit=PAGE, marker=begin)
                    spent = statistics.median(seconds(page) for _ in range(9))
                    print(f"catalog-page: {spent * 1000:.1f} ms by {key.key}, {asked}")
                    assert spent < 0.05


def test_cold_list(many: Path) -> None:
    """The whole command against a Python that only imports the two libraries it stands on."""
    ours = process(IMGTOOL, "image", "list", "--limit", "100", "--catalog", str(many), "--config", "/dev/null")
    theirs = process(sys.executable, "-c", "import typer, sqlalchemy")
    judge("catalog-cold-list", ratio(ours, theirs, pairs=21))
