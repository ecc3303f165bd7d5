"""OVA: a tar whose first member is an OVF descriptor. Members are windows; nothing is unpacked.

What counts as one: a tar whose first file is an `.ovf`, or with an `.ovf` at its top level further on (which
is an error of its own). A tar with an `.ovf` only in some folder is an ordinary tar.

Reference: DSP0243 2.1.1, clause 6 ("OVF package").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from imgtool.containers.envelope.facts import Envelope, OvfFile
from imgtool.containers.envelope.manifest import Manifest, packaged_name, parse_manifest
from imgtool.containers.envelope.reader import read_envelope
from imgtool.containers.member import Claim, Member, Role
from imgtool.containers.ova.facts import OvaFacts
from imgtool.containers.tar.archive import Archive, TarMember, read_archive, window
from imgtool.containers.tar.safety import followed
from imgtool.limits import Limits
from imgtool.model.values import Reference
from imgtool.sources.base import Source
from imgtool.sources.joined import Joined
from imgtool.sources.memory import Window
from imgtool.structs.view import Unreadable, View

#: Names that end like this hold disks or media: worth a report of their own.
IMAGE_SUFFIXES = (
    ".vmdk",
    ".vhd",
    ".vhdx",
    ".vdi",
    ".qcow2",
    ".qcow",
    ".img",
    ".raw",
    ".iso",
    ".vmdk.gz",
    ".img.gz",
    ".gz",
    ".xz",
)

_Stored = tuple[tuple[OvfFile, tuple[TarMember, ...]], ...]


def read(view: View, limits: Limits) -> OvaFacts | None:
    """The facts of an OVA; None for a tar that is none. Raises Unreadable where the first header breaks."""
    archive = read_archive(view, limits, _is_descriptor)
    if archive is None:
        for problem in view.problems:
            if first_name(view.peek(problem.offset or 0, 100)).endswith(".ovf"):
                raise Unreadable(problem)
        return None
    descriptors = tuple(member for member in archive.members if _is_descriptor(member))
    chosen = _descriptor(archive, descriptors)
    if chosen is None:
        return None
    files = {member.plain_name: member for member in reversed(archive.members) if member.has_data}
    body = followed(chosen, files)
    told = _envelope(view, chosen, body, limits)
    named = {file.href: file for file in reversed(told.files)}
    stored = tuple((file, _parts(file, files, limits)) for file in told.files if named[file.href] is file)
    manifest_member = _ending(archive, (".mf",))
    certificate = _ending(archive, (".cert", ".pem"))
    manifest = _manifest(view, manifest_member, limits)
    members = tuple(_members(view, archive, told, stored))
    missing = tuple(Reference("href", file.href) for file, parts in stored if not parts)
    return OvaFacts(
        format="ova",
        file_size=view.size,
        virtual_size=told.virtual_size,
        broken=told.fault is not None,
        partial=bool(view.problems) or told.fault is not None,
        label=told.label,
        references=missing[: limits.references],
        problems=view.problems,
        members=members,
        members_total=len(members),
        disk_format=told.disk_format,
        claims=tuple(_claims(manifest, manifest_member, files)),
        ovf_version=told.version,
        descriptor_size=body.size if body else 0,
        descriptor_offset=body.offset if body else chosen.offset,
        files=told.files,
        disks=told.disks,
        systems=told.systems,
        networks=told.networks,
        products=told.products,
        envelope=told,
        descriptor=chosen.name,
        manifest_file=manifest_member.name if manifest_member else None,
        certificate=certificate.name if certificate else None,
        manifest=manifest.entries,
        strange_lines=manifest.strange,
        descriptors=descriptors,
        stored=stored,
        archive=archive,
    )


def first_name(field: bytes) -> str:
    """The name in a tar header's first 100 bytes, lower case, for a look at its ending."""
    return field.partition(b"\0")[0].decode("latin-1").lower()


def _is_descriptor(member: TarMember) -> bool:
    """By its name as it stands, or as a C program reads it; of whatever type, so that none goes unseen."""
    name = member.name.lower()
    return member.kind != "folder" and (name.endswith(".ovf") or name.partition("\0")[0].endswith(".ovf"))


