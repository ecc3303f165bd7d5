"""CNV: what the source holds beside the disk that is converted. Cost of each: what the report says."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.conversion.checks import seen
from imgtool.conversion.planned import Planned
from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits


@rule("CNV001", "snapshots-lost", "warning")
def snapshots_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """Internal snapshots of the source are not in the target.

    What it checks: the source has internal snapshots, each with the disk (and perhaps the memory) of an earlier
    moment. A conversion writes one state of the disk.

    Why it matters: when the source is deleted afterwards, those states are gone.

    What to do: keep the source, or convert each snapshot that is wanted by `--snapshot NAME`.
    """
    facts = seen.qcow2(planned)
    if facts is None:
        return
    left = [one for one in facts.snapshots if planned.snapshot not in (one.name, one.id)]
    count = len(left) + facts.nb_snapshots - len(facts.snapshots)
    if count <= 0:
        return
    states = sum(1 for one in left if one.vm_state_size)
    memory = f", {states} of them with the memory of a running machine" if states else ""
    stay = "stays" if count == 1 else "stay"
    told = f": {seen.listed([one.name or one.id for one in left])}" if left else ""
    yield snapshots_lost.at(f"{seen.counted(count, 'internal snapshot')} {stay} behind{memory}{told}")


@rule("CNV002", "bitmaps-lost", "warning")
def bitmaps_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """Persistent bitmaps of the source are not in the target.

    What it checks: the qcow2 or Parallels disk has persistent dirty bitmaps, in which a backup program keeps what
    changed.

    Why it matters: the next incremental backup of the converted disk has nothing to start from.

    What to do: make a full backup of the converted disk first.
    """
    names: list[str] = []
    count = 0
    if (facts := seen.qcow2(planned)) is not None:
        names = [one.name for one in facts.bitmaps]
        count = facts.bitmaps_extension.nb_bitmaps if facts.bitmaps_extension is not None else 0
    elif (disk := seen.parallels(planned)) is not None and disk.extension is not None:
        names = [one.bitmap.id for one in disk.extension.features if one.bitmap is not None]
    count = max(count, len(names))
    if count:
        stay = "stays" if count == 1 else "stay"
        told = f": {seen.listed(names)}" if names else ""
        yield bitmaps_lost.at(f"{seen.counted(count, 'persistent bitmap')} {stay} behind{told}")


@rule("CNV003", "references-merged", "note")
def references_merged(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """What lies in other files becomes part of the target.

    What it checks: the source refers to a backing file, a parent, a data file or extents, which are followed.

    Why it matters: the target stands alone and takes the space of the whole chain; it no longer shares its base.

    What to do: nothing, where a disk that stands alone is wanted.
    """
    kinds = ("backing", "parent", "data-file", "extent")
    merged = [one for one in planned.report.references if one.kind in kinds and seen.is_itself(planned)]
    if merged:
        told = seen.listed(list(dict.fromkeys(f"{one.kind} {one.value}" for one in merged)))
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


@rule("CNV013", "current-state-left-behind", "note")
def current_state_left_behind(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The target is a snapshot, not the current disk.

    What it checks: `--snapshot` names what is converted.

    Why it matters: what was written after that snapshot is not in the target.

    What to do: nothing, where that snapshot is wanted; leave `--snapshot` out for the current state.
    """
    if planned.snapshot is not None:
        yield current_state_left_behind.at(f"the target is the snapshot {planned.snapshot}, not the current disk")


@rule("CNV015", "change-tracking-lost", "warning")
def change_tracking_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """What keeps track of the disk's changes beside it does not go with it.

    What it checks: the vmdk names a change tracking file (changeTrackPath) or sidecars of filters, which lie beside
    it and are no part of the guest's disk.

    Why it matters: the next incremental backup of the converted disk has nothing to start from; what a filter kept
    in its sidecar (a cache, a replica's state) is not written back by converting.

    What to do: let the filters end and make a full backup of the converted disk first.

    References: VMware, "Virtual Disk Format 5.0"; the vSphere Virtual Disk Development Kit on changed block tracking.
    """
    kinds = ("change-tracking", "sidecar")
    beside = [one for one in planned.report.references if one.kind in kinds and seen.is_itself(planned)]
    if beside:
        told = seen.listed([f"{one.kind} {one.value}" for one in beside])
        yield change_tracking_lost.at(f"not carried over: {told}", offset=beside[0].offset, length=beside[0].length)


@rule("CNV016", "machine-state-lost", "warning")
def machine_state_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The disk is of a machine that was saved while it ran.

    What it checks: the footer of the vhd says that the machine is in a saved state. Its memory lies in another file,
    which a conversion does not take.

    Why it matters: the disk is what it was in mid-run: writes that the guest had not yet made are not in the target,
    and it starts as after a power cut.

    What to do: resume the machine, shut it down, and convert then.

    References: "Virtual Hard Disk Image Format Specification" 1.0, "Hard Disk Footer Format", Saved State.
    """
    facts = seen.vhd(planned)
    if facts is not None and facts.saved_state:
        yield machine_state_lost.at("the machine is in a saved state, whose memory stays behind", field="saved_state")


RULES = (
    snapshots_lost,
    bitmaps_lost,
    references_merged,
    compression_lost,
    current_state_left_behind,
    change_tracking_lost,
    machine_state_lost,
)
