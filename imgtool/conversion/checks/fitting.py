"""CNV: how the disk fits into the target. Cost of each: what the plan says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from imgtool.conversion.checks import seen
from imgtool.conversion.planned import Planned
from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits
from imgtool.units import GIB, KIB, MIB, SECTOR, TIB, ceil_div, human_size

#: Types of vmdk extents that hold every byte of the disk.
_FLAT = frozenset({"FLAT", "VMFS"})

#: What VMware's products take at most (vSphere, "Configuration Maximums": virtual disk size).
_VMWARE_MOST = 62 * TIB

#: Clusters of a Parallels disk that QEMU takes at most.
_PARALLELS_CLUSTERS = 1 << 32


@rule("CNV007", "disk-grows", "note")
def disk_grows(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The guest's disk becomes larger.

    What it checks: the size is rounded up: to whole sectors (which every format but raw counts in), as `--align`
    asks, or to what a geometry can tell (a vhd with `force_size=off`).

    Why it matters: a digest of the whole disk differs, and a backup GPT no longer lies in the last sector.

    What to do: nothing for most uses; `sgdisk -e` moves a backup GPT to the new end.
    """
    if planned.options.get("force_size") is False:
        yield disk_grows.at(f"{planned.source_size} bytes become as many as the next geometry holds")
        return
    size = planned.target_size
    if planned.to not in ("raw", "ami"):
        unit = _number(planned, "align", 0) or SECTOR
        size = ceil_div(size, unit) * unit
    if size > planned.source_size:
        added = size - planned.source_size
        yield disk_grows.at(f"{planned.source_size} bytes become {size}: {seen.counted(added, 'byte')} of zeros more")


@rule("CNV009", "sector-size-lost", "warning")
def sector_size_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The disk has sectors of 4096 bytes, and the target cannot say so.

    What it checks: a vhdx states logical sectors of 4096 bytes. A raw image says nothing of sectors; every other
    target, a new vhdx too, has sectors of 512 bytes.

    Why it matters: partition tables and boot programs count in sectors; on a disk of 512-byte sectors they are not
    found.

    What to do: give the machine a disk with 4096-byte sectors (`logical_block_size=4096` in QEMU), or keep the vhdx.
    """
    facts = seen.vhdx(planned)
    if facts is None or facts.logical_sector_size in (None, SECTOR):
        return
    becomes = "are not in a raw image" if planned.to in ("raw", "ami") else f"become {SECTOR}"
    yield sector_size_lost.at(
        f"logical sectors of {facts.logical_sector_size} bytes {becomes}", field="logical_sector_size"
    )


@rule("CNV011", "preallocation-lost", "note")
def preallocation_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The source has its whole size on disk, the target grows.

    What it checks: the source is of a fixed kind (a fixed vhd or vhdx, a static vdi, a flat vmdk that is not thin),
    the target is written without zeros.

    Why it matters: the space is no longer reserved: the guest can meet a full host disk.

    What to do: `--option preallocation=falloc` (raw, qcow2), `--option subformat=fixed` (vhd), `=static` (vdi).
    """
    options = planned.options
    kept = options.get("preallocation", "off") not in ("off", "metadata") or options.get("static") is True
    kept = kept or options.get("subformat") in ("fixed", "static")
    if not kept and _whole(planned):
        yield preallocation_lost.at(f"the space of {human_size(planned.source_size)} is not reserved any more")


def _whole(planned: Planned) -> bool:
    """True where the source holds every byte of the disk."""
    if (ware := seen.vmdk(planned)) is not None:
        thin = any(one.key.lower() == "ddb.thinprovisioned" and one.value == "1" for one in ware.ddb)
        return bool(ware.extents) and not thin and all(one.type in _FLAT for one in ware.extents)
    if (box := seen.vdi(planned)) is not None:
        return box.image_type == "static"
    hard = seen.vhd(planned) or seen.vhdx(planned)
    return hard is not None and hard.subformat == "fixed"


class _Most(NamedTuple):
    """The largest disk, in bytes; `cure` is what would take a larger one."""

    size: int
    cure: str


