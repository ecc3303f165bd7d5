"""What the LUKS reader finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from imgtool.formats.luks.layout import Phdr, Slot
from imgtool.model.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class LuksFacts(Facts):
    """What every LUKS version has. `payload_offset` in bytes: None where nobody can know it.

    `detached`: the payload lies in another file. `header_only`: this file ends where the payload begins (a
    detached or a backed-up header, or the header inside another format).
    """

    version: int
    uuid: str | None = None
    cipher: str | None = None
    payload_offset: int | None = None
    detached: bool = False
    header_only: bool = False


class KeySlot1(NamedTuple):
    """A LUKS1 key slot. `offset` and `length` of its key material in bytes."""

    id: int
    state: str
    iterations: int
    offset: int
    length: int
    stripes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Luks1Facts(LuksFacts):
    """Facts of a LUKS1 header. `key_size` in bytes."""

    HIDDEN = frozenset({"header", "slots"})

    cipher_name: str
    cipher_mode: str
    hash: str
    key_size: int
    digest_iterations: int
    key_slots: tuple[KeySlot1, ...] = ()
    header: Phdr
    slots: tuple[Slot, ...] = ()


class Kdf(NamedTuple):
    """How a passphrase becomes a key. `memory` in KiB; what a type does not have is None."""

    type: str | None
    hash: str | None = None
    iterations: int | None = None
    time: int | None = None
    memory: int | None = None
    cpus: int | None = None


class KeySlot2(NamedTuple):
    """A LUKS2 key slot. Sizes and offsets in bytes; `priority` 0 ignored, 1 normal, 2 preferred."""

    id: str
    type: str | None
    key_size: int | None
    priority: int | None
    kdf: Kdf | None
    area_type: str | None
    area_offset: int | None
    area_size: int | None
    area_encryption: str | None
    stripes: int | None
    mode: str | None = None


class Segment(NamedTuple):
    """A run of the payload. `size` None where it reaches to the end of the device ("dynamic")."""

    id: str
    type: str | None
    offset: int | None
    size: int | None
    dynamic: bool
    encryption: str | None
    sector_size: int | None
    integrity: str | None
    flags: tuple[str, ...] = ()


class Digest(NamedTuple):
    """What proves a volume key."""

    id: str
    type: str | None
    hash: str | None
    iterations: int | None
    key_slots: tuple[str, ...]
    segments: tuple[str, ...]


class Token(NamedTuple):
    """What says how to unlock key slots without a passphrase."""

    id: str
    type: str | None
    key_slots: tuple[str, ...]


class Metadata(NamedTuple):
    """The JSON area. Sizes in bytes, as its config says."""

    key_slots: tuple[KeySlot2, ...] = ()
    segments: tuple[Segment, ...] = ()
    digests: tuple[Digest, ...] = ()
    tokens: tuple[Token, ...] = ()
    json_size: int | None = None
    keyslots_size: int | None = None
    flags: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()


class Header2(NamedTuple):
    """One of the two LUKS2 headers. `checksum_holds` is None where it could not be computed."""

    offset: int
    hdr_size: int
    sequence_id: int
    label: str
    subsystem: str
    uuid: str
    checksum_algorithm: str
    checksum_holds: bool | None
    hdr_offset: int
    json: str = ""

    @property
    def valid(self) -> bool:
        """True when the checksum holds and the header lies where it says."""
        return self.checksum_holds is True and self.hdr_offset == self.offset


class HeaderSummary(NamedTuple):
    """What a report shows of one header."""

    offset: int
    size: int
    sequence_id: int
    checksum_algorithm: str
    valid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Luks2Facts(LuksFacts):
    """Facts of a LUKS2 header. Sizes and offsets in bytes; `sequence_id` is raised with each change."""

    HIDDEN = frozenset({"primary_header", "secondary_header", "metadata"})

    sequence_id: int
    subsystem: str | None = None
    header_size: int
    sector_size: int | None = None
    primary: HeaderSummary | None = None
    secondary: HeaderSummary | None = None
    keyslots_size: int | None = None
    key_slots: tuple[KeySlot2, ...] = ()
    segments: tuple[Segment, ...] = ()
    digests: tuple[Digest, ...] = ()
    tokens: tuple[Token, ...] = ()
    flags: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    primary_header: Header2 | None = None
    secondary_header: Header2 | None = None
    metadata: Metadata | None = None
