"""CNV: what the source's format says of the disk. Cost of each: what the report says."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.conversion.checks import seen
from imgtool.conversion.planned import Planned
from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits
from imgtool.targets.options import Value
from imgtool.units import KIB, MIB, SECTOR

#: Entries of the disk database that are said elsewhere: the geometry (CNV006), and ids (CNV008).
_GEOMETRY = "ddb.geometry."
_IDS = ("ddb.uuid", "ddb.longcontentid")

#: Entries that a vmdk target has, too, and the option that says what.
_BY_OPTION = {
    "ddb.adaptertype": "adapter_type",
    "ddb.virtualhwversion": "hwversion",
    "ddb.toolsversion": "toolsversion",
}

#: What stands for "no tools": 0, and what QEMU and others write.
_NO_TOOLS = ("", "0", "2147483647")


@rule("CNV005", "disk-database-lost", "note")
def disk_database_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The disk database of a vmdk is not in the target.

    What it checks: the descriptor has entries of VMware's own (`ddb.*`): adapter type, hardware version, tools
    version and others. A vmdk target has the first three from its options. A warning where it gets another adapter
    than the source names.

    Why it matters: a machine that is made of the converted disk may start with another disk adapter, for which the
    guest has no driver.

    What to do: note the adapter type and choose it for the new machine; for a vmdk target give
    `--option adapter_type=…` and `--option hwversion=…`.
    """
    facts = seen.vmdk(planned)
    if facts is None:
        return
    left: list[str] = []
    for entry in facts.ddb:
        key, value = entry.key.lower(), entry.value
        elsewhere = key.startswith(_GEOMETRY) or key.startswith(_IDS)
        if elsewhere or (key == "ddb.toolsversion" and value in _NO_TOOLS):
            continue
        option = _BY_OPTION.get(key)
        given = _given(planned, option) if option is not None and planned.to == "vmdk" else None
        if given is not None and given.lower() == value.lower():
            continue
        if given and option == "adapter_type":
            yield disk_database_lost.at(
                f"the adapter {value} becomes {given} (--option adapter_type={value} keeps it)",
                field=entry.key,
                severity="warning",
            )
        else:
            left.append(f"{entry.key} = {value}")
    if left:
        stay = "entry of the disk database stays" if len(left) == 1 else "entries of the disk database stay"
        yield disk_database_lost.at(f"{len(left)} {stay} behind: {seen.listed(left)}")


def _given(planned: Planned, option: str) -> str:
    """The value that a vmdk gets for an option; 0 leaves the hardware version to QEMU, which takes 4 or 6."""
    value = planned.options.get(option, "")
    if option == "hwversion" and value == 0:
        return "6" if planned.options.get("compat6") else "4"
    return str(value)


@rule("CNV006", "geometry-lost", "note")
def geometry_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The geometry that the source states is not in the target.

    What it checks: the source states cylinders, heads and sectors, and the target states none, or those that follow
    from its size and are others.

    Why it matters: operating systems that boot by cylinders (DOS, early Windows) may not find their partitions.

    What to do: nothing for anything newer; else set the geometry in the new machine's configuration.
    """
    geometry = seen.geometry(planned)
    if geometry is not None and not _computed(planned, geometry):
        told = " × ".join(str(number) for number in geometry)
        yield geometry_lost.at(f"the geometry stays behind: {told} (cylinders, heads, sectors)")


def _computed(planned: Planned, geometry: seen.Chs) -> bool:
    """True where the target states that geometry, too: one of the same format, which computes it of the size."""
    if planned.to != planned.report.format:
        return False
    sectors = planned.target_size // SECTOR
    if planned.to == "vhd":
        from imgtool.formats.vhd.writer import chs

        return tuple(chs(sectors)) == tuple(geometry)
    if planned.to == "vmdk":
        from imgtool.formats.vmdk.write.descriptor import chs as of_adapter

        return tuple(of_adapter(sectors, str(planned.options.get("adapter_type")))) == tuple(geometry)
    return (geometry.heads, geometry.sectors) == (16, 63)


@rule("CNV008", "identity-not-kept", "note")
def identity_not_kept(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The target has ids of its own.

    What it checks: the source is named by an id (UUID, CID) that its format keeps, with who made it and when. Ids of
    a target, where its format has some, are made from the content.

    Why it matters: children that name the source as their parent do not take the target for it, and it may be
    registered beside the source.

    What to do: nothing, where the target is a disk of its own.
    """
    told = [f"{name} {value}" for name, value in _identity(planned) if value and value.strip("0-")]
    if told:
        yield identity_not_kept.at(f"not carried over: {seen.listed(told)}")


