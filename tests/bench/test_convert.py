"""The promised figures of conversion: `pytest -m bench -s tests/bench/test_convert.py`. Needs 8 GiB of /dev/shm.

Both programs run as whole commands and write a new file in memory: an older one is removed before each run, as one
of them would write into its memory and the other beside it. The peer neither compares nor flushes, so ours runs with
`--verify none` for the floors; what proving costs is printed beside it.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.bench.kit import judge, process, ratio, seconds
from tests.bench.test_bench import IMGTOOL, peak_of
from tests.kit import need, qemu_create, run

pytestmark = pytest.mark.bench

SIZE = 4 << 30
FILES = 1400 << 20

TUNED = ("-m", "16", "-W")


@pytest.fixture(scope="module")
def shm() -> Iterator[Path]:
    """A folder in memory."""
    folder = Path(tempfile.mkdtemp(prefix="imgtool-bench-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def system(shm: Path) -> Path:
    """A disk of 4 GiB with an ext4 that holds about 1.4 GiB of this system's files."""
    path = shm / "system.raw"
    with tempfile.TemporaryDirectory() as folder:
        _sample(Path("/usr"), Path(folder))
        with open(path, "wb") as disk:
            disk.truncate(SIZE)
        run(need("mkfs.ext4"), "-q", "-F", "-d", folder, str(path))
    return path


def _sample(source: Path, folder: Path) -> None:
    """Links to (else copies of) files of a system, as many as fit."""
    taken = 0
    for found in sorted(source.rglob("*")):
        if found.is_symlink() or not found.is_file():
            continue
        taken += found.stat().st_size
        if taken > FILES:
            break
        place = folder / found.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(found, place)
        except OSError:
            shutil.copyfile(found, place)


def ours(source: Path, target: Path, *options: str) -> Callable[[], object]:
    """Our command, doing what the peer does."""
    return process(IMGTOOL, "convert", str(source), "-o", str(target), "--progress", "none", *options)


def _gone(*targets: Path) -> None:
    """Remove what an earlier run left."""
    for target in targets:
        target.unlink(missing_ok=True)


def theirs(source: Path, source_format: str, target: Path, *options: str) -> Callable[[], object]:
    """The peer's command."""
    return process(need("qemu-img"), "convert", "-f", source_format, *options, str(source), str(target))


def measure(
    name: str,
    source: tuple[Path, str],
    options: tuple[str, ...],
    peer: tuple[str, ...],
    *,
    pairs: int = 3,
) -> tuple[int, int]:
    """Judge one pair of commands; sizes of both targets in bytes."""
    path, form = source
    mine, other = path.with_name("ours.out"), path.with_name("theirs.out")
    them = theirs(path, form, other, *peer)
    before = partial(_gone, mine), partial(_gone, other)
    proved = ratio(ours(path, mine, *options), them, pairs=1, before=before)
    print(f"{name}: {proved:.4f} with the content compared")
    judge(name, ratio(ours(path, mine, *options, "--verify", "none"), them, pairs=pairs, before=before))
    sizes = mine.stat().st_size, other.stat().st_size
    _gone(mine, other)
    return sizes


def test_raw_to_qcow2_zlib_as_typed(system: Path) -> None:
    """Against `qemu-img convert -c`, as people type it; our file is not larger."""
    to = ("--to", "qcow2", "--compress", "zlib")
    mine, other = measure("convert-zlib-typed", (system, "raw"), to, ("-c", "-O", "qcow2"), pairs=1)
    assert mine <= other


def test_raw_to_qcow2_zlib_tuned(system: Path) -> None:
    """Against all that qemu-img has for speed."""
    to = ("--to", "qcow2", "--compress", "zlib")
    mine, other = measure("convert-zlib-tuned", (system, "raw"), to, ("-c", *TUNED, "-O", "qcow2"))
    assert mine <= other


def test_raw_to_qcow2_zstd(system: Path) -> None:
    """zstd against zstd, at no larger size."""
    peer = ("-c", *TUNED, "-O", "qcow2", "-o", "compression_type=zstd")
    mine, other = measure("convert-zstd", (system, "raw"), ("--to", "qcow2", "--compress", "zstd"), peer)
    assert mine <= other


