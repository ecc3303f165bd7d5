"""What a descriptor tells: facts from its lines, references from its extents and hints."""

from __future__ import annotations

from imgtool.formats.vmdk.facts import Descriptor, Entry, ExtentLine, Geometry, VmdkFacts
from imgtool.limits import Limits
from imgtool.model.values import Reference
from imgtool.structs.view import View

#: Keys that have a fact of their own.
_OWN = frozenset({"version", "cid", "parentcid", "createtype", "parentfilenamehint", "changetrackpath", "encoding"})

#: Types of extents that are no file.
_NO_FILE = frozenset({"ZERO"})


def told(view: View, kind: str, parsed: Descriptor | None, limits: Limits) -> VmdkFacts:
    """The facts that the lines of a descriptor give; without one, nothing but the kind."""
    if parsed is None:
        return VmdkFacts(format="vmdk", file_size=view.size, kind=kind)
    if parsed.over:
        view.problem("descriptor", parsed.over, kind="cap", offset=parsed.place.offset)
    version = parsed.value("version")
    ddb = [entry for entry in parsed.entries if entry.key.lower().startswith("ddb.")]
    others = [
        entry
        for entry in parsed.entries
        if entry.key.lower() not in _OWN and not entry.key.lower().startswith("ddb.")
    ]
    return VmdkFacts(
        format="vmdk",
        file_size=view.size,
        kind=kind,
        version=int(version) if version and version.isascii() and version.isdigit() and len(version) < 5 else None,
        create_type=parsed.value("createType"),
        cid=_content_id(parsed.value("CID")),
        parent_cid=_content_id(parsed.value("parentCID")),
        parent_file_name_hint=parsed.value("parentFileNameHint"),
        change_track_path=parsed.value("changeTrackPath"),
        encoding=parsed.value("encoding") or parsed.value("ddb.encoding"),
        extents=parsed.extents,
        extent_count=parsed.extent_count,
        adapter_type=parsed.value("ddb.adapterType"),
        hardware_version=parsed.value("ddb.virtualHWVersion"),
        tools_version=parsed.value("ddb.toolsVersion"),
        geometry=_geometry(parsed),
        descriptor=parsed.place,
        entries=_listed(others, limits),
        ddb=_listed(ddb, limits),
        parsed=parsed,
    )


def _content_id(value: str | None) -> str | None:
    """A content ID as eight digits in lower case; as it stands where it is no such number."""
    number = content_number(value)
    return value if number is None else f"{number:08x}"


def content_number(value: str | None) -> int | None:
    """A content ID as a number: up to eight hexadecimal digits."""
    digits = (value or "").lower().removeprefix("0x")
    if not 1 <= len(digits) <= 8 or any(digit not in "0123456789abcdef" for digit in digits):
        return None
    return int(digits, 16)


def _geometry(parsed: Descriptor) -> Geometry | None:
    names = ("ddb.geometry.cylinders", "ddb.geometry.heads", "ddb.geometry.sectors")
    numbers = [_small(parsed.value(name)) for name in names]
    return Geometry(*numbers) if any(number is not None for number in numbers) else None


def _small(value: str | None) -> int | None:
    return int(value) if value and value.isascii() and value.isdigit() and len(value) <= 12 else None


def _listed(entries: list[Entry], limits: Limits) -> tuple[Entry, ...]:
    most = limits.vmdk_value
    return tuple(Entry(entry.key, entry.value[:most]) for entry in entries[: limits.vmdk_ddb])


def file_references(parsed: Descriptor, limits: Limits) -> tuple[Reference, ...]:
    """What a descriptor file names: all its extents, its parent, the change tracking file."""
    extents = _extents(parsed.extents)
    return _capped([*extents, *_others(parsed)], limits)


def sparse_references(parsed: Descriptor | None, second: Descriptor | None, limits: Limits) -> tuple[Reference, ...]:
    """What the descriptors inside a sparse extent name. Their one SPARSE extent is this file itself."""
    found: list[Reference] = []
    for descriptor in (parsed, second):
        if descriptor is None:
            continue
        if not is_self(descriptor):
            found += _extents(descriptor.extents)
        found += _others(descriptor)
    return _capped(found, limits)


def is_self(parsed: Descriptor) -> bool:
    """True where the only extent that is a file is one SPARSE extent: the file that holds the descriptor."""
    files = [extent for extent in parsed.extents if extent.type not in _NO_FILE]
    return len(files) == 1 and files[0].type == "SPARSE"


def _extents(extents: tuple[ExtentLine, ...]) -> list[Reference]:
    return [
        Reference("extent", extent.file_name or "", extent.type, extent.offset)
        for extent in extents
        if extent.type not in _NO_FILE or extent.file_name
    ]


def _others(parsed: Descriptor) -> list[Reference]:
    found = _extents(parsed.stray)
    hint = parsed.value("parentFileNameHint")
    if hint is not None:
        found.append(Reference("parent", hint, "vmdk"))
    found += [
        Reference("parent", hidden.value, "vmdk", hidden.offset)
        for hidden in parsed.hidden
        if hidden.key == "parentFileNameHint"
    ]
    track = parsed.value("changeTrackPath")
    if track is not None:
        found.append(Reference("change-tracking", track))
    native = parsed.value("ddb.nativeParentHint")
    if native:
        found.append(Reference("parent", native, "vmdk"))
    sidecars = parsed.value("ddb.sidecars")
    found += [Reference("sidecar", name) for name in (sidecars or "").split(";") if name]
    return found


def _capped(found: list[Reference], limits: Limits) -> tuple[Reference, ...]:
    return tuple(dict.fromkeys(found))[: limits.references]
