"""LUKS on disk, versions 1 and 2. All numbers are big-endian.

References: LUKS1 On-Disk Format Specification 1.2.3, section "PHDR"; LUKS2 On-Disk Format Specification,
section "LUKS2 On-Disk Format".
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int16ub, Int32ub, Int64ub, Struct

from imgtool.structs.layout import Layout

MAGIC = b"LUKS\xba\xbe"
MAGIC_SECONDARY = b"SKUL\xba\xbe"

KEY_ENABLED = 0x00AC71F3
KEY_DISABLED = 0x0000DEAD
KEY_STATES = {KEY_ENABLED: "enabled", KEY_DISABLED: "disabled"}
KEY_SLOTS = 8
STRIPES = 4000

#: The sizes of a LUKS2 header (binary and JSON area together), which are also where the second one lies.
HEADER_SIZES = tuple(0x4000 << step for step in range(9))
BINARY_SIZE = 4096
CHECKSUM_OFFSET = 448


class Start(NamedTuple):
    """What every version begins with."""

    magic: bytes
    version: int


START = Layout("LUKS magic", Start, Struct("magic" / Bytes(6), "version" / Int16ub))


class Phdr(NamedTuple):
    """The LUKS1 partition header without its key slots, 208 bytes. `payload_offset` in sectors."""

    magic: bytes
    version: int
    cipher_name: bytes
    cipher_mode: bytes
    hash_spec: bytes
    payload_offset: int
    key_bytes: int
    mk_digest: bytes
    mk_digest_salt: bytes
    mk_digest_iter: int
    uuid: bytes


PHDR = Layout(
    "LUKS1 header",
    Phdr,
    Struct(
        "magic" / Bytes(6),
        "version" / Int16ub,
        "cipher_name" / Bytes(32),
        "cipher_mode" / Bytes(32),
        "hash_spec" / Bytes(32),
        "payload_offset" / Int32ub,
        "key_bytes" / Int32ub,
        "mk_digest" / Bytes(20),
        "mk_digest_salt" / Bytes(32),
        "mk_digest_iter" / Int32ub,
        "uuid" / Bytes(40),
    ),
    meanings={
        "payload_offset": lambda sectors: f"payload at byte {sectors * 512}",
        "key_bytes": lambda size: f"{size * 8} bits",
    },
)


class Slot(NamedTuple):
    """A LUKS1 key slot, 48 bytes. `key_material_offset` in sectors."""

    active: int
    iterations: int
    salt: bytes
    key_material_offset: int
    stripes: int


SLOT = Layout(
    "LUKS1 key slot",
    Slot,
    Struct(
        "active" / Int32ub,
        "iterations" / Int32ub,
        "salt" / Bytes(32),
        "key_material_offset" / Int32ub,
        "stripes" / Int32ub,
    ),
    meanings={
        "active": KEY_STATES,
        "key_material_offset": lambda sectors: f"key material at byte {sectors * 512}",
    },
)


class Binary(NamedTuple):
    """The LUKS2 binary header, 512 bytes that count; zeros fill it up to 4,096. The JSON area follows."""

    magic: bytes
    version: int
    hdr_size: int
    seqid: int
    label: bytes
    csum_alg: bytes
    salt: bytes
    uuid: bytes
    subsystem: bytes
    hdr_offset: int
    padding: bytes
    csum: bytes


BINARY = Layout(
    "LUKS2 binary header",
    Binary,
    Struct(
        "magic" / Bytes(6),
        "version" / Int16ub,
        "hdr_size" / Int64ub,
        "seqid" / Int64ub,
        "label" / Bytes(48),
        "csum_alg" / Bytes(32),
        "salt" / Bytes(64),
        "uuid" / Bytes(40),
        "subsystem" / Bytes(48),
        "hdr_offset" / Int64ub,
        "padding" / Bytes(184),
        "csum" / Bytes(64),
    ),
)
