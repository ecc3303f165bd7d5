"""The deep check of qcow2 agrees with `qemu-img check` in every total: clean, leaked, damaged, cut images.

Where the two count differently, and why:

- An L1 entry that is not 0 and has no offset: qemu reads the header as an L2 table and counts what it makes of it;
  here the entry is the fault.
- A reference count table entry whose block lies past 2^63: qemu cannot read the counts of L2 tables there, and leaves
  out the copied flags of all entries in them.
- A snapshot table or a bitmap directory that the file ends in: qemu reads zeros (entries that are "incomplete") or
  gives up; here it is a table that cannot be read.
- The zero flag where it is reserved, data that lies on tables, compressed data that makes no cluster: findings here,
  no corruptions, as in qemu's totals.
"""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

import pytest

from tests.kit import qemu_create, run
from tests.oracle.check_kit import both, codes, patched, written
from tests.oracle.disks_kit import convert, scribble

pytestmark = pytest.mark.oracle

SIZE = 300 * 1024
OFFSET = 0x00FFFFFFFFFFFE00
OPTIONS = (
    "cluster_size=512",
    "cluster_size=512,refcount_bits=1",
    "cluster_size=512,refcount_bits=2",
    "cluster_size=4k,refcount_bits=4",
    "cluster_size=512,refcount_bits=8,compression_type=zstd",
    "cluster_size=1k,compat=0.10",
    "cluster_size=512,refcount_bits=32",
    "cluster_size=512,refcount_bits=64,lazy_refcounts=on",
    "cluster_size=16k,extended_l2=on",
    "cluster_size=4k,preallocation=metadata",
    "cluster_size=16k,extended_l2=on,preallocation=metadata",
    "cluster_size=64k,preallocation=falloc",
    "cluster_size=2M",
)
#: What no damage is needed for.
EXPECTED = {"QCW030", "QCW401", "IMG101"}
SEEDS = 120


def unit_of(options: str) -> int:
    """Bytes of a cluster."""
    text = options.partition("cluster_size=")[2].partition(",")[0]
    return int(text.rstrip("kM")) * {"k": 1024, "M": 1 << 20}.get(text[-1], 1)


def with_snapshots(options: str) -> bool:
    """Whether counts are wide enough for snapshots and for what compressed clusters share."""
    return "refcount_bits=1" not in options.split(",") and "refcount_bits=2" not in options.split(",")


