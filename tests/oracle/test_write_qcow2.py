"""qcow2 files of the native engine against qemu-img: contents × sizes × options, headers, tables on the way."""

from __future__ import annotations

import itertools
import random
import struct
import subprocess
from pathlib import Path

import pytest

from imgtool.formats.qcow2.facts import Qcow2Facts
from imgtool.formats.qcow2.write import mapping, space
from tests.kit import need, qemu_create, qemu_info, report_of, run
from tests.oracle.write_kit import CONTENTS, KIB, MIB, proved, source
from tests.targets.kit import converted, written

pytestmark = pytest.mark.oracle

SIZES = (0, 1, 512, 65_537, 2 * MIB + 512, 7 * MIB + 1000)
OPTIONS: tuple[dict[str, str], ...] = (
    {},
    {"cluster_size": "512"},
    {"cluster_size": "4K", "lazy_refcounts": "on"},
    {"cluster_size": "2M"},
    {"compress": "zlib"},
    {"compress": "zlib", "cluster_size": "512"},
    {"compress": "zlib", "cluster_size": "4K", "level": "12"},
    {"compress": "zlib", "cluster_size": "2M", "level": "1"},
    {"compress": "zlib", "deflate_window": "4k"},
    {"compress": "zlib", "deflate_window": "4k", "cluster_size": "256K", "level": "9"},
    {"compress": "zstd"},
    {"compress": "zstd", "cluster_size": "512"},
    {"compress": "zstd", "cluster_size": "8K", "level": "9", "lazy_refcounts": "on"},
    {"compress": "zstd", "cluster_size": "2M", "level": "1"},
    {"compression_type": "zstd", "cluster_size": "16K"},
    {"preallocation": "metadata"},
    {"preallocation": "metadata", "cluster_size": "512"},
    {"preallocation": "falloc", "cluster_size": "32K"},
    {"preallocation": "full", "cluster_size": "2M"},
    *({"refcount_bits": bits, "cluster_size": "1K"} for bits in ("1", "2", "4", "8", "32", "64")),
    *({"refcount_bits": bits, "cluster_size": "4K", "compress": "zlib"} for bits in ("1", "2", "4", "8", "32", "64")),
)
MATRIX = tuple(itertools.product(CONTENTS, SIZES, range(len(OPTIONS))))


def agrees(folder: Path, case: tuple[str, int, int]) -> None:
    """Fail where an image is not what was asked."""
    kind, size, number = case
    options = OPTIONS[number]
    raw = source(folder / "source.raw", kind, size)
    path = converted(raw, folder / "image.qcow2", "qcow2", **options)
    proved(raw, path, "qcow2", "qcow2", checked=True)
    as_asked(path, size, options)


def as_asked(path: Path, size: int, options: dict[str, str]) -> None:
    """Fail where qemu-img or our reader tell of other options."""
    info = qemu_info(path, "qcow2")
    told = info["format-specific"]["data"]
    compression = options.get("compression_type") or options.get("compress", "zlib")
    assert info["virtual-size"] == -(-size // 512) * 512
    units = {"K": KIB, "M": MIB}
    asked = options.get("cluster_size", "64K")
    cluster_size = int(asked.rstrip("KM")) * units.get(asked[-1], 1)
    assert info["cluster-size"] == cluster_size
    assert told == {
        "compat": "1.1",
        "compression-type": compression,
        "lazy-refcounts": "lazy_refcounts" in options,
        "refcount-bits": int(options.get("refcount_bits", "16")),
        "corrupt": False,
        "extended-l2": False,
    }
    details = report_of(path.read_bytes()).details
    assert isinstance(details, Qcow2Facts)
    assert (details.cluster_size, details.refcount_bits) == (cluster_size, told["refcount-bits"])
    assert (details.compression_type, details.lazy_refcounts) == (compression, told["lazy-refcounts"])


@pytest.mark.parametrize("case", random.Random(43).sample(MATRIX, 45), ids=str)
def test_sample(tmp_path: Path, case: tuple[str, int, int]) -> None:
    """A sample of the matrix."""
    agrees(tmp_path, case)


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_matrix(tmp_path: Path, case: tuple[str, int, int]) -> None:
    """All of it."""
    agrees(tmp_path, case)


@pytest.mark.parametrize("compress", ["none", "zlib", "zstd"])
@pytest.mark.parametrize("bits", ["1", "16", "64"])
def test_tables_that_are_written_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: str, bits: str
) -> None:
    """Where memory holds few tables they are written between the data; QEMU finds all of them."""
    monkeypatch.setattr(space, "_KEPT", 2500)
    monkeypatch.setattr(mapping, "_HELD", 3 * 512)
    raw = source(tmp_path / "source.raw", "patterned", 5 * MIB + 100)
    options = {"compress": compress, "cluster_size": "512", "refcount_bits": bits}
    path = converted(raw, tmp_path / "image.qcow2", "qcow2", **options)
    proved(raw, path, "qcow2", "qcow2", checked=True)


