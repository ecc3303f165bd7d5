"""Report: what `inspect` answers (schema imgtool.report/1). Sizes are integers of bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imgtool.findings.core import Finding
from imgtool.model.facts import Facts
from imgtool.model.values import Facet, Reference, Structure
from imgtool.model.volumes import Volumes

SCHEMA = "imgtool.report/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One input, inspected.

    path: the name it was given by.
    size: bytes of the file. allocated: bytes it takes up on disk. streamed: it was read in one pass.
    format: the disk format as it would be registered. container_format: the wrapper around it.
    disk_formats: every Glance disk_format this content honestly satisfies, best first.
    virtual_size: what a guest would see, bytes.
    checksums: digests of the file in hex, by algorithm.
    broken: a known magic is there and the rest cannot be read. partial: something could not be read.
    facets: everything the content satisfies. references: what it names outside itself.
    details: facts of the format. volumes: what is inside raw bytes. members: nested reports.
    structures: the annotated header, where asked for.
    """

    path: str
    size: int | None
    allocated: int | None = None
    streamed: bool = False
    format: str | None = None
    container_format: str | None = None
    disk_formats: tuple[str, ...] = ()
    virtual_size: int | None = None
    checksums: Mapping[str, str]
    encrypted: bool = False
    broken: bool = False
    partial: bool = False
    label: str | None = None
    facets: tuple[Facet, ...] = ()
    references: tuple[Reference, ...] = ()
    details: Facts | None = None
    volumes: Volumes | None = None
    members: tuple[Report, ...] = ()
    findings: tuple[Finding, ...] = ()
    structures: tuple[Structure, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The report as plain JSON values, as `imgtool inspect --json` prints it."""
        from imgtool.model.jsonable import report_object

        return report_object(self)
