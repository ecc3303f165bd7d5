"""ISO 9660 and UDF: descriptors, Joliet, Rock Ridge, El Torito, the system area as facts.

A guest sees the file as it is: the virtual size is the file's, `volume_size` what the descriptors say.

References: ECMA-119 sections 6 to 9; see the neighbours for the rest.
"""

from __future__ import annotations

from typing import NamedTuple, TypedDict

from imgtool.formats.iso import layout as lay
from imgtool.formats.iso.descriptors import Area, read_area
from imgtool.formats.iso.eltorito import read_el_torito
from imgtool.formats.iso.facts import Date, Descriptor, Disagreement, IsoFacts, Root, Supplementary, Udf
from imgtool.formats.iso.rockridge import read_rock_ridge
from imgtool.formats.iso.systemarea import read_system_area
from imgtool.formats.iso.texts import decimal_date, padded, wide
from imgtool.formats.iso.udf.reader import read_udf
from imgtool.limits import Limits
from imgtool.structs.view import View

#: Names of the four dates of a descriptor and where they lie in it.
_DATES = (("creation_date", 813), ("modification_date", 830), ("expiration_date", 847), ("effective_date", 864))


class _Primary(NamedTuple):
    """The primary descriptor, where it lies, and what follows from it."""

    record: lay.Volume
    offset: int
    block_size: int | None
    root: Root | None


def read(view: View, limits: Limits) -> IsoFacts | None:
    """The facts of an ISO 9660 or UDF image."""
    area = read_area(view, limits)
    udf = read_udf(view, area.extended, area.step, limits)
    boot = read_el_torito(view, area.iso, limits)
    primary = _primary(view, area.iso)
    supplementary = _supplementary(view, area.iso)
    rock_ridge = None
    if primary is not None and primary.root is not None:
        rock_ridge = read_rock_ridge(view, primary.root, primary.block_size or lay.SECTOR, limits)
    system_area = read_system_area(view, boot)
    return IsoFacts(
        format="iso",
        file_size=view.size,
        virtual_size=view.size,
        flat=(0, view.size),
        broken=_broken(primary, area, udf),
        partial=bool(view.problems),
        problems=view.problems,
        label=(padded(primary.record.volume_identifier) if primary else udf.logical_volume_id if udf else None)
        or None,
        kind="+".join(name for name, here in (("iso9660", area.iso), ("udf", udf)) if here),
        descriptors=area.iso + area.extended,
        supplementary=supplementary,
        joliet=next((entry.level for entry in supplementary if entry.level), None),
        rock_ridge=rock_ridge,
        el_torito=boot,
        udf=udf,
        system_area=system_area,
        ended=area.ended or not area.iso,
        capped=area.capped,
        **_described(primary, udf),
    )


class _Described(TypedDict, total=False):
    """What the primary descriptor says, by the names of the facts."""

    volume_size: int | None
    volume_id: str
    system_id: str
    volume_set_id: str
    publisher_id: str
    preparer_id: str
    application_id: str
    copyright_file: str
    abstract_file: str
    bibliographic_file: str
    creation_date: str | None
    modification_date: str | None
    expiration_date: str | None
    effective_date: str | None
    logical_block_size: int
    volume_space_size: int
    volume_set_size: int
    volume_sequence_number: int
    path_table_size: int
    root_directory: Root | None
    disagreements: tuple[Disagreement, ...]
    dates: tuple[Date, ...]
    descriptor_version: int
    file_structure_version: int


def _described(primary: _Primary | None, udf: Udf | None) -> _Described:
    if primary is None:
        return {"volume_size": udf.volume_size if udf else None}
    record = primary.record
    dates = tuple(_date(record, name, primary.offset + at) for name, at in _DATES)
    return {
        "volume_size": record.volume_space_size_le * primary.block_size if primary.block_size else None,
        "volume_id": padded(record.volume_identifier),
        "system_id": padded(record.system_identifier),
        "volume_set_id": padded(record.volume_set_identifier),
        "publisher_id": padded(record.publisher_identifier),
        "preparer_id": padded(record.data_preparer_identifier),
        "application_id": padded(record.application_identifier),
        "copyright_file": padded(record.copyright_file_identifier),
        "abstract_file": padded(record.abstract_file_identifier),
        "bibliographic_file": padded(record.bibliographic_file_identifier),
        "creation_date": dates[0].time,
        "modification_date": dates[1].time,
        "expiration_date": dates[2].time,
        "effective_date": dates[3].time,
        "logical_block_size": record.logical_block_size_le,
        "volume_space_size": record.volume_space_size_le,
        "volume_set_size": record.volume_set_size_le,
        "volume_sequence_number": record.volume_sequence_number_le,
        "path_table_size": record.path_table_size_le,
        "root_directory": primary.root,
        "disagreements": _disagreements(record, primary.offset),
        "dates": dates,
        "descriptor_version": record.version,
        "file_structure_version": record.file_structure_version,
    }


def _date(record: lay.Volume, name: str, offset: int) -> Date:
    time, valid = decimal_date(getattr(record, name))
    return Date(name, time, valid, offset)


def _disagreements(record: lay.Volume, offset: int) -> tuple[Disagreement, ...]:
    """The numbers of a descriptor that stand twice and differ (ECMA-119, 7.2.3 and 7.3.3)."""
    pairs = (
        (name, getattr(record, f"{name}_le"), getattr(record, f"{name}_be"), offset + at, length)
        for name, at, length in lay.BOTH_ENDIAN
    )
    return tuple(Disagreement(*pair) for pair in pairs if pair[1] != pair[2])


def _primary(view: View, descriptors: tuple[Descriptor, ...]) -> _Primary | None:
    """The first primary descriptor, and the root directory it names."""
    for descriptor in descriptors:
        if descriptor.type != lay.PRIMARY:
            continue
        record = view.optional(lay.VOLUME, descriptor.offset, "primary volume descriptor")
        if record is None:
            return None
        size = record.logical_block_size_le if record.logical_block_size_le in lay.BLOCK_SIZES else None
        root = view.decode(
            lay.DIRECTORY_RECORD,
            record.root_directory_record,
            descriptor.offset + 156,
            "root directory record",
        )
        found = Root(root.extent_le * size, root.data_length_le) if size else None
        return _Primary(record, descriptor.offset, size, found)
    return None


def _supplementary(view: View, descriptors: tuple[Descriptor, ...]) -> tuple[Supplementary, ...]:
    """Supplementary descriptors: Joliet by its escape sequence, ISO 9660:1999's by its version 2."""
    found = []
    for descriptor in descriptors:
        if descriptor.type != lay.SUPPLEMENTARY:
            continue
        record = view.optional(lay.VOLUME, descriptor.offset, "supplementary volume descriptor")
        if record is None:
            continue
        level = lay.JOLIET_LEVELS.get(record.escape_sequences[:3])
        kind = "joliet" if level else "enhanced" if record.version == 2 else "other"
        name = (wide if level else padded)(record.volume_identifier)
        size = record.logical_block_size_le
        found.append(Supplementary(kind, level, name, record.volume_space_size_le * size, size, descriptor.offset))
    return tuple(found)


def _broken(primary: _Primary | None, area: Area, udf: Udf | None) -> bool:
    """True where neither ISO 9660's primary descriptor nor a UDF volume can be used."""
    if area.iso:
        return primary is None or primary.block_size is None or area.iso[0].offset != lay.SYSTEM_AREA
    return udf is None or udf.block_size is None
