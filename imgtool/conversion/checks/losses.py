"""What a conversion would lose, told before it begins. Cost of each: what the report says; nothing is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from imgtool.conversion.checks import seen
from imgtool.conversion.planned import Planned
from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits
from imgtool.model.report import Report
from imgtool.units import SECTOR, ceil_div, human_size

#: Names listed in a message.
_SHOWN = 5


def fact(report: Report, name: str) -> Any:
    """A fact of the format, by its name in `details`; None where the format has none of that name."""
    return getattr(report.details, name, None)


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


@rule("CNV001", "snapshots-lost", "warning")
def snapshots_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """Internal snapshots of the source are not in the target.

    What it checks: the source has internal snapshots, each with the disk (and perhaps the memory) of an earlier
    moment. A conversion writes one state of the disk.

    Why it matters: when the source is deleted afterwards, those states are gone.

    What to do: keep the source, or convert each snapshot that is wanted by `--snapshot NAME`.
    """
    snapshots = fact(planned.report, "snapshots") or ()
    left = [one for one in snapshots if planned.snapshot not in (one.name, one.id)]
    if left:
        states = sum(1 for one in left if one.vm_state_size)
        memory = f", {states} of them with the memory of a running machine" if states else ""
        yield snapshots_lost.at(
            f"{len(left)} internal snapshots stay behind{memory}: {_list([s.name for s in left])}"
        )


@rule("CNV002", "bitmaps-lost", "warning")
def bitmaps_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """Persistent bitmaps of the source are not in the target.

    What it checks: the qcow2 has persistent dirty bitmaps, in which a backup program keeps what changed.

    Why it matters: the next incremental backup of the converted disk has nothing to start from.

    What to do: make a full backup of the converted disk first.
    """
    bitmaps = fact(planned.report, "bitmaps") or ()
    if bitmaps:
        yield bitmaps_lost.at(
            f"{len(bitmaps)} persistent bitmaps stay behind: {_list([one.name for one in bitmaps])}"
        )


@rule("CNV003", "references-merged", "note")
def references_merged(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """What lies in other files becomes part of the target.

    What it checks: the source refers to a backing file, a parent, a data file or extents, which are followed.

    Why it matters: the target stands alone and takes the space of the whole chain; it no longer shares its base.

    What to do: nothing, where a disk that stands alone is wanted.
    """
    kinds = ("backing", "parent", "data-file", "extent")
    merged = [one for one in planned.report.references if one.kind in kinds]
    if merged:
        told = _list([f"{one.kind} {one.value}" for one in merged])
        yield references_merged.at(f"the target holds what lies in {told}")


@rule("CNV004", "compression-lost", "note")
def compression_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The source is compressed, the target is not.

    What it checks: clusters or grains of the source are compressed, and the target is written plain.

    Why it matters: the file becomes larger, often two or three times.

    What to do: `--compress zlib` or `--compress zstd` for a qcow2, `--option subformat=streamOptimized` for a vmdk.
    """
    packed = planned.compress or planned.options.get("subformat") == "streamOptimized"
    if planned.compressed and not packed:
        yield compression_lost.at(f"the source is compressed, the {planned.to} is not")


@rule("CNV005", "disk-database-lost", "note")
def disk_database_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The disk database of a vmdk is not in the target.

    What it checks: the descriptor has entries of VMware's own (`ddb.*`): adapter type, hardware version, tools
    version, uuid.

    Why it matters: a machine that is made of the converted disk may start with another disk adapter, for which the
    guest has no driver.

    What to do: note the adapter type and choose it for the new machine; for a vmdk target give
    `--option adapter_type=…`.
    """
    entries = fact(planned.report, "ddb") or ()
    if entries:
        told = _list([f"{one.key} = {one.value}" for one in entries])
        yield disk_database_lost.at(f"{len(entries)} entries of the disk database stay behind: {told}")


@rule("CNV006", "geometry-lost", "note")
def geometry_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The geometry that the source states is not in the target.

    What it checks: the source states cylinders, heads and sectors, and the target is of another format.

    Why it matters: operating systems that boot by cylinders (DOS, early Windows) may not find their partitions.

    What to do: nothing for anything newer; else set the geometry in the new machine's configuration.
    """
    geometry = seen.geometry(planned)
    if geometry is not None and planned.to != planned.report.format:
        told = f"{geometry.cylinders} cylinders, {geometry.heads} heads, {geometry.sectors} sectors"
        yield geometry_lost.at(f"the geometry stays behind: {told}")


