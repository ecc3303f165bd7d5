"""How large the files become that qemu-img writes: from the units that hold data, and each format's own tables.

An estimate: units that the disk says hold data may turn out to be all zeros. References: the formats' specifications,
and what qemu-img chooses where nothing is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from imgtool.conversion.plan import Plan
from imgtool.disks.stream import runs
from imgtool.sources.disk import Disk
from imgtool.targets.options import Value
from imgtool.units import GIB, KIB, MIB, SECTOR, TIB, ceil_div, round_up

#: Cylinders, heads and sectors of the largest geometry of a vhd.
_CHS_MOST = (65535, 16, 255)


def estimate(plan: Plan, disk: Disk) -> int:
    """Bytes of the target file that qemu-img would write, from the disk's extents. Raises what reading raises where
    the disk refers to a file that is not followed."""
    for extent in disk.extents():
        if extent.kind == "reference":
            disk.read_at(extent.start, 1)
    name, options = plan.request.to.name, plan.options
    size = disk_size(plan) if name == "vhd" else plan.size
    if name == "luks":
        from imgtool.conversion.qemu_options import luks_header

        return luks_header(options) + round_up(size, 512)
    if name == "qed":
        cluster = _number(options, "cluster_size", 64 * KIB)
        table = cluster * _number(options, "table_size", 4)
        return cluster + table + _held(disk, table // 8 * cluster) * table + _held(disk, cluster) * cluster
    if name == "parallels":
        cluster = _number(options, "cluster_size", MIB)
        return round_up(64 + 4 * ceil_div(size, cluster), cluster) + _held(disk, cluster) * cluster
    if name == "vhdx":
        block = _number(options, "block_size", 0) or _vhdx_block(size)
        blocks = ceil_div(size, block)
        log = _number(options, "log_size", MIB)
        fixed = str(options.get("subformat", "dynamic")) == "fixed"
        data = round_up(size, 512) if fixed else _held(disk, block) * block
        return 6 * MIB + log + round_up(8 * blocks, MIB) + data
    if name in _OTHERS:
        return _OTHERS[name](disk, size, options)
    return size


def disk_size(plan: Plan) -> int:
    """Bytes that a guest sees of what qemu-img writes: those of a vhd with force_size=off are as many as the next
    geometry holds, as QEMU 7.2 looks for it; a disk that is too large for one keeps its size."""
    size = plan.foreign_size
    if plan.options.get("force_size") is not False:
        return size
    from imgtool.formats.vhd.writer import chs

    wanted = asked = size // SECTOR
    while (held := prod(chs(asked))) < wanted < prod(_CHS_MOST):
        asked += 1
    return size if held >= prod(_CHS_MOST) else held * SECTOR


def _qcow2(disk: Disk, size: int, options: dict[str, Value]) -> int:
    """Header, one reference table, blocks of counts, L1, L2 and data, in clusters; those of a LUKS header."""
    cluster = _number(options, "cluster_size", 64 * KIB)
    span = cluster // (16 if options.get("extended_l2") else 8) * cluster
    whole = options.get("preallocation", "off") != "off"
    tables = ceil_div(size, span) if whole else _held(disk, span)
    used = ceil_div(size, cluster) if whole else _held(disk, cluster)
    used += tables + 2 + ceil_div(8 * ceil_div(size, span), cluster)
    if options.get("encrypt.format", "none") != "none":
        from imgtool.conversion.qemu_options import luks_header

        inner = {name.removeprefix("encrypt."): value for name, value in options.items()}
        used += ceil_div(luks_header(inner), cluster)
    counts = cluster * 8 // _number(options, "refcount_bits", 16)
    return (used + ceil_div(used, counts - 1)) * cluster


def _qcow(disk: Disk, size: int, options: dict[str, Value]) -> int:
    """Header and L1, L2 and data."""
    cluster = 4 * KIB
    span = cluster // 8 * cluster
    head = 48 + round_up(8 * ceil_div(size, span), 512)
    return round_up(head, cluster) + (_held(disk, span) + _held(disk, cluster)) * cluster


def _vhd(disk: Disk, size: int, options: dict[str, Value]) -> int:
    """The footer, before it a copy, the header, the table, and each block with its bitmap; or all sectors."""
    block = 2 * MIB
    if options.get("subformat") == "fixed":
        return round_up(size, 512) + 512
    return 3 * 512 + round_up(4 * ceil_div(size, block), 512) + _held(disk, block) * (block + 512) + 512


def _vdi(disk: Disk, size: int, options: dict[str, Value]) -> int:
    """The header, the table, and blocks, or all of them."""
    blocks = ceil_div(size, MIB)
    return 512 + round_up(4 * blocks, 512) + (blocks if options.get("static") else _held(disk, MIB)) * MIB


def _vmdk(disk: Disk, size: int, options: dict[str, Value]) -> int:
    """Header, descriptor, two copies of directory and tables, and grains."""
    grain = 64 * KIB
    tables = ceil_div(size, 512 * grain)
    head = (1 + 20) * 512 + 2 * (round_up(4 * tables, 512) + tables * 2 * KIB)
    return round_up(head, grain) + _held(disk, grain) * grain


_OTHERS: Mapping[str, Callable[[Disk, int, dict[str, Value]], int]] = {
    "qcow2": _qcow2,
    "qcow": _qcow,
    "vhd": _vhd,
    "vdi": _vdi,
    "vmdk": _vmdk,
}


def _number(options: dict[str, Value], name: str, default: int) -> int:
    value = options.get(name, default)
    return value if isinstance(value, int) and value else default


def _held(disk: Disk, unit: int) -> int:
    """Units of the disk that are not known to be zeros."""
    return sum(ceil_div(run.length, unit) for run in runs(disk, grid=unit) if not run.zeros)


def _vhdx_block(size: int) -> int:
    """The block size that qemu-img chooses for a disk of `size` bytes."""
    if size > 32 * TIB:
        return 64 * MIB
    if size > 100 * GIB:
        return 32 * MIB
    return 16 * MIB if size > GIB else 8 * MIB
