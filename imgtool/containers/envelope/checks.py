"""The rules of OVF descriptors, alone or inside an OVA. Cost of each: the descriptor as read.

Reference: DSP0243 2.1.1, clauses 7 to 9.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imgtool.containers.envelope.facts import EnvelopeFacts
from imgtool.containers.envelope.quantity import is_property
from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits


@rule("OVF001", "ovf-document-type", "error")
def document_type(facts: EnvelopeFacts, limits: Limits) -> Iterator[Finding]:
    """The descriptor has a document type or declares entities.

    What it checks: the XML has no DTD, which is where entities are declared.

    Why it matters: entities that expand each other fill the memory of whoever reads the descriptor, and
    external ones read files of the host. No OVF needs them; the descriptor was not read.

    What to do: do not import it; make the package again with the tool it came from.
    """
    if facts.envelope.forbidden:
        message = f"the descriptor was not read: {facts.envelope.fault}"
        yield document_type.at(message, offset=facts.descriptor_offset, length=facts.descriptor_size)


@rule("OVF002", "ovf-not-an-envelope", "error")
def not_an_envelope(facts: EnvelopeFacts, limits: Limits) -> Iterator[Finding]:
    """The descriptor is not an OVF envelope.

    What it checks: the root element is Envelope, in a namespace of OVF (1, 2, or VMware's 0.9).

    Why it matters: what is in the package cannot be told; importers refuse it or guess.

    What to do: make the package again.

    References: DSP0243 clause 7.1.
    """
    told = facts.envelope
    if told.fault and not told.forbidden and facts.descriptor_size <= limits.xml_size:
        message = f"not read as an envelope: {told.fault}"
        yield not_an_envelope.at(message, offset=facts.descriptor_offset, length=facts.descriptor_size)


@rule("OVF003", "ovf-capacity-unknown", "error")
def capacity_unknown(facts: EnvelopeFacts, limits: Limits) -> Iterator[Finding]:
    """The capacity of a disk cannot be told.

    What it checks: every Disk has a capacity that is a number (or a property with a number as default) in
    units of bytes. A property without default is a warning: it is asked for when the package is deployed.

    Why it matters: the size that a guest would see is unknown, so no quota or minimum can be checked.

    What to do: write the capacity as bytes, or with units such as `byte * 2^30`.

    References: DSP0243 clause 9.1; DSP0004 annex "Programmatic Units".
    """
    for disk in facts.disks:
        if disk.capacity is None:
            units = f" in units {disk.capacity_units!r}" if disk.capacity_units else ""
            yield capacity_unknown.at(
                f"disk {disk.disk_id!r}: the capacity {disk.capacity_text!r}{units} is no number of bytes",
                field="capacity",
                severity="warning" if is_property(disk.capacity_text) else None,
            )


@rule("OVF004", "ovf-duplicate-id", "error")
def duplicate_id(facts: EnvelopeFacts, limits: Limits) -> Iterator[Finding]:
    """Two files or two disks have the same id.

    What it checks: the ids of File and of Disk elements are each unique, and present.

    Why it matters: one importer takes the first, another the last: what was checked is not what is used.

    What to do: make the package again.

    References: DSP0243 clauses 7.1 and 9.1.
    """
    for what, ids in (("File", [file.id for file in facts.files]), ("Disk", [disk.disk_id for disk in facts.disks])):
        for name in _repeated(ids):
            yield duplicate_id.at(f"the {what} id {name!r} comes more than once", field=what)
        if None in ids:
            yield duplicate_id.at(f"a {what} has no id", field=what)


def _repeated(ids: Iterable[str | None]) -> Iterator[str]:
    seen: set[str] = set()
    told: set[str] = set()
    for name in ids:
        if name is None:
            continue
        if name in seen and name not in told:
            told.add(name)
            yield name
        seen.add(name)


@rule("OVF101", "ovf-href-not-plain", "error")
def href_not_plain(facts: EnvelopeFacts, limits: Limits) -> Iterator[Finding]:
    """A file of the package is named by a path or a URL.

    What it checks: every href is the plain name of a file beside the descriptor: no folder, no `..`, no
    URL, no backslash.

    Why it matters: importers fetch what it names: files of the host, or servers inside its network.

    What to do: put the file into the package and name it plainly.

    References: DSP0243 clause 7.1.
    """
    for file in facts.files:
        href = file.href
        if not href or "/" in href or "\\" in href or ":" in href or href in (".", ".."):
            yield href_not_plain.at(f"href {href!r} is not the plain name of a file", field="href")


@rule("OVF102", "ovf-file-reference-dangling", "error")
def file_reference(facts: EnvelopeFacts, limits: Limits) -> Iterator[Finding]:
    """A disk refers to a file that the descriptor does not have.

    What it checks: each fileRef is the id of a File in References.

    Why it matters: the disk has no content; importers fail late, or make an empty one.

    What to do: make the package again.

    References: DSP0243 clause 9.1.
    """
    ids = {file.id for file in facts.files}
    for disk in facts.disks:
        if disk.file_ref is not None and disk.file_ref not in ids:
            message = f"disk {disk.disk_id!r}: there is no file with the id {disk.file_ref!r}"
            yield file_reference.at(message, field="fileRef")


@rule("OVF103", "ovf-parent-reference-dangling", "error")
def parent_reference(facts: EnvelopeFacts, limits: Limits) -> Iterator[Finding]:
    """A disk refers to a parent that the descriptor does not have, or to itself.

    What it checks: each parentRef is the diskId of another Disk, and following them ends.

    Why it matters: a disk that holds only differences is nothing without its parent; a circle never ends.

    What to do: export the machine with its disks merged.

    References: DSP0243 clause 9.1.
    """
    parents = {disk.disk_id: disk.parent_ref for disk in facts.disks}
    for disk in facts.disks:
        if disk.parent_ref is None:
            continue
        if disk.parent_ref not in parents:
            message = f"disk {disk.disk_id!r}: there is no disk with the id {disk.parent_ref!r}"
            yield parent_reference.at(message, field="parentRef")
        elif _circles(disk.disk_id, parents):
            yield parent_reference.at(f"disk {disk.disk_id!r}: its parents form a circle", field="parentRef")


def _circles(start: str | None, parents: dict[str | None, str | None]) -> bool:
    seen = {start}
    current = parents.get(start)
    while current is not None and len(seen) <= 64:
        if current in seen:
            return True
        seen.add(current)
        current = parents.get(current)
    return current is not None


@rule("OVF104", "ovf-drive-dangling", "error")
def drive_dangling(facts: EnvelopeFacts, limits: Limits) -> Iterator[Finding]:
    """A drive of a virtual machine refers to a disk or file that the descriptor does not have.

    What it checks: each HostResource `ovf:/disk/ID` or `ovf:/file/ID` is the id of a Disk or File.

    Why it matters: the machine cannot be made as described.

    What to do: make the package again.

    References: DSP0243 clause 8.3.
    """
    ids = {"disk": {disk.disk_id for disk in facts.disks}, "file": {file.id for file in facts.files}}
    for system in facts.systems:
        for drive in system.drives:
            kind, slash, name = drive.removeprefix("ovf:").removeprefix("/").partition("/")
            if slash and kind in ids and name not in ids[kind]:
                message = f"system {system.id!r}: there is no {kind} with the id {name!r}"
                yield drive_dangling.at(message, field="HostResource")


RULES = (
    document_type,
    not_an_envelope,
    capacity_unknown,
    duplicate_id,
    href_not_plain,
    file_reference,
    parent_reference,
    drive_dangling,
)
