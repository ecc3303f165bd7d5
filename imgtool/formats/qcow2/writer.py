"""Writing qcow2, version 3: plain, zlib and zstd clusters, in the order of the guest's bytes.

The file: header, L1 table, data with the L2 tables between it (some at once), refcount blocks, refcount table.
A guest cluster that is all zeros is not allocated, and where there is none there is no L2 table. A cluster that
compressing does not make smaller is stored as it is. Nothing in the file depends on the stamp.

References: QEMU docs/interop/qcow2.
"""

from __future__ import annotations

from collections.abc import Mapping as Options
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from imgtool.codecs.pack import Pack, deflater, deflater_4k, zstd_packer
from imgtool.errors import UnsupportedError, UsageError
from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2.write.header import Layout, header
from imgtool.formats.qcow2.write.mapping import Mapping
from imgtool.formats.qcow2.write.space import MOST, Space, place
from imgtool.limits import DEFAULT
from imgtool.targets.options import Option, Value
from imgtool.targets.output import Output
from imgtool.targets.writer import Stamp, Writer, data_runs
from imgtool.units import KIB, MIB, SECTOR, ceil_div

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OPTIONS = (
    Option("cluster_size", "size", "64K", "bytes of a cluster", least=SECTOR, most=2 * MIB, power=True),
    Option("compress", "choice", "none", "how clusters are compressed", ("none", "zlib", "zstd")),
    Option(
        "compression_type", "choice", "", "the header's compression type; else as compress says", ("", "zlib", "zstd")
    ),
    Option("level", "number", "0", "zlib 1 to 12 (9 with a window of 4k), zstd 1 to 22; 0 chooses", most=22),
    Option(
        "deflate_window", "choice", "32k", "4k for readers of zlib clusters that know no larger one", ("32k", "4k")
    ),
    Option(
        "preallocation",
        "choice",
        "off",
        "metadata maps all clusters, falloc takes their space, too, full writes their zeros",
        ("off", "metadata", "falloc", "full"),
    ),
    Option("lazy_refcounts", "flag", "off", "a guest's writes may leave reference counts for later"),
    Option("refcount_bits", "number", "16", "bits of a reference count, 1 to 64", least=1, most=64, power=True),
)

#: What is offered for a disk that is too large for the clusters that were asked for.
_CLUSTER_SIZES = (64 * KIB, 2 * MIB)

#: Clusters of a disk that is preallocated: 64 TiB of the usual ones, whose tables take 8 GiB.
_MOST_PREALLOCATED = 1 << 30


class Stored(NamedTuple):
    """Clusters of a piece as they are: where their bytes begin and end in it."""

    start: int
    end: int


class Packed(NamedTuple):
    """Clusters of a piece, compressed: where the first begins in it, the bytes of all, the size of each."""

    start: int
    data: bytes
    sizes: list[int]


class Chosen(NamedTuple):
    """The options of a file. `pack` compresses a cluster, None where they stay as they are; `compression_type` as
    the header's byte has it."""

    cluster_size: int
    pack: Pack | None
    compression_type: int
    preallocation: str
    lazy_refcounts: bool
    refcount_bits: int


class Piece(NamedTuple):
    """A piece and what of it is not zeros, in order."""

    data: bytes
    parts: list[Stored | Packed]


