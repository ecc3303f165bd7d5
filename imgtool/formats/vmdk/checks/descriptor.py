"""VMDK, 02x: the descriptor. Cost of each: its text, which the reader has taken apart."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.vmdk.facts import Descriptor, VmdkFacts
from imgtool.formats.vmdk.told import content_number
from imgtool.limits import Limits
from imgtool.units import SECTOR

#: Types of disks that exist, in lower case, and the types of extents that each may have (None: any).
CREATE_TYPES: dict[str, tuple[str, ...] | None] = {
    "monolithicsparse": ("SPARSE",),
    "streamoptimized": ("SPARSE",),
    "monolithicflat": ("FLAT",),
    "twogbmaxextentsparse": ("SPARSE",),
    "2gbmaxextentsparse": ("SPARSE",),
    "twogbmaxextentflat": ("FLAT",),
    "2gbmaxextentflat": ("FLAT",),
    "fulldevice": ("FLAT",),
    "partitioneddevice": ("FLAT",),
    "vmfs": ("VMFS", "FLAT"),
    "vmfspreallocated": ("VMFS", "FLAT"),
    "vmfseagerzeroedthick": ("VMFS", "FLAT"),
    "vmfsthin": ("VMFS", "VMFSSPARSE", "FLAT"),
    "vmfssparse": ("VMFSSPARSE",),
    "vmfsrdm": ("VMFSRDM",),
    "vmfsrdmp": ("VMFSRDM",),
    "vmfsrawdevicemap": ("VMFSRDM",),
    "vmfspassthroughrawdevicemap": ("VMFSRDM",),
    "vmfsraw": ("VMFSRAW",),
    "sesparse": ("SESPARSE",),
    "vsansparse": ("VSANSPARSE",),
    "custom": None,
}


def descriptors(facts: VmdkFacts) -> Iterator[Descriptor]:
    """The descriptor, and the second one where two places have one."""
    if facts.parsed is not None:
        yield facts.parsed
    if facts.second is not None:
        yield facts.second


@rule("VMD020", "vmdk-descriptor-misplaced", "error")
def misplaced(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The descriptor is outside the file, or far larger than one is.

    What it checks: an embedded descriptor ends inside the file; a descriptor has at most 1 MiB
    (`limits.vmdk_descriptor`).

    Why it matters: readers that trust the size allocate it, or read a part and miss the rest.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: VMware "Virtual Disk Format 5.0", section "Hosted Sparse Extents", descriptorOffset.
    """
    size, offset = facts.file_size, None
    header = facts.header
    if header is not None:
        at, size, offset = header.descriptorOffset * SECTOR, header.descriptorSize * SECTOR, 28
        if at and size and at + size > facts.file_size:
            message = f"the descriptor of {size} bytes at {at} ends at {at + size}, the file at {facts.file_size}"
            yield misplaced.at(message, field="descriptorOffset", offset=offset, length=16)
    elif facts.kind != "descriptor":
        return
    if size > limits.vmdk_descriptor:
        message = f"a descriptor of {size} bytes is over the cap of {limits.vmdk_descriptor}"
        yield misplaced.at(message, field="descriptor", offset=offset)