def built(path: Path, options: str, seed: object, size: int = SIZE) -> Path:
    """An image with data, zeros, compressed clusters, snapshots where there may be any."""
    unit = unit_of(options)
    qemu_create(path, "qcow2", max(size, unit), options)
    if with_snapshots(options) and "preallocation" not in options:
        chosen = Random(repr(seed)).sample(range(max(size, unit) // unit), min(4, max(size, unit) // unit))
        written(path, "qcow2", *(f"write -c -P {number % 256} {number * unit} {unit}" for number in chosen))
    scribble(path, "qcow2", seed, count=10, unit=unit)
    if with_snapshots(options):
        for number in range(2):
            run("qemu-img", "snapshot", "-c", f"s{number}", str(path))
            scribble(path, "qcow2", (seed, number), count=4, unit=unit)
    return path


@pytest.mark.parametrize("options", OPTIONS)
def test_clean(tmp_path: Path, options: str) -> None:
    """What real tools make: all totals the same, and nothing to say but that there are snapshots."""
    path = built(tmp_path / "a.qcow2", options, options)
    result = both(path, "qcow2")
    assert not result.differences()
    assert codes(result.ours) <= EXPECTED, result.ours.findings
    if "0.10" not in options and with_snapshots(options):
        run("qemu-img", "snapshot", "-d", "s0", str(path))
        run("qemu-img", "snapshot", "-d", "s1", str(path))
        run("qemu-img", "bitmap", "--add", "-g", "64k", str(path), "bitmap")
        run("qemu-img", "resize", "-q", str(path), "+1M")
        result = both(path, "qcow2")
        assert not result.differences()
        assert codes(result.ours) <= EXPECTED, result.ours.findings


@pytest.mark.parametrize("kind", ["zlib", "zstd"])
@pytest.mark.parametrize("unit", ["512", "4k", "64k"])
def test_compressed(tmp_path: Path, kind: str, unit: str) -> None:
    """Compressed clusters share host clusters: each counts in every one that it touches."""
    raw = tmp_path / "raw"
    chance = Random(unit)
    raw.write_bytes(b"".join(chance.randbytes(700) + bytes([number % 256]) * 3000 for number in range(200)))
    options = f"cluster_size={unit},compression_type={kind}"
    path = convert(raw, "raw", tmp_path / "a.qcow2", "qcow2", options, extra=("-c",))
    result = both(path, "qcow2")
    assert not result.differences()
    assert result.totals.compressed_clusters
    assert not codes(result.ours)


@pytest.mark.parametrize("options", ["encrypt.format=aes", "encrypt.format=luks,encrypt.iter-time=10"])
def test_encrypted(tmp_path: Path, options: str) -> None:
    """The key is not needed for the tables; the LUKS header's clusters are its own."""
    secret = ("--object", "secret,id=key,data=abc")
    path = tmp_path / "a.qcow2"
    qemu_create(path, "qcow2", "1M", f"cluster_size=4k,encrypt.key-secret=key,{options}", extra=secret)
    image = f"driver=qcow2,encrypt.key-secret=key,file.filename={path}"
    run("qemu-io", *secret, "--image-opts", "-c", "write -P 7 12k 40k", image)
    result = both(path, "qcow2")
    assert codes(result.ours) <= EXPECTED
    assert (result.totals.allocated_clusters, result.totals.leaks, result.totals.corruptions) == (10, 0, 0)


def test_data_file(tmp_path: Path) -> None:
    """Offsets lead into the other file: they are not counted in this one, and the flag is always set."""
    path = tmp_path / "a.qcow2"
    qemu_create(path, "qcow2", "1M", f"cluster_size=4k,data_file={tmp_path / 'data.raw'}")
    written(path, "qcow2", "write -P 7 0 40k", "write -z 200k 64k")
    result = both(path, "qcow2")
    assert not result.differences()
    assert codes(result.ours) == {"IMG101", "IMG102"}


@pytest.mark.parametrize("size", [1, 512, 65_536 * 8192 + 512, 1 << 40, 1 << 46])
def test_sizes(tmp_path: Path, size: int) -> None:
    """Disks of one sector and of 64 TiB."""
    path = qemu_create(tmp_path / "a.qcow2", "qcow2", size)
    written(path, "qcow2", f"write -P 3 {max(0, size - 65_536) // 512 * 512} 512")
    result = both(path, "qcow2")
    assert not result.differences()
    assert not codes(result.ours)


def tables(data: bytes) -> dict[str, list[int]]:
    """Where entries lie: of the L1 table, of L2 tables, of the reference count table and its first block."""
    cluster = 1 << struct.unpack_from(">I", data, 20)[0]
    entries, start = struct.unpack_from(">IQ", data, 36)
    (counts,) = struct.unpack_from(">Q", data, 48)
    found: dict[str, list[int]] = {
        "l1": [start + 8 * number for number in range(entries)],
        "counts": [counts, counts + 8],
        "l2": [],
    }
    for at in found["l1"]:
        (word,) = struct.unpack_from(">Q", data, at)
        if word & OFFSET and (word & OFFSET) + cluster <= len(data):
            table = word & OFFSET
            found["l2"] += [at for at in range(table, table + cluster, 8) if struct.unpack_from(">Q", data, at)[0]]
    (block,) = struct.unpack_from(">Q", data, counts)
    found["block"] = list(range(block, min(block + cluster, block + len(data) // 64), 8))
    return {name: places for name, places in found.items() if places}


def damage(path: Path, chance: Random) -> bool:
    """Entries of tables changed at random, the file cut; False where the two count differently by rights."""
    data = path.read_bytes()
    cluster = 1 << struct.unpack_from(">I", data, 20)[0]
    places = tables(data)
    (snapshots,) = struct.unpack_from(">Q", data, 64)
    comparable = True
    for _ in range(chance.choice((1, 1, 2, 3))):
        kind = chance.choice(sorted(places))
        at = chance.choice(places[kind])
        (word,) = struct.unpack_from(">Q", data, at)
        word = chance.choice(
            (
                word ^ 1 << chance.randrange(64),
                word & ~OFFSET | chance.randrange(len(data) // cluster + 2) * cluster,
                0,
                word ^ 1 << 63,
                struct.unpack_from(">Q", data, chance.choice(places[kind]))[0],
                word & ~0xFFFF | chance.randrange(4),
                word ^ 1 << chance.randrange(20),
            )
        )
        comparable &= not (kind == "l1" and word and not word & OFFSET) and not (kind == "counts" and word >> 63)
        patched(path, (at, struct.pack(">Q", word)))
    if chance.random() < 0.15:
        end = chance.randrange(len(data) // 2, len(data))
        comparable &= not snapshots or end >= snapshots + cluster
        patched(path, size=end)
    return comparable


def damaged(tmp_path: Path, seed: int) -> None:
    """Damage by damage on one image: the same totals, and a finding wherever qemu-img counts a fault."""
    chance = Random(seed)
    path = built(tmp_path / "a.qcow2", OPTIONS[seed % len(OPTIONS)], seed)
    whole = path.read_bytes()
    for _ in range(4):
        path.write_bytes(whole)
        if not damage(path, chance):
            continue
        result = both(path, "qcow2")
        if result.theirs is None:
            continue  # qemu-img does not open it
        assert not result.differences(), result
        faults = {"QCW301", "QCW303", "QCW016", "QCW017", "QCW018", "QCW019", "QCW025", "QCW026", "QCW031", "QCW027"}
        assert bool(result.totals.corruptions) <= bool(codes(result.ours) & faults), result
        assert bool(result.totals.leaks) == ("QCW302" in codes(result.ours)), result


@pytest.mark.parametrize("seed", range(16))
def test_damaged(tmp_path: Path, seed: int) -> None:
    """Entries of tables and reference counts that are wrong; files that were cut."""
    damaged(tmp_path, seed)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(16, SEEDS))
def test_damaged_all(tmp_path: Path, seed: int) -> None:
    """The same, more often."""
    damaged(tmp_path, seed)


def test_leaked_and_repaired(tmp_path: Path) -> None:
    """A leak and a count too low; after `qemu-img check -r all` both say that it is clean."""
    path = written(qemu_create(tmp_path / "a.qcow2", "qcow2", "1M", "cluster_size=4k"), "qcow2", "write 0 40k")
    (block,) = struct.unpack_from(">Q", path.read_bytes(), struct.unpack_from(">Q", path.read_bytes(), 48)[0])
    patched(path, (block + 2 * 6, b"\0\0"), (block + 2 * 7, b"\0\2"))
    result = both(path, "qcow2")
    assert not result.differences()
    assert codes(result.ours) == {"QCW301", "QCW302", "QCW303"}
    run("qemu-img", "check", "-q", "-r", "all", str(path))
    result = both(path, "qcow2")
    assert not result.differences()
    assert not codes(result.ours)


def test_dirty(tmp_path: Path) -> None:
    """Marked dirty, its counts are stale by rights: one warning, and totals all the same."""
    path = qemu_create(tmp_path / "a.qcow2", "qcow2", "1M", "cluster_size=4k,lazy_refcounts=on")
    written(path, "qcow2", "write 0 40k")
    (block,) = struct.unpack_from(">Q", path.read_bytes(), struct.unpack_from(">Q", path.read_bytes(), 48)[0])
    patched(path, (79, b"\1"), (block + 2 * 6, b"\0\0"))
    result = both(path, "qcow2")
    assert not result.differences()
    assert result.totals.corruptions
    assert codes(result.ours) == {"QCW013"}


def test_l1_entry_without_offset(tmp_path: Path) -> None:
    """qemu-img reads the header as an L2 table, and counts; here the entry is one fault."""
    path = qemu_create(tmp_path / "a.qcow2", "qcow2", "1M", "cluster_size=512")
    (start,) = struct.unpack_from(">Q", path.read_bytes(), 40)
    patched(path, (start, b"\x80" + bytes(7)))
    result = both(path, "qcow2")
    assert (result.totals.corruptions, codes(result.ours)) == (1, {"QCW018"})
    assert result.theirs is not None
    assert result.theirs["corruptions"] > 1
