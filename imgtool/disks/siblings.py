"""Parents that an image names by UUID alone (VDI): found among the files that may be followed.

VirtualBox keeps the names in its registry. Looked at are the files with the format's ending in the image's own folder
and in the allowed ones themselves, not deeper: `{uuid}.vdi` first, as VirtualBox names its differencing images.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from imgtool.disks.links import Permission, RefusedLinkError, open_link
from imgtool.disks.recognise import entry_named, read_as
from imgtool.errors import ImgtoolError, InputError, NotFoundError
from imgtool.limits import Limits
from imgtool.model.values import Reference
from imgtool.sources.file import FileSource


def by_uuid(reference: Reference) -> bool:
    """Whether what the reference holds is the UUID of an image, no name of a file."""
    return reference.kind == "parent" and reference.format == "vdi"


def open_by_uuid(reference: Reference, image_path: str, allowed: Permission, limits: Limits) -> FileSource:
    """The image whose UUID `reference` holds, opened for reading.

    Raises RefusedLinkError where the chain is too deep, NotFoundError where no allowed file has that UUID.
    """
    if allowed.depth > limits.chain_depth:
        raise RefusedLinkError(f"{image_path}: more than {limits.chain_depth} files in its chain")
    for path in _candidates(reference, image_path, allowed, limits):
        try:
            source = open_link(reference._replace(value=path), image_path, allowed, limits.chain_depth)
        except InputError:
            continue
        if _uuid(source, limits) == reference.value:
            return source
        source.close()
    raise NotFoundError(
        f"{image_path}: no {reference.format} image with its parent's UUID {reference.value!r} in the allowed folders"
    )


def _candidates(reference: Reference, image_path: str, allowed: Permission, limits: Limits) -> Iterator[str]:
    """Paths of files that may be it, at most `limits.siblings` of each folder."""
    own = os.path.realpath(os.path.dirname(image_path) or ".")
    for folder in dict.fromkeys((own, *allowed.folders)):
        names = [name for name in _names(folder, limits) if name.lower().endswith(f".{reference.format}")]
        names.sort(key=lambda name: (reference.value not in name, name))
        yield from (os.path.join(folder, name) for name in names[: limits.siblings])


def _names(folder: str, limits: Limits) -> list[str]:
    names: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry, _ in zip(entries, range(limits.sibling_names), strict=False):
                names.append(entry.name)
    except OSError:
        return names
    return names


def _uuid(source: FileSource, limits: Limits) -> str | None:
    """The UUID of an image that may be the parent; None where it has none."""
    from imgtool.formats.vdi.facts import VdiFacts

    try:
        facts = read_as(entry_named("vdi"), source, limits).facts
    except ImgtoolError:
        return None
    return facts.image_uuid if isinstance(facts, VdiFacts) else None
