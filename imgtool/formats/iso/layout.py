"""ISO 9660 on disk: volume descriptors, directory records, SUSP entries, and El Torito's boot catalog.

Numbers stand twice in ISO 9660, little-endian and big-endian; the fields are named `…_le` and `…_be`.

References: ECMA-119 (sections 7 to 9), Joliet specification (section 3), IEEE P1281 (SUSP) and P1282 (Rock
Ridge), El Torito bootable CD-ROM format 1.0 (section 2).
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int8ub, Int16ub, Int16ul, Int32ub, Int32ul, Struct

from imgtool.structs.layout import Layout

SECTOR = 2048
SYSTEM_AREA = 16 * SECTOR
STANDARD = b"CD001"
EL_TORITO = b"EL TORITO SPECIFICATION"

BOOT_RECORD = 0
PRIMARY = 1
SUPPLEMENTARY = 2
PARTITION = 3
TERMINATOR = 255

DESCRIPTOR_TYPES = {
    BOOT_RECORD: "boot-record",
    PRIMARY: "primary",
    SUPPLEMENTARY: "supplementary",
    PARTITION: "partition",
    TERMINATOR: "terminator",
}

#: The escape sequences of Joliet: UCS-2 levels 1 to 3 (Joliet specification, section 3.3).
JOLIET_LEVELS = {b"%/@": 1, b"%/C": 2, b"%/E": 3}

BLOCK_SIZES = (512, 1024, 2048)

PLATFORMS = {0: "bios", 1: "powerpc", 2: "mac", 0xEF: "uefi"}
MEDIA = {0: "no-emulation", 1: "floppy-1.2M", 2: "floppy-1.44M", 3: "floppy-2.88M", 4: "hard-disk"}
INDICATORS = {0x88: "bootable", 0x00: "not bootable"}

BOOTABLE = 0x88
SECTION_MORE = 0x90
SECTION_LAST = 0x91
EXTENSION = 0x44
ENTRY = 32


class DescriptorHead(NamedTuple):
    """What every descriptor begins with."""

    type: int
    identifier: bytes
    version: int


DESCRIPTOR_HEAD = Layout(
    "volume descriptor",
    DescriptorHead,
    Struct("type" / Int8ub, "identifier" / Bytes(5), "version" / Int8ub),
    meanings={"type": DESCRIPTOR_TYPES},
)


class Volume(NamedTuple):
    """A primary or supplementary volume descriptor (ECMA-119, 8.4 and 8.5)."""

    type: int
    identifier: bytes
    version: int
    flags: int
    system_identifier: bytes
    volume_identifier: bytes
    unused_73: bytes
    volume_space_size_le: int
    volume_space_size_be: int
    escape_sequences: bytes
    volume_set_size_le: int
    volume_set_size_be: int
    volume_sequence_number_le: int
    volume_sequence_number_be: int
    logical_block_size_le: int
    logical_block_size_be: int
    path_table_size_le: int
    path_table_size_be: int
    type_l_path_table: int
    optional_type_l_path_table: int
    type_m_path_table: int
    optional_type_m_path_table: int
    root_directory_record: bytes
    volume_set_identifier: bytes
    publisher_identifier: bytes
    data_preparer_identifier: bytes
    application_identifier: bytes
    copyright_file_identifier: bytes
    abstract_file_identifier: bytes
    bibliographic_file_identifier: bytes
    creation_date: bytes
    modification_date: bytes
    expiration_date: bytes
    effective_date: bytes
    file_structure_version: int
    reserved_883: int
    application_use: bytes
    reserved_1396: bytes


VOLUME = Layout(
    "volume descriptor",
    Volume,
    Struct(
        "type" / Int8ub,
        "identifier" / Bytes(5),
        "version" / Int8ub,
        "flags" / Int8ub,
        "system_identifier" / Bytes(32),
        "volume_identifier" / Bytes(32),
        "unused_73" / Bytes(8),
        "volume_space_size_le" / Int32ul,
        "volume_space_size_be" / Int32ub,
        "escape_sequences" / Bytes(32),
        "volume_set_size_le" / Int16ul,
        "volume_set_size_be" / Int16ub,
        "volume_sequence_number_le" / Int16ul,
        "volume_sequence_number_be" / Int16ub,
        "logical_block_size_le" / Int16ul,
        "logical_block_size_be" / Int16ub,
        "path_table_size_le" / Int32ul,
        "path_table_size_be" / Int32ub,
        "type_l_path_table" / Int32ul,
        "optional_type_l_path_table" / Int32ul,
        "type_m_path_table" / Int32ub,
        "optional_type_m_path_table" / Int32ub,
        "root_directory_record" / Bytes(34),
        "volume_set_identifier" / Bytes(128),
        "publisher_identifier" / Bytes(128),
        "data_preparer_identifier" / Bytes(128),
        "application_identifier" / Bytes(128),
        "copyright_file_identifier" / Bytes(37),
        "abstract_file_identifier" / Bytes(37),
        "bibliographic_file_identifier" / Bytes(37),
        "creation_date" / Bytes(17),
        "modification_date" / Bytes(17),
        "expiration_date" / Bytes(17),
        "effective_date" / Bytes(17),
        "file_structure_version" / Int8ub,
        "reserved_883" / Int8ub,
        "application_use" / Bytes(512),
        "reserved_1396" / Bytes(653),
    ),
    meanings={"type": DESCRIPTOR_TYPES},
)

#: Where the fields that stand twice lie in a descriptor: name, offset, bytes of both together.
BOTH_ENDIAN = (
    ("volume_space_size", 80, 8),
    ("volume_set_size", 120, 4),
    ("volume_sequence_number", 124, 4),
    ("logical_block_size", 128, 4),
    ("path_table_size", 132, 8),
)


class DirectoryRecord(NamedTuple):
    """A directory record up to its file identifier (ECMA-119, 9.1)."""

    length: int
    extended_attribute_length: int
    extent_le: int
    extent_be: int
    data_length_le: int
    data_length_be: int
    recording_date: bytes
    flags: int
    file_unit_size: int
    interleave_gap_size: int
    volume_sequence_number_le: int
    volume_sequence_number_be: int
    identifier_length: int


DIRECTORY_RECORD = Layout(
    "directory record",
    DirectoryRecord,
    Struct(
        "length" / Int8ub,
        "extended_attribute_length" / Int8ub,
        "extent_le" / Int32ul,
        "extent_be" / Int32ub,
        "data_length_le" / Int32ul,
        "data_length_be" / Int32ub,
        "recording_date" / Bytes(7),
        "flags" / Int8ub,
        "file_unit_size" / Int8ub,
        "interleave_gap_size" / Int8ub,
        "volume_sequence_number_le" / Int16ul,
        "volume_sequence_number_be" / Int16ub,
        "identifier_length" / Int8ub,
    ),
)


class BootRecord(NamedTuple):
    """El Torito's boot record volume descriptor."""

    type: int
    identifier: bytes
    version: int
    boot_system_identifier: bytes
    unused: bytes
    catalog: int


