"""How large the files become that qemu-img writes: from the units that hold data, and each format's own tables.

An estimate: units that the disk says hold data may turn out to be all zeros. References: the formats' specifications
(QED, Parallels, MS-VHDX, LUKS 1) and what qemu-img chooses where nothing is asked for.
"""

from __future__ import annotations

from imgtool.conversion.plan import Plan
from imgtool.conversion.qemu_options import luks_header
from imgtool.disks.stream import runs
from imgtool.sources.disk import Disk
from imgtool.targets.options import Value

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40


def estimate(plan: Plan, disk: Disk) -> int:
    """Bytes of the target file that qemu-img would write, from the disk's extents; nothing is read."""
    name, options, size = plan.request.to.name, plan.options, plan.size
    if name == "luks":
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
        return 6 * MIB + log + _up(8 * blocks, MIB) + (blocks if fixed else _held(disk, block)) * block
    cluster = {"qcow": 4 * KIB, "qcow2": 64 * KIB, "vmdk": 64 * KIB, "vhd": 2 * MIB, "vdi": MIB}.get(name, 4 * KIB)
    cluster = _number(options, "cluster_size", cluster)
    held = size if _preallocated(options) else _held(disk, cluster) * cluster
    return held + cluster + size // cluster * 8 + _held(disk, 512 * cluster) * cluster if name != "raw" else size


def _preallocated(options: dict[str, Value]) -> bool:
    return str(options.get("preallocation", "off")) in ("falloc", "full")


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