@rule("CNV201", "size-over-target-limit", "error")
def size_over_target_limit(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The disk is larger than the target's format can hold.

    What it checks: the virtual size is at most what the format counts to with its options: vhd 2040 GiB, vhdx 64
    TiB, vdi and Parallels as many as their tables count blocks, qcow2 and qed as many as their L1 tables have room
    for, vmdk as many as its grain directory has. A warning for a vmdk of more than 62 TiB, which VMware's products
    do not take.

    Why it matters: nobody could read the end of the disk; the engines refuse it, some of them late.

    What to do: another format (qcow2, vhdx, raw), or larger clusters or blocks where the message says so.
    """
    size, most = planned.target_size, _most(planned, limits)
    if most is not None and size > most.size:
        hint = f" ({most.cure} takes more)" if most.cure else ""
        yield size_over_target_limit.at(f"the disk has {size} bytes, a {planned.to} holds at most {most.size}{hint}")
    elif planned.to == "vmdk" and size > _VMWARE_MOST:
        yield size_over_target_limit.at(
            f"the disk has {size} bytes, VMware's products take at most {_VMWARE_MOST}", severity="warning"
        )


def _most(planned: Planned, limits: Limits) -> _Most | None:
    """The largest disk of the target's format with its options; None where there is no limit to speak of."""
    if planned.to == "vhd":
        return _Most(limits.vhd_size, "")
    if planned.to == "vhdx":
        return _Most(limits.vhdx_size, "")
    if planned.to == "vdi":
        block = _number(planned, "block_size", MIB)
        return _Most(limits.vdi_blocks_written * block, _larger("block_size", block, limits.vdi_block))
    if planned.to == "vmdk":
        return _Most(limits.vmdk_directory * 512 * _number(planned, "grain_size", 64 * KIB), "")
    cluster = _number(planned, "cluster_size", MIB if planned.to == "parallels" else 64 * KIB)
    if planned.to == "qcow2":
        entry = 16 if planned.options.get("extended_l2") else 8
        most = limits.qcow2_l1_table // 8 * (cluster // entry) * cluster
        return _Most(most, _larger("cluster_size", cluster, 2 * MIB))
    if planned.to == "qed":
        entries = cluster * _number(planned, "table_size", 4) // 8
        return _Most(entries * entries * cluster, _larger("cluster_size", cluster, 64 * MIB))
    if planned.to == "parallels":
        return _Most(_PARALLELS_CLUSTERS * cluster - SECTOR, _larger("cluster_size", cluster, GIB))
    return None


def _larger(option: str, value: int, most: int) -> str:
    """What takes a larger disk, where the option can have more than its value."""
    return f"a larger {option}" if value < most else ""


def _number(planned: Planned, name: str, default: int) -> int:
    """The value of an option that is a number; the default where it is not given, or left to the engine."""
    return int(planned.options.get(name, 0)) or default


@rule("CNV501", "optical-disc-as-disk", "warning")
def optical_disc_as_disk(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """An image of an optical disc becomes a hard disk.

    What it checks: the source is a disc image (ISO 9660, or UDF with blocks of 2048 bytes) without a partition table,
    and the target is a format of hard disks. A raw target has the same bytes and is a disc image, too.

    Why it matters: machines attach the target as a hard disk with sectors of 512 bytes, from which El Torito does not
    boot; registered as iso it would be a CD-ROM.

    What to do: keep the disc image as it is, or attach the target as a CD-ROM explicitly.

    References: "El Torito" Bootable CD-ROM Format Specification 1.0.
    """
    report = planned.report
    if planned.to in ("raw", "ami") or report.format != "iso" or "raw" in report.disk_formats:
        return
    from imgtool.formats.iso.facts import IsoFacts

    details = seen.facts(planned, "iso")
    if not isinstance(details, IsoFacts):
        return
    disc = details.kind != "udf" or (details.udf is not None and details.udf.block_size == 2048)
    if disc:
        boots = ", which boots by El Torito," if details.el_torito is not None else ""
        yield optical_disc_as_disk.at(f"the disc image ({details.kind}){boots} becomes a hard disk")


RULES = (disk_grows, sector_size_lost, preallocation_lost, size_over_target_limit, optical_disc_as_disk)