def open_writer(output: Output, size: int, options: Options[str, Value]) -> Qcow2Writer:
    """A writer of a disk of `size` bytes. Raises UsageError for options that do not go together, UnsupportedError
    for a size that needs larger clusters."""
    method = str(options["compress"])
    compression_type = str(options["compression_type"]) or (method if method != "none" else "zlib")
    if method not in ("none", compression_type):
        raise UsageError(f"qcow2 option compression_type={compression_type}: clusters compressed as {method} are not")
    cluster_size = int(options["cluster_size"])
    size = ceil_div(size, SECTOR) * SECTOR
    most = _most(cluster_size)
    if size > most:
        larger = next((one for one in _CLUSTER_SIZES if _most(one) >= size), None)
        hint = f"; larger clusters hold it (--option cluster_size={larger // KIB}K)" if larger is not None else ""
        raise UnsupportedError(
            f"{output.name}: a qcow2 with clusters of {cluster_size} bytes holds at most {most} bytes, the disk has "
            f"{size}{hint}"
        )
    pack = _pack(method, int(options["level"]), str(options["deflate_window"]))
    chosen = Chosen(
        cluster_size=cluster_size,
        pack=pack,
        compression_type=list(lay.COMPRESSION_TYPES.values()).index(compression_type),
        preallocation=str(options["preallocation"]),
        lazy_refcounts=bool(options["lazy_refcounts"]),
        refcount_bits=int(options["refcount_bits"]),
    )
    if pack is not None and chosen.preallocation != "off":
        raise UsageError("qcow2 option preallocation: nothing can be kept for clusters that are compressed")
    if chosen.preallocation != "off" and ceil_div(size, cluster_size) > _MOST_PREALLOCATED:
        raise UnsupportedError(
            f"{output.name}: at most {_MOST_PREALLOCATED} clusters are preallocated, the disk of {size} bytes has "
            f"{ceil_div(size, cluster_size)} (preallocation=off needs none)"
        )
    return Qcow2Writer(output, size, chosen)