def _identity(planned: Planned) -> Iterator[tuple[str, str | None]]:
    """What names the source among all disks."""
    if (old := seen.vhd(planned)) is not None:
        yield from (("unique id", old.unique_id), ("made", old.created), ("by", old.creator_application.strip()))
    elif (new := seen.vhdx(planned)) is not None:
        yield from (("virtual disk id", new.virtual_disk_id), ("by", new.creator))
    elif (box := seen.vdi(planned)) is not None:
        yield from (("image uuid", box.image_uuid), ("by", box.creator))
    elif (ware := seen.vmdk(planned)) is not None:
        yield "CID", ware.cid
        yield from ((entry.key, entry.value) for entry in ware.ddb if entry.key.lower().startswith(_IDS))


@rule("CNV014", "subclusters-lost", "note")
def subclusters_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The source tells smaller pieces apart than the target does.

    What it checks: the qcow2 has extended L2 entries, 32 subclusters a cluster, and the qcow2 that is written has
    plain ones.

    Why it matters: on the target, small writes over a backing file copy more, and small holes take a whole cluster.

    What to do: a smaller `--option cluster_size=…`, or `--engine qemu-img --option extended_l2=on`.
    """
    facts = seen.qcow2(planned)
    kept = planned.to != "qcow2" or bool(planned.options.get("extended_l2"))
    if facts is not None and facts.extended_l2 and not kept:
        yield subclusters_lost.at("extended L2 entries (subclusters) become plain ones")


@rule("CNV017", "annotations-lost", "note")
def annotations_lost(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """What people or programs have written into the source's headers is not in the target.

    What it checks: the comment of a vdi, name and description of a COWD vmdk, metadata that a user has put into a
    vhdx, extensions of a qcow2 or Parallels disk that are not the format's own.

    Why it matters: they may say what the disk is, or belong to a program that expects them again.

    What to do: write down what is worth keeping; `imgtool inspect` shows it.
    """
    told: list[str] = []
    if (box := seen.vdi(planned)) is not None and box.comment:
        told.append(f"the comment {box.comment!r}")
    elif (ware := seen.vmdk(planned)) is not None and ware.cowd is not None:
        told += [f"the name {ware.cowd.name!r}"] if ware.cowd.name else []
        told += [f"the description {ware.cowd.description!r}"] if ware.cowd.description else []
    elif (new := seen.vhdx(planned)) is not None:
        told += [f"the metadata {one.id}" for one in new.metadata if one.user]
    elif (facts := seen.qcow2(planned)) is not None:
        told += [f"the extension {one.type:#010x}" for one in facts.extensions if one.name.startswith("unknown-")]
    elif (disk := seen.parallels(planned)) is not None and disk.extension is not None:
        told += [f"the extension {one.name}" for one in disk.extension.features if one.bitmap is None]
    if told:
        yield annotations_lost.at(f"not carried over: {seen.listed(told)}")


@rule("CNV018", "settings-not-kept", "note")
def settings_not_kept(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The target is of the same format with other settings.

    What it checks: where the format stays the same: the size of clusters, grains or blocks, and of a qcow2 its
    version, reference count bits and lazy reference counts, are as in the source.

    Why it matters: somebody may have chosen them, for speed or for an old program; the target has what its options
    say, and these have defaults.

    What to do: name those that matter as `--option`.
    """
    if planned.to != planned.report.format:
        return
    told = [
        f"{name} {_said(there)} becomes {_said(here)}"
        for name, there, here in _settings(planned)
        if there is not None and here != there and (here or isinstance(here, bool))
    ]
    if told:
        yield settings_not_kept.at("; ".join(told))


def _said(value: Value) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _settings(planned: Planned) -> Iterator[tuple[str, Value | None, Value]]:
    """Settings of the source and of a target of the same format; 0 where the engine chooses."""
    options = planned.options
    if (facts := seen.qcow2(planned)) is not None:
        old = "0.10" if options.get("compat") in ("0.10", "v2") else "1.1"
        yield "compat", facts.compat, old
        yield "cluster_size", facts.cluster_size, options.get("cluster_size", 64 * KIB)
        yield "refcount_bits", facts.refcount_bits, options.get("refcount_bits", 16)
        yield "lazy_refcounts", facts.lazy_refcounts, options.get("lazy_refcounts", False)
    elif (ware := seen.vmdk(planned)) is not None:
        yield "grain_size", ware.cluster_size, options.get("grain_size", 64 * KIB)
    elif (hard := seen.vhd(planned)) is not None and options.get("subformat") == "dynamic":
        yield "block_size", hard.block_size, options.get("block_size", 2 * MIB)
    elif (new := seen.vhdx(planned)) is not None:
        yield "block_size", new.block_size, options.get("block_size", 0)
    elif (box := seen.vdi(planned)) is not None:
        yield "block_size", box.cluster_size, options.get("block_size", MIB)
    elif (disk := seen.parallels(planned)) is not None:
        yield "cluster_size", disk.cluster_size, options.get("cluster_size", MIB)


RULES = (
    disk_database_lost,
    geometry_lost,
    identity_not_kept,
    subclusters_lost,
    annotations_lost,
    settings_not_kept,
)