@rule("VMD021", "vmdk-descriptor-not-text", "error")
def not_text(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The descriptor has bytes that no text has.

    What it checks: up to its end (the first NUL) a descriptor has no control characters but tab, CR and LF.

    Why it matters: readers differ in where they stop and what they skip.

    What to do: take a fresh copy of the image.

    References: VMware "Virtual Disk Format 5.0", section "The Descriptor File".
    """
    for parsed in descriptors(facts):
        if parsed.control is not None:
            yield not_text.at("a control character stands in the descriptor", offset=parsed.control, length=1)


@rule("VMD022", "vmdk-descriptor-key-repeated", "error")
def repeated(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """A key stands in the descriptor more than once.

    What it checks: every key stands once, whatever its case and quotes; createType, CID, parentCID and
    parentFileNameHint stand once anywhere, in comments and behind the end too.

    Why it matters: some readers take the first, some the last, and some find one in a comment: the same file is
    two disks (CVE-2024-32498 and its kin).

    What to do: convert the image again with a program that you trust, naming the source format.

    References: QEMU block/vmdk.c, vmdk_parse_description.
    """
    for parsed in descriptors(facts):
        for key in parsed.repeated:
            yield repeated.at(f"{key.key} stands {key.times} times", field=key.key, offset=key.offset)


@rule("VMD023", "vmdk-descriptor-incomplete", "error")
def incomplete(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The descriptor lacks a line that every descriptor has, or it does not hold.

    What it checks: createType is there; CID and parentCID are there, as one to eight hexadecimal digits.

    Why it matters: readers refuse such an image, or guess what kind of disk it is and whether it has a parent.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: VMware "Virtual Disk Format 5.0", section "The Descriptor File", header.
    """
    for parsed in descriptors(facts):
        if parsed.value("createType") is None:
            yield incomplete.at("the descriptor has no createType", field="createType", offset=parsed.place.offset)
        for key in ("CID", "parentCID"):
            value = parsed.value(key)
            if content_number(value) is None:
                message = f"the descriptor has no {key}" if value is None else f"{key} is {value!r}"
                yield incomplete.at(message, field=key, offset=parsed.place.offset)


@rule("VMD024", "vmdk-unknown-create-type", "error")
def unknown_type(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The type of the disk is not one that exists, or does not go with the file.

    What it checks: createType is one that VMware's products write; inside a sparse extent it is streamOptimized where
    the grains are compressed and monolithicSparse where they are not.

    Why it matters: readers choose by it how they look for the disk's data.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: VMware "Virtual Disk Format 5.0", section "The Descriptor File", createType.
    """
    name = facts.create_type
    if name is None:
        return
    if name.lower() not in CREATE_TYPES:
        yield unknown_type.at(f"createType is {name!r}", field="createType")
    elif facts.kind == "sparse":
        expected = "streamOptimized" if facts.compressed else "monolithicSparse"
        if name.lower() != expected.lower():
            yield unknown_type.at(f"createType is {name!r} in a file that is {expected}", field="createType")


@rule("VMD025", "vmdk-descriptors-differ", "error")
def two_descriptors(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """Two descriptors stand where readers look for one, and they differ.

    What it checks: where the header does not place the descriptor at sector 1 and one stands there all the same, both
    say the same.

    Why it matters: some readers go by the header, some always read sector 1: they open different disks.

    What to do: convert the image again with a program that you trust, naming the source format.

    References: QEMU block/vmdk.c, vmdk_open (desc_offset).
    """
    first, second = facts.parsed, facts.second
    if second is None:
        return
    if first is None:
        message = "a descriptor stands at sector 1, the header places it elsewhere or nowhere"
        yield two_descriptors.at(message, field="descriptorOffset", offset=28, length=8)
    elif (first.entries, _lines(first)) != (second.entries, _lines(second)):
        message = f"the descriptor at byte {first.place.offset} and the one at {second.place.offset} differ"
        yield two_descriptors.at(message, field="descriptorOffset", offset=28, length=8)


def _lines(parsed: Descriptor) -> list[tuple[object, ...]]:
    return [extent[:5] for extent in (*parsed.extents, *parsed.stray)]


@rule("VMD026", "vmdk-readers-disagree", "error")
def disagree(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """A reader that searches the bytes takes another value than one that reads lines.

    What it checks: what follows the first letters `createType` and `parentFileNameHint`, wherever they stand, is the
    value of the line of that key; the text of an embedded descriptor ends inside the room that the header gives it.

    Why it matters: what one program inspects is not what the other opens.

    What to do: convert the image again with a program that you trust, naming the source format.

    References: QEMU block/vmdk.c, vmdk_parse_description, vmdk_parent_open.
    """
    for parsed in descriptors(facts):
        for hidden in parsed.hidden:
            told = parsed.value(hidden.key)
            message = f"{hidden.key} is {told!r} to a reader of lines, {hidden.value!r} to one that searches"
            yield disagree.at(message, field=hidden.key, offset=hidden.offset)
        if parsed.place.length > parsed.place.room:
            message = f"the text has {parsed.place.length} bytes or more, the header gives it {parsed.place.room}"
            yield disagree.at(message, field="descriptorSize", offset=parsed.place.offset)


@rule("VMD027", "vmdk-bytes-after-descriptor", "warning")
def after_the_end(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """Bytes stand behind the end of the descriptor.

    What it checks: between the first NUL of a descriptor and the end of its room there are only NULs, but for up to
    7 bytes of the text's own end, which a content ID of fewer digits than the one before it leaves.

    Why it matters: a reader that does not stop at the NUL reads more than another; old or hidden text may be there.

    What to do: convert the image again; what stands there does not belong to the disk.

    References: VMware "Virtual Disk Format 5.0", section "The Descriptor File".
    """
    for parsed in descriptors(facts):
        if parsed.after is not None:
            yield after_the_end.at("bytes stand behind the end of the descriptor", offset=parsed.after)


@rule("VMD028", "vmdk-empty-sparse-header", "error")
def empty_header(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """A sparse header of capacity 0 carries a descriptor: the file is a descriptor file in disguise.

    What it checks: the capacity of a sparse extent that has a descriptor is not 0.

    Why it matters: readers then take the descriptor for a descriptor file and open all the files it names, in an
    image that looks like a self-contained one.

    What to do: do not use it; convert the disk again where its files are.

    References: QEMU block/vmdk.c, vmdk_open_vmdk4.
    """
    if facts.header is not None and not facts.header.capacity:
        yield empty_header.at("capacity is 0", field="capacity", offset=12, length=8)


DESCRIPTOR = (
    misplaced,
    not_text,
    repeated,
    incomplete,
    unknown_type,
    two_descriptors,
    disagree,
    after_the_end,
    empty_header,
)
