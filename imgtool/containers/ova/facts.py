"""What the OVA reader finds: the descriptor's facts, the manifest's lines, the archive's members."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from imgtool.containers.envelope.facts import EnvelopeFacts, OvfFile
from imgtool.containers.envelope.manifest import ManifestEntry
from imgtool.containers.tar.archive import NO_ARCHIVE, Archive, TarMember


@dataclass(frozen=True, slots=True, kw_only=True)
class OvaFacts(EnvelopeFacts):
    """Facts of an OVA. `descriptor`, `manifest_file` and `certificate` are members' names.

    `stored`: each File of the descriptor with the members that hold it (several for chunks, none where
    it is missing). `strange_lines`: lines of the manifest that are no digest of a file.
    """

    HIDDEN = frozenset({"archive", "stored", "descriptors", "strange_lines"})

    descriptor: str
    manifest_file: str | None
    certificate: str | None
    manifest: tuple[ManifestEntry, ...]
    strange_lines: tuple[str, ...]
    descriptors: tuple[TarMember, ...]
    stored: tuple[tuple[OvfFile, tuple[TarMember, ...]], ...]
    archive: Archive

    def released(self) -> Self:
        """These facts without the archive's members."""
        return replace(self, members=(), claims=(), insides=(), archive=NO_ARCHIVE, stored=(), descriptors=())