def test_qcow2_zlib_to_raw(system: Path) -> None:
    """Inflating."""
    packed = system.with_name("packed.qcow2")
    run(need("qemu-img"), "convert", "-c", *TUNED, "-f", "raw", "-O", "qcow2", str(system), str(packed))
    measure("convert-inflate", (packed, "qcow2"), ("--to", "raw"), (*TUNED, "-O", "raw"))
    packed.unlink()


def test_plain_both_ways(system: Path) -> None:
    """Plain qcow2 from raw and to raw, our start-up aside, which is less than half a second: what the same command
    takes, just before, for a disk of the same format with nothing in it.

    Both programs wait for nothing but memory here, and what a host does only ever adds to that (the same writes took
    0.5 s to 3.5 s within a minute): the fastest of many runs of each in turn are compared. The medians are printed.
    """
    plain = system.with_name("plain.qcow2")
    run(need("qemu-img"), "convert", *TUNED, "-f", "raw", "-O", "qcow2", str(system), str(plain))
    for name, source, form, to in (
        ("convert-to-plain", system, "raw", "qcow2"),
        ("convert-from-plain", plain, "qcow2", "raw"),
    ):
        mine, other = system.with_name("ours.out"), system.with_name("theirs.out")
        nothing, small = qemu_create(system.with_name("nothing"), form, "1M"), system.with_name("small.out")
        starts, compared, spent, peer = [], [], [], []
        for verify in ("content", *("none",) * 20):
            _gone(small)
            starts.append(seconds(ours(nothing, small, "--to", to, "--verify", "none")))
            _gone(mine)  # just before, as the peer's: memory that was given back costs the host to bring anew
            (compared if verify == "content" else spent).append(
                seconds(ours(source, mine, "--to", to, "--verify", verify))
            )
            _gone(other)
            peer.append(seconds(theirs(source, form, other, *TUNED, "-O", to)))
        assert statistics.median(starts) < 0.5
        print(f"{name}: {compared[0] / peer[0]:.4f} with the content compared, start-up included")
        for say, of in (("medians", statistics.median), ("fastest", min)):
            print(f"{name}: {of(spent) / of(peer):.4f} with the start-up of {of(starts):.2f} s, {say} of 20")
        start, median = statistics.median(starts), statistics.median(spent)
        print(f"{name}: {(median - start) / statistics.median(peer):.4f} without it, medians")
        judge(name, (min(spent) - min(starts)) / min(peer))
        _gone(mine, other, small)
    plain.unlink()


def test_raw_to_stream_optimized(system: Path) -> None:
    """Against qemu-img's streamOptimized."""
    to = ("--to", "vmdk", "--option", "subformat=streamOptimized")
    mine, other = measure(
        "convert-stream", (system, "raw"), to, ("-O", "vmdk", "-o", "subformat=streamOptimized"), pairs=1
    )
    assert mine <= other


def test_raw_to_vhd_and_vdi(system: Path) -> None:
    """Dynamic disks."""
    measure("convert-vhd", (system, "raw"), ("--to", "vhd"), (*TUNED, "-O", "vpc"), pairs=5)
    measure("convert-vdi", (system, "raw"), ("--to", "vdi"), (*TUNED, "-O", "vdi"), pairs=5)


@pytest.mark.parametrize(
    "options",
    [
        ("--to", "qcow2", "--compress", "zlib"),
        ("--to", "qcow2", "--compress", "zstd"),
        ("--to", "vmdk", "--option", "subformat=streamOptimized"),
        ("--to", "vhd"),
        ("--to", "raw"),
    ],
    ids=lambda options: "-".join(option.strip("-") for option in options),
)
def test_memory(system: Path, options: tuple[str, ...]) -> None:
    """Under 300 MiB, proved content and all."""
    target = system.with_name("out")
    peak, _ = peak_of("convert", str(system), "-o", str(target), "--force", "--progress", "none", *options)
    print(f"peak {' '.join(options)}: {peak >> 20} MiB")
    assert peak < 300 << 20
    target.unlink()
