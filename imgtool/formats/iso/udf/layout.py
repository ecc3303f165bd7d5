"""UDF on disk: the descriptors of ECMA-167 that name a volume. All numbers are little-endian.

References: ECMA-167 (2/8 and 2/9 recognition sequence, 3/7 and 3/10 volume descriptors), OSTA UDF 2.60 (2.1, 2.2).
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int8ul, Int16ul, Int32ul, Struct

from imgtool.structs.layout import Layout

BEGIN = b"BEA01"
END = b"TEA01"
NSR = (b"NSR02", b"NSR03")
#: Other structures that a recognition sequence may hold (ECMA-167 2/9.1.2, 2/9.4; CDW02 of ECMA-168).
OTHERS = (b"BOOT2", b"CDW02", b"CD001")

TAG_PRIMARY = 1
TAG_ANCHOR = 2
TAG_POINTER = 3
TAG_IMPLEMENTATION = 4
TAG_PARTITION = 5
TAG_LOGICAL = 6
TAG_UNALLOCATED = 7
TAG_TERMINATING = 8

TAG_NAMES = {
    TAG_PRIMARY: "primary volume descriptor",
    TAG_ANCHOR: "anchor volume descriptor pointer",
    TAG_POINTER: "volume descriptor pointer",
    TAG_IMPLEMENTATION: "implementation use volume descriptor",
    TAG_PARTITION: "partition descriptor",
    TAG_LOGICAL: "logical volume descriptor",
    TAG_UNALLOCATED: "unallocated space descriptor",
    TAG_TERMINATING: "terminating descriptor",
}

#: Logical sector sizes that are tried for the anchor, most usual first.
BLOCK_SIZES = (2048, 512, 4096, 1024, 8192, 16384, 32768)

ANCHOR_BLOCK = 256
DESCRIPTOR_SIZE = 512
ACCESS_TYPES = {0: "pseudo-overwritable", 1: "read-only", 2: "write-once", 3: "rewritable", 4: "overwritable"}

_TAG = (
    "tag_identifier" / Int16ul,
    "descriptor_version" / Int16ul,
    "tag_checksum" / Int8ul,
    "tag_reserved" / Int8ul,
    "tag_serial_number" / Int16ul,
    "descriptor_crc" / Int16ul,
    "descriptor_crc_length" / Int16ul,
    "tag_location" / Int32ul,
)


class Tag(NamedTuple):
    """The 16 bytes that every descriptor begins with (ECMA-167 3/7.2)."""

    tag_identifier: int
    descriptor_version: int
    tag_checksum: int
    tag_reserved: int
    tag_serial_number: int
    descriptor_crc: int
    descriptor_crc_length: int
    tag_location: int


TAG = Layout("UDF descriptor tag", Tag, Struct(*_TAG), meanings={"tag_identifier": TAG_NAMES})


class Anchor(NamedTuple):
    """An anchor volume descriptor pointer (ECMA-167 3/10.2), without its reserved bytes."""

    tag_identifier: int
    descriptor_version: int
    tag_checksum: int
    tag_reserved: int
    tag_serial_number: int
    descriptor_crc: int
    descriptor_crc_length: int
    tag_location: int
    main_length: int
    main_location: int
    reserve_length: int
    reserve_location: int


ANCHOR = Layout(
    "UDF anchor",
    Anchor,
    Struct(
        *_TAG,
        "main_length" / Int32ul,
        "main_location" / Int32ul,
        "reserve_length" / Int32ul,
        "reserve_location" / Int32ul,
    ),
    meanings={"tag_identifier": TAG_NAMES},
)


class Primary(NamedTuple):
    """A primary volume descriptor (ECMA-167 3/10.1)."""

    tag: bytes
    volume_descriptor_sequence_number: int
    primary_volume_descriptor_number: int
    volume_identifier: bytes
    volume_sequence_number: int
    maximum_volume_sequence_number: int
    interchange_level: int
    maximum_interchange_level: int
    character_set_list: int
    maximum_character_set_list: int
    volume_set_identifier: bytes
    descriptor_character_set: bytes
    explanatory_character_set: bytes
    volume_abstract: bytes
    volume_copyright_notice: bytes
    application_identifier: bytes
    recording_date: bytes
    implementation_identifier: bytes
    implementation_use: bytes
    predecessor: int
    flags: int
    reserved: bytes


PRIMARY = Layout(
    "UDF primary volume descriptor",
    Primary,
    Struct(
        "tag" / Bytes(16),
        "volume_descriptor_sequence_number" / Int32ul,
        "primary_volume_descriptor_number" / Int32ul,
        "volume_identifier" / Bytes(32),
        "volume_sequence_number" / Int16ul,
        "maximum_volume_sequence_number" / Int16ul,
        "interchange_level" / Int16ul,
        "maximum_interchange_level" / Int16ul,
        "character_set_list" / Int32ul,
        "maximum_character_set_list" / Int32ul,
        "volume_set_identifier" / Bytes(128),
        "descriptor_character_set" / Bytes(64),
        "explanatory_character_set" / Bytes(64),
        "volume_abstract" / Bytes(8),
        "volume_copyright_notice" / Bytes(8),
        "application_identifier" / Bytes(32),
        "recording_date" / Bytes(12),
        "implementation_identifier" / Bytes(32),
        "implementation_use" / Bytes(64),
        "predecessor" / Int32ul,
        "flags" / Int16ul,
        "reserved" / Bytes(22),
    ),
)


class Partition(NamedTuple):
    """A partition descriptor (ECMA-167 3/10.5) up to the length of the partition, in blocks."""

    tag: bytes
    volume_descriptor_sequence_number: int
    flags: int
    number: int
    contents: bytes
    contents_use: bytes
    access_type: int
    starting_location: int
    length: int


PARTITION = Layout(
    "UDF partition descriptor",
    Partition,
    Struct(
        "tag" / Bytes(16),
        "volume_descriptor_sequence_number" / Int32ul,
        "flags" / Int16ul,
        "number" / Int16ul,
        "contents" / Bytes(32),
        "contents_use" / Bytes(128),
        "access_type" / Int32ul,
        "starting_location" / Int32ul,
        "length" / Int32ul,
    ),
    meanings={"access_type": ACCESS_TYPES},
)


class Logical(NamedTuple):
    """A logical volume descriptor (ECMA-167 3/10.6) up to its partition maps."""

    tag: bytes
    volume_descriptor_sequence_number: int
    descriptor_character_set: bytes
    logical_volume_identifier: bytes
    logical_block_size: int
    domain_flags: int
    domain_identifier: bytes
    domain_revision: int
    domain_suffix: bytes
    contents_use: bytes
    map_table_length: int
    partition_maps: int
    implementation_identifier: bytes
    implementation_use: bytes
    integrity_length: int
    integrity_location: int


LOGICAL = Layout(
    "UDF logical volume descriptor",
    Logical,
    Struct(
        "tag" / Bytes(16),
        "volume_descriptor_sequence_number" / Int32ul,
        "descriptor_character_set" / Bytes(64),
        "logical_volume_identifier" / Bytes(128),
        "logical_block_size" / Int32ul,
        "domain_flags" / Int8ul,
        "domain_identifier" / Bytes(23),
        "domain_revision" / Int16ul,
        "domain_suffix" / Bytes(6),
        "contents_use" / Bytes(16),
        "map_table_length" / Int32ul,
        "partition_maps" / Int32ul,
        "implementation_identifier" / Bytes(32),
        "implementation_use" / Bytes(128),
        "integrity_length" / Int32ul,
        "integrity_location" / Int32ul,
    ),
    meanings={"domain_revision": lambda word: f"UDF {word >> 8:x}.{word & 0xFF:02x}"},
)
