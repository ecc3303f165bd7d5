"""The figures that are promised, as ratios in one run: `pytest -m bench -s tests/bench` (needs the extra "bench")."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import imgtool
from tests.bench.kit import ENV, judge, process, ratio
from tests.kit import need, qemu_create

pytestmark = pytest.mark.bench

IMGTOOL = str(Path(sys.executable).parent / "imgtool")


@pytest.fixture(scope="module")
def qcow2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty qcow2 of 1 GiB."""
    return qemu_create(tmp_path_factory.mktemp("bench") / "x.qcow2", "qcow2", "1G")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """1 GiB of bytes that do not compress, in the page cache."""
    path = tmp_path_factory.mktemp("bench") / "large.raw"
    block = os.urandom(1 << 20)
    with open(path, "wb") as file:
        for _ in range(1024):
            file.write(block)
    yield path
    path.unlink()


def test_header_only_against_oslo(qcow2: Path) -> None:
    """A header-only inspect in a warm process against oslo.utils' detection of the same file."""
    from oslo_utils.imageutils import format_inspector

    path = str(qcow2)
    judge(
        "inspect-vs-oslo",
        ratio(
            lambda: imgtool.inspect(path, checksums=(), depth=0),
            lambda: format_inspector.detect_file_format(path),
            pairs=21,
            repeat=(20, 20),
        ),
    )


def test_header_only_against_qemu_img(qcow2: Path) -> None:
    """The same against one process of `qemu-img info`."""
    path = str(qcow2)
    theirs = process(need("qemu-img"), "info", path)
    judge(
        "inspect-vs-qemu-img",
        ratio(lambda: imgtool.inspect(path, checksums=(), depth=0), theirs, pairs=21, repeat=(20, 1)),
    )


def test_cold_command(qcow2: Path) -> None:
    """The whole command against a Python that only imports the two libraries it stands on."""
    ours = process(IMGTOOL, "inspect", "--no-checksum", str(qcow2))
    theirs = process(sys.executable, "-c", "import typer, construct")
    judge("cold-command", ratio(ours, theirs, pairs=21))


def test_three_digests_in_one_pass(large: Path) -> None:
    """md5, sha256 and sha512 together against the slowest of the three alone."""
    names = ("md5", "sha256", "sha512")
    alone = {name: min(_timed(large, (name,)) for _ in range(3)) for name in names}
    slowest = max(alone, key=alone.__getitem__)
    judge(
        "three-digests",
        ratio(lambda: imgtool.checksum(large, names), lambda: imgtool.checksum(large, (slowest,)), pairs=5),
    )


def _timed(path: Path, names: tuple[str, ...]) -> float:
    begin = time.perf_counter()
    imgtool.checksum(path, names)
    return time.perf_counter() - begin


def test_sha256_against_openssl(large: Path) -> None:
    """sha256 alone against `openssl dgst -sha256`."""
    theirs = process(need("openssl"), "dgst", "-sha256", str(large))
    judge("sha256-vs-openssl", ratio(lambda: imgtool.checksum(large, ("sha256",)), theirs, pairs=7))


_LAUNCHER = """
import os, resource, subprocess, sys, threading
running = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL)
if float(sys.argv[1]):
    threading.Timer(float(sys.argv[1]), running.terminate).start()
running.wait()
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_maxrss * 1024, usage.ru_inblock)
"""


def peak_of(*arguments: str, seconds: float = 0) -> tuple[int, int]:
    """Peak memory in bytes of the command, and blocks it read from disk; stopped after `seconds`, if any.

    A small launcher starts it: a child's peak includes what its parent had when it forked.
    """
    command = [sys.executable, "-c", _LAUNCHER, str(seconds), IMGTOOL, *arguments]
    done = subprocess.run(command, env=ENV, check=True, capture_output=True)
    peak, blocks = map(int, done.stdout.split())
    return peak, blocks


def test_a_sparse_tebibyte(tmp_path: Path) -> None:
    """Headers of a 1 TiB hole, and ten seconds of its digest: under 150 MiB, and nothing is read from disk."""
    path = tmp_path / "sparse.raw"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    headers, _ = peak_of("inspect", "--no-checksum", str(path))
    digest, blocks = peak_of("inspect", str(path), seconds=10)
    print(f"sparse-tebibyte: {headers >> 20} MiB, {digest >> 20} MiB with a digest, {blocks} blocks read")
    assert max(headers, digest) < 150 << 20
    assert blocks < 1000


def test_holes_are_not_read(tmp_path: Path) -> None:
    """The digest of a file that is one hole reads a few KiB only (what the process asked the system for)."""
    path = tmp_path / "sparse.raw"
    with open(path, "wb") as file:
        file.truncate(2 << 30)
    script = (
        "import sys, imgtool; "
        "count = lambda: int(open('/proc/self/io').read().split()[1]); "
        "imgtool.checksum; imgtool.inspect(sys.argv[1], checksums=('md5',)); "
        "before = count(); imgtool.inspect(sys.argv[1], checksums=('md5',)); print(count() - before)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, check=True)
    assert int(done.stdout) < 1 << 20


def test_ten_thousand_images(tmp_path: Path) -> None:
    """10,000 small images in one command: under 150 MiB, and at most 4 MiB over what 1,000 take."""
    plain = qemu_create(tmp_path / "x.qcow2", "qcow2", "1M", "cluster_size=512").read_bytes()
    for number in range(10_000):
        folder = tmp_path / ("few" if number < 1000 else "more")
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.qcow2").write_bytes(plain)
    few, _ = peak_of("inspect", "--no-checksum", "--recursive", str(tmp_path / "few"))
    many, _ = peak_of("inspect", "--no-checksum", "--recursive", str(tmp_path))
    print(f"ten-thousand: {many >> 20} MiB")
    assert many < 150 << 20
    assert many - few < 4 << 20