BOOT_RECORD_DESCRIPTOR = Layout(
    "boot record",
    BootRecord,
    Struct(
        "type" / Int8ub,
        "identifier" / Bytes(5),
        "version" / Int8ub,
        "boot_system_identifier" / Bytes(32),
        "unused" / Bytes(32),
        "catalog" / Int32ul,
    ),
    meanings={"type": DESCRIPTOR_TYPES, "catalog": lambda sector: f"byte {sector * SECTOR}"},
)


class ValidationEntry(NamedTuple):
    """The first entry of a boot catalog."""

    header_id: int
    platform: int
    reserved: int
    id: bytes
    checksum: int
    key_55: int
    key_aa: int


VALIDATION_ENTRY = Layout(
    "boot catalog, validation entry",
    ValidationEntry,
    Struct(
        "header_id" / Int8ub,
        "platform" / Int8ub,
        "reserved" / Int16ul,
        "id" / Bytes(24),
        "checksum" / Int16ul,
        "key_55" / Int8ub,
        "key_aa" / Int8ub,
    ),
    meanings={"platform": PLATFORMS},
)


class BootEntry(NamedTuple):
    """The initial entry, or an entry of a section."""

    indicator: int
    media: int
    load_segment: int
    system_type: int
    unused: int
    sector_count: int
    load_rba: int
    selection_criteria_type: int
    selection_criteria: bytes


BOOT_ENTRY = Layout(
    "boot catalog, entry",
    BootEntry,
    Struct(
        "indicator" / Int8ub,
        "media" / Int8ub,
        "load_segment" / Int16ul,
        "system_type" / Int8ub,
        "unused" / Int8ub,
        "sector_count" / Int16ul,
        "load_rba" / Int32ul,
        "selection_criteria_type" / Int8ub,
        "selection_criteria" / Bytes(19),
    ),
    meanings={"indicator": INDICATORS, "media": lambda media: MEDIA.get(media & 0x0F, f"unknown-{media & 0x0F}")},
)


class SectionHeader(NamedTuple):
    """The head of a section of boot entries."""

    indicator: int
    platform: int
    entries: int
    id: bytes


SECTION_HEADER = Layout(
    "boot catalog, section header",
    SectionHeader,
    Struct("indicator" / Int8ub, "platform" / Int8ub, "entries" / Int16ul, "id" / Bytes(28)),
    meanings={"indicator": {SECTION_MORE: "more follow", SECTION_LAST: "the last"}, "platform": PLATFORMS},
)


class Continuation(NamedTuple):
    """SUSP's CE entry: where further entries lie (all numbers stand twice)."""

    signature: bytes
    length: int
    version: int
    block_le: int
    block_be: int
    offset_le: int
    offset_be: int
    size_le: int
    size_be: int


CONTINUATION = Layout(
    "SUSP continuation",
    Continuation,
    Struct(
        "signature" / Bytes(2),
        "length" / Int8ub,
        "version" / Int8ub,
        "block_le" / Int32ul,
        "block_be" / Int32ub,
        "offset_le" / Int32ul,
        "offset_be" / Int32ub,
        "size_le" / Int32ul,
        "size_be" / Int32ub,
    ),
)


class MbrEntry(NamedTuple):
    """A partition entry of an MBR in the system area."""

    status: int
    chs_start: bytes
    type: int
    chs_end: bytes
    start: int
    sectors: int


MBR_ENTRY = Layout(
    "system area, MBR partition",
    MbrEntry,
    Struct(
        "status" / Int8ub,
        "chs_start" / Bytes(3),
        "type" / Int8ub,
        "chs_end" / Bytes(3),
        "start" / Int32ul,
        "sectors" / Int32ul,
    ),
)
