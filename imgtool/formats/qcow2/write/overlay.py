"""qcow2: an empty overlay over another file, which gives what was not written here.

The backing file's format always stands in it, so that nobody guesses what the file below is.

References: QEMU docs/interop/qcow2, sections "Header" (backing file), "Header extensions" (backing file format).
"""

from __future__ import annotations

from imgtool.errors import UnsupportedError, UsageError
from imgtool.formats.qcow2.write.header import Layout, header
from imgtool.formats.qcow2.write.mapping import Mapping
from imgtool.formats.qcow2.write.space import Space, place
from imgtool.limits import DEFAULT
from imgtool.targets.output import Output
from imgtool.units import SECTOR, ceil_div

_BITS = 16  #: of a cluster: 64 KiB
_REFCOUNT_BITS = 16
_LONGEST = 1023  #: bytes of a backing file's name


def write_overlay(output: Output, size: int, backing: str, backing_format: str) -> int:
    """Write an overlay of `size` bytes, rounded up to whole sectors, over the file `backing`, which is relative to
    the overlay's folder; `backing_format`: as QEMU calls it. The bytes that the guest will see.

    Raises OutputError, UnsupportedError for a size that no qcow2 has, UsageError for a name that is too long.
    """
    import numpy as np

    name, form = backing.encode(), backing_format.encode()
    if not 0 < len(name) <= _LONGEST or not form:
        raise UsageError(f"{output.name}: a backing file has a format, and a name of 1 to {_LONGEST} bytes")
    size = ceil_div(size, SECTOR) * SECTOR
    clusters = ceil_div(size, 1 << _BITS)
    if size > DEFAULT.virtual_size or ceil_div(clusters, 1 << _BITS - 3) * 8 > DEFAULT.qcow2_l1_table:
        raise UnsupportedError(f"{output.name}: {size} bytes are more than a qcow2 holds")
    space = Space(output, _BITS, _REFCOUNT_BITS)
    space.take(1)
    mapping = Mapping(space, clusters)
    mapping.finish_tables()
    table_offset, table_clusters = space.finish()
    made = header(
        Layout(
            cluster_bits=_BITS,
            size=size,
            l1_size=mapping.l1_size,
            l1_table_offset=mapping.l1_offset,
            refcount_table_offset=table_offset,
            refcount_table_clusters=table_clusters,
            refcount_bits=_REFCOUNT_BITS,
            lazy_refcounts=False,
            compression_type=0,
            backing=(name, form),
        )
    )
    place(output, 0, np.frombuffer(made.ljust(1 << _BITS, b"\0"), np.uint8))
    output.truncate(space.end << _BITS)
    return size
