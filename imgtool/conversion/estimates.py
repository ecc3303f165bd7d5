"""How large the files become that qemu-img writes: from the units that hold data, and each format's own tables.

An estimate: units that the disk says hold data may turn out to be all zeros. References: the formats' specifications,
and what qemu-img chooses where nothing is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from imgtool.conversion.plan import Plan
from imgtool.disks.stream import runs
from imgtool.sources.disk import Disk
from imgtool.targets.options import Value

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40


def estimate(plan: Plan, disk: Disk) -> int:
    """Bytes of the target file that qemu-img would write, from the disk's extents. Raises what reading raises where
    the disk refers to a file that is not followed."""
    for extent in disk.extents():
        if extent.kind == "reference":
            disk.read_at(extent.start, 1)
    name, options, size = plan.request.to.name, plan.options, plan.size
    if name == "luks":
        from imgtool.conversion.qemu_options import luks_header

        return luks_header(options) + _up(size, 512)
    if name == "qed":
        cluster = _number(options, "cluster_size", 64 * KIB)
        table = cluster * _number(options, "table_size", 4)
        return cluster + table + _held(disk, table // 8 * cluster) * table + _held(disk, cluster) * cluster
    if name == "parallels":
        cluster = _number(options, "cluster_size", MIB)
        return _up(64 + 4 * -(-size // cluster), cluster) + _held(disk, cluster) * cluster
    if name == "vhdx":
        block = _number(options, "block_size", 0) or _vhdx_block(size)
        blocks = -(-size // block)
        log = _number(options, "log_size", MIB)
        fixed = str(options.get("subformat", "dynamic")) == "fixed"
        return 6 * MIB + log + _up(8 * blocks, MIB) + (_up(size, 512) if fixed else _held(disk, block) * block)
    if name in _OTHERS:
        return _OTHERS[name](disk, size, options)
    return size


def _qcow2(disk: Disk, size: int, options: dict[str, Value]) -> int:
    """Header, one reference table, blocks of counts, L1, L2 and data, in clusters."""
    cluster = _number(options, "cluster_size", 64 * KIB)
    span = cluster // (16 if options.get("extended_l2") else 8) * cluster
    whole = options.get("preallocation", "off") != "off"
    tables = -(-size // span) if whole else _held(disk, span)
    used = -(-size // cluster) if whole else _held(disk, cluster)
    used += tables + 2 + -(-8 * -(-size // span) // cluster)
    counts = cluster * 8 // _number(options, "refcount_bits", 16)
    return (used + -(-used // (counts - 1))) * cluster


def _qcow(disk: Disk, size: int, options: dict[str, Value]) -> int:
    """Header and L1, L2 and data."""
    cluster = 4 * KIB
    span = cluster // 8 * cluster
    head = 48 + _up(8 * -(-size // span), 512)
    return _up(head, cluster) + (_held(disk, span) + _held(disk, cluster)) * cluster


def _vhd(disk: Disk, size: int, options: dict[str, Value]) -> int:
    """The footer, before it a copy, the header, the table, and each block with its bitmap; or all sectors."""
    block = 2 * MIB
    if options.get("subformat") == "fixed":
        return _up(size, 512) + 512
    return 3 * 512 + _up(4 * -(-size // block), 512) + _held(disk, block) * (block + 512) + 512


def _vdi(disk: Disk, size: int, options: dict[str, Value]) -> int:
    """The header, the table, and blocks, or all of them."""
    blocks = -(-size // MIB)
    return 512 + _up(4 * blocks, 512) + (blocks if options.get("static") else _held(disk, MIB)) * MIB


def _vmdk(disk: Disk, size: int, options: dict[str, Value]) -> int:
    """Header, descriptor, two copies of directory and tables, and grains."""
    grain = 64 * KIB
    tables = -(-size // (512 * grain))
    head = (1 + 20) * 512 + 2 * (_up(4 * tables, 512) + tables * 2 * KIB)
    return _up(head, grain) + _held(disk, grain) * grain


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
    return sum(-(-run.length // unit) for run in runs(disk, grid=unit) if not run.zeros)


def _up(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def _vhdx_block(size: int) -> int:
    """The block size that qemu-img chooses for a disk of `size` bytes."""
    if size > 32 * TIB:
        return 64 * MIB
    if size > 100 * GIB:
        return 32 * MIB
    return 16 * MIB if size > GIB else 8 * MIB
