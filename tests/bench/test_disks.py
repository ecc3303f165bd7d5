"""The promised figures of reading disks: `pytest -m bench -s tests/bench/test_disks.py`. Needs 4 GiB of /dev/shm."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgtool.disks.compare import compare_disks
from imgtool.disks.digest import block_digest
from imgtool.disks.open import open_disk
from imgtool.disks.stream import chunks
from tests.bench.kit import judge, process, ratio
from tests.bench.test_bench import peak_of
from tests.kit import need, qemu_create, run

pytestmark = pytest.mark.bench

SIZE = 1 << 30


@pytest.fixture(scope="module")
def shm() -> Iterator[Path]:
    """A folder in memory."""
    folder = Path(tempfile.mkdtemp(prefix="imgtool-bench-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def raw(shm: Path) -> Path:
    """1 GiB: 700 MiB of a real system's files one after the other, and holes between them."""
    path = shm / "disk.raw"
    with open(path, "wb") as disk:
        for found in sorted(Path("/usr").rglob("*")):
            if disk.tell() > 700 << 20:
                break
            if found.is_file() and not found.is_symlink():
                with open(found, "rb") as file:
                    shutil.copyfileobj(file, disk, 1 << 20)
                disk.seek(-disk.tell() % 4096, os.SEEK_CUR)
        disk.truncate(SIZE)
    return path


def converted(raw: Path, name: str, form: str, *options: str) -> Path:
    """The same disk in another format, made by qemu-img."""
    path = raw.with_name(name)
    run(need("qemu-img"), "convert", "-f", "raw", "-O", form, *options, str(raw), str(path))
    return path


def read_all(path: Path) -> None:
    """Every guest byte, in order."""
    with open_disk(path) as disk:
        total = sum(run.length for run, _ in chunks(disk))
        assert total == disk.size


def judged(name: str, path: Path, form: str, *options: str) -> None:
    """Reading all guest bytes against `qemu-img convert -O raw` to a file in memory."""
    target = path.with_name("target.raw")
    theirs = process(need("qemu-img"), "convert", *options, "-f", form, "-O", "raw", str(path), str(target))
    try:
        judge(name, ratio(lambda: read_all(path), theirs, pairs=5))
    finally:
        target.unlink(missing_ok=True)
        path.unlink()


def test_plain_qcow2(raw: Path) -> None:
    """A plain qcow2."""
    judged("read-qcow2-plain", converted(raw, "plain.qcow2", "qcow2"), "qcow2")


def test_compressed_qcow2(raw: Path) -> None:
    """A zlib-compressed qcow2 against the tuned qemu-img."""
    judged(
        "read-qcow2-zlib", converted(raw, "zlib.qcow2", "qcow2", "-c", "-m", "16", "-W"), "qcow2", "-m", "16", "-W"
    )


def test_stream_optimized(raw: Path) -> None:
    """A streamOptimized vmdk against the tuned qemu-img."""
    path = converted(raw, "stream.vmdk", "vmdk", "-o", "subformat=streamOptimized")
    judged("read-vmdk-stream", path, "vmdk", "-m", "16", "-W")


def test_compare(raw: Path) -> None:
    """raw against qcow2, against `qemu-img compare`."""
    path = converted(raw, "same.qcow2", "qcow2")
    theirs = process(need("qemu-img"), "compare", "-f", "raw", "-F", "qcow2", str(raw), str(path))

    def ours() -> None:
        with open_disk(raw, format="raw") as one, open_disk(path) as two:
            assert compare_disks(one, two).identical

    judge("compare", ratio(ours, theirs, pairs=5))
    path.unlink()


def test_block_digest_of_nothing(tmp_path: Path) -> None:
    """4 TiB without data: under a second."""
    path = qemu_create(tmp_path / "empty.qcow2", "qcow2", "4T")
    begin = time.perf_counter()
    with open_disk(path) as disk:
        block_digest(disk)
    taken = time.perf_counter() - begin
    print(f"block-digest-4T: {taken:.3f} s")
    assert taken < 1


def test_maps_of_large_disks(shm: Path) -> None:
    """1 TiB of empty qcow2, 64 TiB of sparse raw, 2 TiB of vhdx: each under a second and 200 MiB, as a command."""
    sparse = shm / "sparse.raw"
    with open(sparse, "wb") as file:
        file.truncate(64 << 40)
        file.seek(40 << 40)
        file.write(b"x")
    empty = qemu_create(shm / "empty.qcow2", "qcow2", "1T")
    vhdx = qemu_create(shm / "large.vhdx", "vhdx", "2T")
    for path, arguments in ((empty, ()), (sparse, ("--format", "raw")), (vhdx, ())):
        for shown in ((), ("--json",)):
            begin = time.perf_counter()
            peak, _ = peak_of("map", *shown, *arguments, str(path))
            taken = time.perf_counter() - begin
            print(f"map {path.name} {' '.join(shown)}: {taken:.3f} s, {peak >> 20} MiB")
            assert taken < 1
            assert peak < 200 << 20