@rule("CNV007", "disk-grows", "note")
def disk_grows(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The guest's disk becomes larger.

    What it checks: the size is rounded up, to whole sectors (which every format but raw counts in) or as `--align`
    asks.

    Why it matters: a digest of the whole disk differs, and a backup GPT no longer lies in the last sector.

    What to do: nothing for most uses; `sgdisk -e` moves a backup GPT to the new end.
    """
    size = planned.target_size
    if planned.to not in ("raw", "ami"):
        size = ceil_div(size, SECTOR) * SECTOR
    if size > planned.source_size:
        yield disk_grows.at(
            f"{planned.source_size} bytes become {size}: {size - planned.source_size} bytes of zeros more"
        )


#: Facts that name a disk among all others.
_IDENTITIES = ("unique_id", "virtual_disk_id", "image_uuid", "cid", "uuid")


@rule("CNV008", "identity-not-kept", "note")
def identity_not_kept(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The target has ids of its own.

    What it checks: the source is named by an id (UUID, CID) that its format keeps. Ids of the target are made from
    the content.

    Why it matters: children that name the source as their parent do not take the target for it, and it may be
    registered beside the source.

    What to do: nothing, where the target is a disk of its own.
    """
    told = [f"{name} {value}" for name in _IDENTITIES if (value := fact(planned.report, name))]
    if told:
        yield identity_not_kept.at(f"the target is not called {_list(told)}")


@rule("CNV009", "sector-size-lost", "warning")
def sector_size_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The disk has sectors of 4096 bytes, and the target cannot say so.

    What it checks: a vhdx states logical sectors of 4096 bytes; of the targets only vhdx knows them.

    Why it matters: partition tables and boot programs count in sectors; on a disk of 512-byte sectors they are not
    found.

    What to do: give the machine a disk with 4096-byte sectors (`logical_block_size=4096` in QEMU), or stay with vhdx.
    """
    size = fact(planned.report, "logical_sector_size")
    if isinstance(size, int) and size != SECTOR:
        yield sector_size_lost.at(f"logical sectors of {size} bytes become {SECTOR}")


@rule("CNV010", "container-left-behind", "note")
def container_left_behind(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The disk is taken out of its container.

    What it checks: the source is an appliance or an archive, of which the target holds one disk.

    Why it matters: the machine's description (memory, adapters, networks), other disks and the manifest are not in
    the target.

    What to do: keep the container, or convert every disk by `--out-dir`.
    """
    name = planned.outer.container_format
    if name in (None, "bare", "compressed"):
        return
    others = [one.path for one in planned.outer.members if one is not planned.report]
    told = f" with {_list(others)}" if others else ""
    yield container_left_behind.at(f"the {name} stays behind{told}")


@rule("CNV011", "preallocation-lost", "note")
def preallocation_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The source has its whole size on disk, the target grows.

    What it checks: the source is of a fixed kind (a fixed vhd or vhdx, a static vdi, a flat vmdk), the target is
    written without zeros.

    Why it matters: the space is no longer reserved: the guest can meet a full host disk.

    What to do: `--option preallocation=falloc` (raw, qcow2), `--option subformat=fixed` (vhd), `=static` (vdi).
    """
    fixed = fact(planned.report, "subformat") == "fixed" or fact(planned.report, "image_type") == "static"
    flat = "flat" in str(fact(planned.report, "create_type") or "").lower()
    kept = planned.options.get("preallocation", "off") not in ("off", "metadata")
    kept = kept or planned.options.get("subformat") in ("fixed", "static")
    if (fixed or flat) and not kept:
        yield preallocation_lost.at(f"the space of {human_size(planned.source_size)} is not reserved any more")


@rule("CNV012", "partitions-left-out", "warning")
def partitions_left_out(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """A machine image holds the root file system alone.

    What it checks: the disk has partitions beside the root file system (an EFI system partition, a BIOS boot
    partition), which an ami does without.

    Why it matters: the image starts only where the kernel comes from outside (aki, ari), not as a disk.

    What to do: convert to raw where the whole disk is wanted.
    """
    if planned.left_out:
        told = _list([f"{one.number} ({one.type_name or one.type})" for one in planned.left_out])
        yield partitions_left_out.at(f"partitions stay behind: {told}")


@rule("CNV013", "current-state-left-behind", "note")
def current_state_left_behind(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The target is a snapshot, not the current disk.

    What it checks: `--snapshot` names what is converted.

    Why it matters: what was written after that snapshot is not in the target.

    What to do: nothing, where that snapshot is wanted; leave `--snapshot` out for the current state.
    """
    if planned.snapshot is not None:
        yield current_state_left_behind.at(f"the target is the snapshot {planned.snapshot}, not the current disk")


@rule("CNV014", "subclusters-lost", "note")
def subclusters_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The source tells smaller pieces apart than the target does.

    What it checks: the qcow2 has extended L2 entries: 32 subclusters a cluster.

    Why it matters: on the target, small writes over a backing file copy more, and small holes take a whole cluster.

    What to do: a smaller `--option cluster_size=…`, or `--engine qemu-img --option extended_l2=on`.
    """
    if fact(planned.report, "extended_l2") and not planned.options.get("extended_l2"):
        yield subclusters_lost.at("extended L2 entries (subclusters) become plain ones")


LOSSES = (
    snapshots_lost,
    bitmaps_lost,
    references_merged,
    compression_lost,
    disk_database_lost,
    geometry_lost,
    disk_grows,
    identity_not_kept,
    sector_size_lost,
    container_left_behind,
    preallocation_lost,
    partitions_left_out,
    current_state_left_behind,
    subclusters_lost,
)
