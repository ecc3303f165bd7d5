"""The rules of OVA on whether descriptor, manifest and members agree. Cost of each: what was read of the members
for their own reports.

Reference: DSP0243 2.1.1, clauses 6, 7.1 and 9.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.containers.envelope.facts import OvfDisk, OvfFile
from imgtool.containers.envelope.manifest import packaged_name
from imgtool.containers.envelope.quantity import unit_bytes
from imgtool.containers.member import Inside
from imgtool.containers.ova.facts import OvaFacts
from imgtool.containers.tar.archive import plain
from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits
from imgtool.units import ceil_div


@rule("OVA102", "ova-chunks-incomplete", "error")
def chunks_incomplete(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """A file that is stored in chunks does not have all of them, or not of the right sizes.

    What it checks: the chunks `name.000000000` and on have no gap; where chunkSize is given, each but the last
    has that size, and the last no more.

    Why it matters: the file cannot be put together, or is put together wrongly.

    What to do: fetch or make the package again.

    References: DSP0243 clause 7.1.
    """
    names = {member.plain_name for member in facts.archive.members}
    for file, parts in facts.stored:
        if len(parts) == 1 and parts[0].plain_name == file.href:
            continue
        loose = sum(name.startswith(f"{file.href}.") and _is_number(name[len(file.href) + 1 :]) for name in names)
        if loose > len(parts) and len(parts) < limits.ovf_chunks:
            message = f"{file.href!r}: chunk {len(parts)} is missing, {loose} chunks are there"
            yield chunks_incomplete.at(message, field="href")
        for index, part in enumerate(parts if file.chunk_size else ()):
            if part.size != file.chunk_size and (index < len(parts) - 1 or part.size > (file.chunk_size or 0)):
                message = f"{part.name!r} has {part.size} bytes, chunkSize is {file.chunk_size}"
                yield chunks_incomplete.at(message, field="chunkSize", offset=part.header_offset)


def _is_number(text: str) -> bool:
    return len(text) == 9 and text.isascii() and text.isdigit()


@rule("OVA307", "ova-manifest-lacks-file", "warning")
def manifest_lacks(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """The manifest has no digest of a file of the package.

    What it checks: where there is a manifest, it has the descriptor and each file of References (or its chunks).

    Why it matters: that file can be replaced and nobody notices.

    What to do: make the manifest again, of all files.

    References: DSP0243 clause 6.3.
    """
    if facts.manifest_file is None:
        return
    named = {packaged_name(entry) for entry in facts.manifest}
    wanted = [plain(facts.descriptor)]
    for file, parts in facts.stored:
        wanted += [] if file.href in named else [part.plain_name for part in parts]
    for name in dict.fromkeys(wanted):
        if name not in named:
            yield manifest_lacks.at(f"{facts.manifest_file!r} has no digest of {name!r}", field="manifest")


@rule("OVA308", "ova-capacity-differs", "warning")
def capacity_differs(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """A disk has another size than the descriptor says.

    What it checks: the capacity of a Disk is the virtual size of its file, as that file's own header has it; one
    that is given in coarser units may be rounded up to the next of these.

    Why it matters: quotas and the size of the volume go by the descriptor, the guest sees what the file says.

    What to do: correct the capacity, or export the machine again.

    References: DSP0243 clause 9.1.
    """
    for disk, _, inside in _disks(facts):
        if disk.capacity is None or inside.virtual_size is None or not inside.sound:
            continue
        unit = unit_bytes(disk.capacity_units) or 1
        if disk.capacity not in (inside.virtual_size, ceil_div(inside.virtual_size, unit) * unit):
            message = (
                f"disk {disk.disk_id!r}: the capacity is {disk.capacity}, {inside.name!r} has {inside.virtual_size}"
            )
            yield capacity_differs.at(message, field="capacity")


@rule("OVA309", "ova-disk-format-differs", "warning")
def format_differs(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """A disk has another format than the descriptor says.

    What it checks: where the URI in the format of a Disk stands for a known format, its file is of that.

    Why it matters: importers go by the descriptor or by the file: what was checked is not what they read.

    What to do: export the machine again, or correct the format.

    References: DSP0243 clause 9.1.
    """
    for disk, _, inside in _disks(facts):
        if disk.format is not None and inside.format not in (None, disk.format):
            message = f"disk {disk.disk_id!r} is {inside.format}, {disk.format_uri!r} stands for {disk.format}"
            yield format_differs.at(message, field="format")


@rule("OVA310", "ova-compression-differs", "warning")
def compression_differs(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """The descriptor and the file of a disk do not agree on whether it is compressed.

    What it checks: the file of a Disk is compressed where File has a compression other than "identity", and only
    there.

    Why it matters: importers go by the descriptor: they read compressed bytes as a disk, or cannot unpack it.

    What to do: correct the compression in the descriptor, or pack the file as it says.

    References: DSP0243 clause 7.1.
    """
    for _, file, inside in _disks(facts):
        packed = inside.container_format == "compressed"
        if packed != (file.compression not in (None, "", "identity")):
            what = "is compressed" if packed else "is not compressed"
            message = f"{inside.name!r} {what}, the compression of {file.href!r} is {file.compression!r}"
            yield compression_differs.at(message, field="compression")


def _disks(facts: OvaFacts) -> Iterator[tuple[OvfDisk, OvfFile, Inside]]:
    """Each disk that has a file in the archive, with what this turned out to be."""
    insides = {inside.name: inside for inside in reversed(facts.insides)}
    files = {file.id: (file, parts) for file, parts in reversed(facts.stored) if parts}
    for disk in facts.disks:
        file, parts = files.get(disk.file_ref, (None, ()))
        if file is not None and disk.file_ref is not None:
            inside = insides.get(file.href if len(parts) > 1 else parts[0].name)
            if inside is not None:
                yield disk, file, inside


RULES = (chunks_incomplete, manifest_lacks, capacity_differs, format_differs, compression_differs)