@pytest.mark.parametrize("cluster_size", ["512", "4K", "8K", "64K", "2M"])
@pytest.mark.parametrize(
    "options", ["lazy_refcounts=off", "lazy_refcounts=on", "refcount_bits=64,compression_type=zstd"]
)
def test_the_header_is_qemus(tmp_path: Path, cluster_size: str, options: str) -> None:
    """All of it but where the tables lie."""
    theirs = qemu_create(tmp_path / "theirs", "qcow2", 3 * MIB, f"cluster_size={cluster_size}", options).read_bytes()
    asked = dict(word.split("=") for word in options.split(","))
    ours = written("qcow2", bytes(3 * MIB), cluster_size=cluster_size, **asked)
    size = struct.unpack_from(">I", theirs, 20)[0]
    assert size == struct.unpack_from(">I", ours, 20)[0]
    length = 1 << size
    for image in (theirs, ours):
        assert struct.unpack_from(">I", image, 56)[0] >= 1
    assert ours[:40] + ours[60:length] == theirs[:40] + theirs[60:length]


@pytest.mark.parametrize("options", [{}, {"compress": "zlib"}, {"compress": "zstd", "cluster_size": "4K"}], ids=str)
def test_a_guest_goes_on_writing(tmp_path: Path, options: dict[str, str]) -> None:
    """QEMU writes over clusters, compressed ones and holes; counts and tables still hold."""
    raw = source(tmp_path / "source.raw", "text", 9 * MIB)
    path = converted(raw, tmp_path / "image.qcow2", "qcow2", **options)
    writes = [(0, 4096), (5 * MIB - 512, 3 * MIB), (8 * MIB + 512, MIB - 512), (1 * MIB, 512)]
    commands = [word for at, length in writes for word in ("-c", f"write -P {at % 251 + 1} {at} {length}")]
    for file, form in ((raw, "raw"), (path, "qcow2")):
        run(need("qemu-io"), "-f", form, *commands, str(file))
    run(need("qemu-img"), "snapshot", "-c", "one", str(path))
    run(need("qemu-io"), "-f", "qcow2", "-c", "write -P 9 2M 1M", str(path))
    for what in ("-a", "-d"):
        run(need("qemu-img"), "snapshot", what, "one", str(path))
    proved(raw, path, "qcow2", "qcow2", checked=True)


@pytest.mark.parametrize("size", [1 << 40, 1 << 43])
def test_very_large_disks(tmp_path: Path, size: int) -> None:
    """Empty but for three megabytes: qemu-img checks, and finds as many clusters as there are."""
    raw = tmp_path / "source.raw"
    with open(raw, "wb") as file:
        for at in (0, size // 2 + 512, size - MIB):
            file.seek(at)
            file.write(b"\7" * MIB)
    path = converted(raw, tmp_path / "image.qcow2", "qcow2")
    done = subprocess.run([need("qemu-img"), "check", "-f", "qcow2", str(path)], capture_output=True, check=True)
    assert b"No errors were found" in done.stdout
    assert f"49/{size // 65536}".encode() in done.stdout
    assert qemu_info(path, "qcow2")["virtual-size"] == size
    same = run(need("qemu-img"), "compare", "-f", "raw", "-F", "qcow2", str(raw), str(path))
    assert b"Images are identical." in same


@pytest.mark.parametrize("method", ["zlib", "zstd"])
def test_no_larger_than_qemus(tmp_path: Path, method: str) -> None:
    """What qemu-img compresses takes as much or more."""
    raw = tmp_path / "source.raw"
    program = Path(need("qemu-img")).read_bytes() + Path(need("qemu-io")).read_bytes()
    raw.write_bytes(program[: 8 * MIB])
    theirs = tmp_path / "theirs"
    wanted = ("-o", f"compression_type={method}")
    run(need("qemu-img"), "convert", "-c", "-f", "raw", "-O", "qcow2", *wanted, str(raw), str(theirs))
    ours = converted(raw, tmp_path / "ours", "qcow2", compress=method)
    assert ours.stat().st_size <= theirs.stat().st_size + 2 * 65536
