"""Writing VMDK in one file: monolithicSparse, and streamOptimized as the specification has it.

The size is exact: the guest's bytes, rounded up to a sector. The specification would like a multiple of the grain;
no reader that is known here asks for it, and qemu-img does the same. The last grain is there as a whole, with zeros
behind the disk's end.

References: VMware "Virtual Disk Format 5.0", sections "Hosted Sparse Extents", "Stream-Optimized Compressed Sparse
Extents".
"""

from __future__ import annotations

from collections.abc import Mapping

from imgtool.errors import UnsupportedError, UsageError
from imgtool.formats.vmdk import layout as lay
from imgtool.formats.vmdk.write.descriptor import Chosen
from imgtool.formats.vmdk.write.extent import Shape
from imgtool.formats.vmdk.write.sparse import SparseWriter
from imgtool.formats.vmdk.write.stream import StreamWriter
from imgtool.limits import DEFAULT
from imgtool.targets.options import Option, Value
from imgtool.targets.output import Output
from imgtool.units import KIB, MIB, SECTOR, ceil_div

_LEVEL = 6  #: the lowest at which a system disk gets smaller than by zlib at its own default

OPTIONS = (
    Option(
        "subformat",
        "choice",
        "monolithicSparse",
        "monolithicSparse grows with its data; streamOptimized is compressed, for import and in an OVA",
        ("monolithicSparse", "streamOptimized"),
    ),
    Option(
        "adapter_type",
        "choice",
        "ide",
        "the adapter that the disk is meant for",
        ("ide", "buslogic", "lsilogic", "legacyESX"),
    ),
    Option(
        "hwversion", "number", "4", "version of the virtual hardware that the disk is meant for", least=1, most=99
    ),
    Option("grain_size", "size", "64K", "bytes of a grain", least=8 * KIB, most=MIB, power=True),
    Option(
        "level",
        "number",
        str(_LEVEL),
        "of streamOptimized: 1 is fast, 9 small, 12 the smallest and very slow",
        least=1,
        most=12,
    ),
    Option(
        "toolsversion", "text", "", "version of VMware's tools in the guest, a number; left out where it is empty"
    ),
)


def open_writer(output: Output, size: int, options: Mapping[str, Value]) -> SparseWriter | StreamWriter:
    """A writer of a disk of `size` bytes. Raises UsageError for options that cannot be, UnsupportedError for a size
    that the format does not know, and for a device, which ends elsewhere than with the image."""
    stream, level = options["subformat"] == "streamOptimized", int(options["level"])
    tools = str(options["toolsversion"])
    if not stream and level != _LEVEL:
        raise UsageError("vmdk option level: only streamOptimized is compressed")
    if tools and not (tools.isascii() and tools.isdigit() and len(tools) <= 10):
        raise UsageError(f"vmdk option toolsversion is a number, not {tools!r}")
    if not output.known_zeros:
        raise UnsupportedError(f"{output.name}: a vmdk is a file of its own size, it cannot be written to a device")
    shape = _shape(output, size, int(options["grain_size"]))
    chosen = Chosen(str(options["adapter_type"]), int(options["hwversion"]), tools)
    if stream:
        return StreamWriter(output, shape, chosen, level)
    return SparseWriter(output, shape, chosen)


def _shape(output: Output, size: int, grain_size: int) -> Shape:
    """The disk in sectors and grains. Raises UnsupportedError where no vmdk can have it."""
    if size <= 0:
        raise UnsupportedError(f"{output.name}: a vmdk has at least one sector, the disk has none")
    span = grain_size * lay.GTES_PER_GT
    tables = ceil_div(size, span)
    if tables > DEFAULT.vmdk_directory:
        most = DEFAULT.vmdk_directory * span
        told = f"a vmdk with grains of {grain_size} bytes holds at most {most} bytes"
        raise UnsupportedError(f"{output.name}: {told}, the disk has {size}")
    return Shape(ceil_div(size, SECTOR), grain_size // SECTOR, tables)