def _most(cluster_size: int) -> int:
    """Bytes of the largest disk with such clusters."""
    return min(DEFAULT.qcow2_l1_table // 8 * cluster_size * (cluster_size // 8), DEFAULT.virtual_size)


def _pack(method: str, level: int, window: str) -> Pack | None:
    if window != "32k" and method != "zlib":
        raise UsageError("qcow2 option deflate_window is one of compress=zlib")
    if method == "zstd":
        return zstd_packer(level)
    if method == "zlib":
        return deflater(level) if window == "32k" else deflater_4k(level)
    if level:
        raise UsageError("qcow2 option level is one of compress=zlib and compress=zstd")
    return None


class Qcow2Writer(Writer[Piece]):
    """One qcow2 file."""

    def __init__(self, output: Output, size: int, chosen: Chosen) -> None:
        self.output = output
        self.size = size
        self.unit = chosen.cluster_size
        self._chosen = chosen
        self._pack = chosen.pack
        self._allocates_all = chosen.preallocation != "off"
        self._writes_zeros = self._allocates_all and (chosen.preallocation == "full" or not output.known_zeros)
        self._bits = chosen.cluster_size.bit_length() - 1
        self._space = Space(output, self._bits, chosen.refcount_bits)
        self._space.take(1)
        self._mapping = Mapping(self._space, ceil_div(size, chosen.cluster_size))

    def prepare(self, start: int, data: bytes) -> Piece:
        if self._writes_zeros:
            return Piece(data, [Stored(0, len(data))])
        runs = data_runs(data, self.unit)
        if self._pack is None:
            return Piece(data, [Stored(*run) for run in runs])
        return Piece(data, [part for run in runs for part in _packed(data, run, self.unit, self._pack)])

    def put(self, start: int, made: Piece) -> None:
        view = memoryview(made.data)
        everything = 0
        if self._allocates_all:
            everything = self._place(start, len(view))
            self._reserve(everything, len(view))
        for part in made.parts:
            if isinstance(part, Packed):
                self._put_packed(start + part.start, part)
            elif self._allocates_all:
                self._write(everything + part.start, view[part.start : part.end])
            else:
                at = self._place(start + part.start, part.end - part.start)
                self._write(at, view[part.start : part.end])

    def zeros(self, start: int, length: int) -> None:
        if not self._allocates_all:
            return
        step = MOST << self._bits
        for begin in range(start, start + length, step):
            count = min(step, start + length - begin)
            at = self._place(begin, count)
            self._reserve(at, count)
            if self._writes_zeros:
                self.output.write_zeros(at, ceil_div(count, self.unit) * self.unit)

    def _place(self, start: int, length: int) -> int:
        """Allocate the clusters of a run of guest bytes; the offset of the first."""
        import numpy as np

        count = ceil_div(length, self.unit)
        first = self._space.take(count)
        hosts = np.arange(first, first + count, dtype=np.uint64) << np.uint64(self._bits)
        self._mapping.set(start >> self._bits, hosts | np.uint64(lay.OFLAG_COPIED))
        return first << self._bits

    def _reserve(self, at: int, length: int) -> None:
        if self._chosen.preallocation == "falloc":
            self.output.reserve(at, ceil_div(length, self.unit) * self.unit)

    def _write(self, at: int, data: memoryview) -> None:
        """Write clusters as they are; the disk's last one is filled up where the output needs that."""
        self.output.write_at(at, data)
        rest = -len(data) % self.unit
        if rest and not self.output.known_zeros:
            self.output.write_at(at + len(data), bytes(rest))

    def _put_packed(self, start: int, part: Packed) -> None:
        import numpy as np

        sizes = np.array(part.sizes, np.int64)
        starts = self._space.pack(sizes)
        begins = np.cumsum(sizes) - sizes
        breaks = np.flatnonzero(starts[1:] != starts[:-1] + sizes[:-1]) + 1
        bounds = [0, *breaks.tolist(), len(sizes)]
        view = memoryview(part.data)
        for first, after in pairwise(bounds):
            low = int(begins[first])
            high = int(begins[after - 1] + sizes[after - 1])
            self.output.write_at(int(starts[first]), view[low:high])
        self._mapping.set(start >> self._bits, self._descriptors(starts, sizes))

    def _descriptors(self, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.uint64]:
        """L2 entries of compressed clusters: the offset, and how many sectors follow the one that it lies in."""
        import numpy as np

        sectors = (starts + sizes - 1 >> 9) - (starts >> 9)
        shift = 62 - (self._bits - 8)
        return (starts | sectors << shift).astype(np.uint64) | np.uint64(lay.OFLAG_COMPRESSED)

    def finish(self, stamp: Stamp) -> None:
        import numpy as np

        self._mapping.finish_tables()
        table_offset, table_clusters = self._space.finish()
        made = header(
            Layout(
                cluster_bits=self._bits,
                size=self.size,
                l1_size=self._mapping.l1_size,
                l1_table_offset=self._mapping.l1_offset,
                refcount_table_offset=table_offset,
                refcount_table_clusters=table_clusters,
                refcount_bits=self._chosen.refcount_bits,
                lazy_refcounts=self._chosen.lazy_refcounts,
                compression_type=self._chosen.compression_type,
            )
        )
        place(self.output, 0, np.frombuffer(made.ljust(self.unit, b"\0"), np.uint8))
        self.output.truncate(self._space.end << self._bits)


def _packed(data: bytes, run: tuple[int, int], unit: int, pack: Pack) -> list[Stored | Packed]:
    """A run of clusters, each compressed where that makes it smaller; alike neighbours together."""
    parts: list[Stored | Packed] = []
    smaller: list[bytes | bytearray] = []
    view = memoryview(data)
    begin = run[0]
    for start in range(run[0], run[1], unit):
        cluster = view[start : start + unit]
        made = pack(cluster if len(cluster) == unit else bytes(cluster).ljust(unit, b"\0"))
        if len(made) < unit:
            if not smaller:
                begin = start
            smaller.append(made)
            continue
        if smaller:
            parts.append(Packed(begin, b"".join(smaller), [len(one) for one in smaller]))
            smaller = []
        after = min(start + unit, run[1])
        last = parts[-1] if parts else None
        if isinstance(last, Stored) and last.end == start:
            parts[-1] = Stored(last.start, after)
        else:
            parts.append(Stored(start, after))
    if smaller:
        parts.append(Packed(begin, b"".join(smaller), [len(one) for one in smaller]))
    return parts