def _envelope(view: View, chosen: TarMember, body: TarMember | None, limits: Limits) -> Envelope:
    if body is not None:
        return read_envelope(view, body.offset, body.size, limits)
    message = f"the descriptor {chosen.name!r} is a {chosen.kind}"
    view.problem("OVF descriptor", message, offset=chosen.header_offset, length=512)
    return Envelope(fault=message)


def _descriptor(archive: Archive, descriptors: tuple[TarMember, ...]) -> TarMember | None:
    """The member that makes the tar an OVA: the first file, else the first descriptor at the top level."""
    first = next((member for member in archive.members if member.kind != "folder"), None)
    if first is not None and first in descriptors:
        return first
    return next((member for member in descriptors if "/" not in member.plain_name), None)


def _ending(archive: Archive, suffixes: tuple[str, ...]) -> TarMember | None:
    found = (member for member in archive.members if member.name.lower().endswith(suffixes))
    return next((member for member in found if member.has_data), None)


def _parts(file: OvfFile, files: dict[str, TarMember], limits: Limits) -> tuple[TarMember, ...]:
    """The members that hold a file: the one of its name, else its chunks (`name.000000000` and on)."""
    if file.href in files:
        return (files[file.href],)
    found: list[TarMember] = []
    while len(found) < limits.ovf_chunks:
        chunk = files.get(f"{file.href}.{len(found):09d}")
        if chunk is None:
            break
        found.append(chunk)
    return tuple(found)


def _manifest(view: View, member: TarMember | None, limits: Limits) -> Manifest:
    if member is None:
        return Manifest((), ())
    if member.size > limits.ovf_manifest:
        message = f"manifest of {member.size} bytes is over the cap of {limits.ovf_manifest}"
        view.problem("OVF manifest", message, kind="cap", offset=member.offset, length=member.size)
        return Manifest((), ())
    try:
        return parse_manifest(view.read(member.offset, member.size, "OVF manifest"), limits)
    except Unreadable as error:
        view.note(error.problem)
        return Manifest((), ())


def _claims(manifest: Manifest, by: TarMember | None, files: dict[str, TarMember]) -> Iterator[Claim]:
    """What the manifest says of members whose bytes lie in the archive as they are."""
    for entry in dict.fromkeys(manifest.entries):
        member = files.get(packaged_name(entry))
        if by is not None and member is not None and member.kind == "file":
            where = (member.offset, member.size)
            yield Claim("manifest", member.name, by.name, entry.algorithm, entry.digest, *where)


def _members(view: View, archive: Archive, told: Envelope, stored: _Stored) -> Iterator[Member]:
    """The files of the archive in its order; a file in chunks comes once more as a whole, before them."""
    refs = {disk.file_ref for disk in told.disks}
    attached = {file.href for file in told.files if file.id in refs}
    disks = {parts[0]: (file, parts) for file, parts in stored if parts and file.href in attached}
    chunks = {part for _, parts in stored if len(parts) > 1 for part in parts}
    for member in archive.members:
        if not member.has_data:
            continue
        file, parts = disks.get(member, (None, ()))
        if file is not None and len(parts) > 1:
            size = sum(part.size for part in parts)
            yield Member(file.href, size, "disk", member.offset, source=_joined(view.source, parts, file.href))
        role = _role(member, told) if file is None or len(parts) > 1 else "disk"
        image = role == "disk" or (role == "file" and member.name.lower().endswith(IMAGE_SUFFIXES))
        look = window(view.source, member) if image and member not in chunks else None
        yield Member(member.name, member.real_size, role, member.offset, member.kind, look)


def _role(member: TarMember, told: Envelope) -> Role:
    name = member.name.lower()
    if name.endswith(".ovf"):
        return "descriptor"
    if name.endswith(".mf"):
        return "manifest"
    if name.endswith((".cert", ".pem")):
        return "certificate"
    return "disk" if told.fault is not None and name.endswith(IMAGE_SUFFIXES) else "file"


def _joined(source: Source, parts: tuple[TarMember, ...], name: str) -> Callable[[], Source]:
    return lambda: Joined([Window(source, part.offset, part.size) for part in parts], name)
