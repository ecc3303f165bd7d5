"""LUKS: facts against values known from the two specifications."""

from __future__ import annotations

import hashlib

import pytest

from fixtures.recipes.luks import built, metadata
from imgtool.formats.luks.facts import Kdf, Luks1Facts, Luks2Facts
from tests.kit import codes, fixture, no_bug, report_of


def luks1(name: str) -> Luks1Facts:
    """The facts of a LUKS1 fixture."""
    facts = report_of(fixture(name)).details
    assert isinstance(facts, Luks1Facts)
    return facts


def luks2(data: bytes) -> Luks2Facts:
    """The facts of a LUKS2 image."""
    report = report_of(data)
    no_bug(report)
    assert isinstance(report.details, Luks2Facts)
    return report.details


def test_luks1() -> None:
    """cryptsetup's defaults: AES-XTS with 512 bits, eight slots of 4,000 stripes, payload at 2 MiB."""
    facts = luks1("luks/luks1.luks.gz")
    assert (facts.cipher_name, facts.cipher_mode, facts.hash, facts.key_size) == ("aes", "xts-plain64", "sha256", 64)
    assert (facts.payload_offset, facts.virtual_size, facts.encrypted) == (2 << 20, 1 << 20, True)
    assert [slot.state for slot in facts.key_slots] == ["enabled"] + ["disabled"] * 7
    assert facts.key_slots[0][2:] == (1000, 4096, 256000, 4000)


def test_luks1_detached_header() -> None:
    """A payload offset of 0: the payload is elsewhere and its size is not known."""
    facts = luks1("luks/luks1-header.luks.gz")
    assert (facts.detached, facts.header_only, facts.virtual_size) == (True, True, None)


def test_a_file_that_ends_where_the_payload_begins() -> None:
    """A header inside another format, or a backup: no payload here and nothing to complain of."""
    report = report_of(fixture("luks/luks1.luks.gz")[: 2 << 20])
    assert report.virtual_size == 0
    assert isinstance(report.details, Luks1Facts)
    assert report.details.header_only
    assert codes(report) == {"LUK401"}


def test_luks2() -> None:
    """Both headers valid; label, subsystem, segment, key slot and digest as formatted."""
    data = fixture("luks/luks2.luks.gz")
    facts = luks2(data)
    assert (facts.label, facts.subsystem, facts.sequence_id) == ("Tresor", "fixtures", 3)
    assert facts.primary is not None
    assert facts.secondary is not None
    assert (facts.primary.offset, facts.secondary.offset) == (0, 16384)
    assert facts.primary.valid
    assert facts.secondary.valid
    assert (facts.payload_offset, facts.virtual_size) == (1 << 20, len(data) - (1 << 20))
    (slot,) = facts.key_slots
    assert slot.kdf == Kdf("pbkdf2", "sha256", 1000)
    assert (slot.area_offset, slot.area_size, slot.area_encryption) == (32768, 258048, "aes-xts-plain64")
    assert facts.cipher == "aes-xts-plain64"


def test_luks2_argon2id() -> None:
    """Memory in KiB, passes and threads of Argon2; sectors of 4,096 bytes."""
    facts = luks2(fixture("luks/luks2-argon2id.luks.gz"))
    assert facts.key_slots[0].kdf == Kdf("argon2id", None, None, 4, 32, 1)
    assert facts.sector_size == 4096


def test_luks2_detached_header() -> None:
    """A segment at 0 lies in another file."""
    facts = luks2(fixture("luks/luks2-header.luks.gz"))
    assert (facts.detached, facts.header_only, facts.virtual_size) == (True, True, None)


def test_backup_segments_do_not_count() -> None:
    """While it is re-encrypted the payload is the two parts in use, not the backups of what was and will be."""
    data = fixture("luks/luks2-reencrypting.luks.gz")
    assert luks2(data).virtual_size == len(data) - 40960 == 65536


def test_dm_integrity_hides_the_size() -> None:
    """Tags between the sectors take room that the header does not tell."""
    told = metadata()
    segment = {**told["segments"]["0"], "integrity": {"type": "hmac(sha256)"}}
    facts = luks2(built({**told, "segments": {"0": segment}}))
    assert facts.virtual_size is None
    assert facts.segments[0].integrity == "hmac(sha256)"


def test_segments_side_by_side() -> None:
    """Segments may lie in any order, each up to the next; the one to the end of the device must be the last."""
    told = metadata()
    crypt = told["segments"]["0"]
    digest = {"0": {**told["digests"]["0"], "segments": ["0", "1"]}}
    for first, second, fault in (("4096", "dynamic", False), ("4608", "dynamic", True), ("dynamic", "4096", True)):
        one, two = {**crypt, "size": first}, {**crypt, "offset": "45056", "size": second}
        image = built({**told, "segments": {"1": one, "0": two}, "digests": digest})
        assert ("LUK026" in codes(report_of(image))) == fault


def test_names_that_are_not_there() -> None:
    """A token may name no key slot at all; a digest's must be there."""
    told = metadata()
    token = {"type": "systemd-tpm2", "keyslots": []}
    assert "LUK027" not in codes(report_of(built({**told, "tokens": {"0": token}})))
    assert "LUK027" in codes(report_of(built({**told, "keyslots": {}})))


def test_the_higher_sequence_id_wins() -> None:
    """Of two valid headers the newer one is read; that they differ is then no fault."""
    data = bytearray(fixture("luks/luks2-headers-disagree.luks.gz"))
    second = data[16384:32768]
    second[16:24] = (2).to_bytes(8, "big")
    second[448:512] = bytes(64)
    second[448:480] = hashlib.sha256(second).digest()
    data[16384:32768] = second
    facts = luks2(bytes(data))
    assert facts.sequence_id == 2
    assert facts.key_slots[0].id == "7"
    # its digest still names slot 0, which is a fault of this header alone
    assert codes(report_of(bytes(data))) == {"LUK401", "LUK027"}


def test_the_second_header_is_read_where_the_first_is_damaged() -> None:
    """The checksum decides which header counts."""
    data = bytearray(fixture("luks/luks2-headers-disagree.luks.gz"))
    data[5000] ^= 1
    facts = luks2(bytes(data))
    assert facts.key_slots[0].id == "7"


def test_first_header_wiped() -> None:
    """Zeros over the first header leave a broken LUKS with all its facts."""
    data = bytes(4096) + fixture("luks/luks2.luks.gz")[4096:]
    report = report_of(data)
    assert (report.format, report.broken, report.label) == ("luks", True, "Tresor")
    assert report.virtual_size == len(data) - (1 << 20)


def test_leftovers_of_luks_are_not_luks() -> None:
    """A device that was given another use may still carry a second header: it is no LUKS volume."""
    report = report_of(b"something else".ljust(4096, b"x") + fixture("luks/luks2.luks.gz")[4096:])
    assert report.format == "raw"


@pytest.mark.parametrize("size", [6, 7, 8, 207, 208, 591, 592, 4096, 260095, 260096, 2097151, 2097152])
def test_cut_luks1(size: int) -> None:
    """Cut anywhere it is broken or truncated, never raw; between key material and payload a warning tells."""
    report = report_of(fixture("luks/luks1.luks.gz")[:size])
    no_bug(report)
    assert report.format == "luks"
    assert report.broken == (size < 592)
    assert ("IMG002" in codes(report)) == (size < 260096)
    assert ("LUK002" in codes(report)) == (208 <= size < 2097152)


@pytest.mark.parametrize("size", [6, 8, 511, 512, 4096, 16383, 16384, 16895, 32767, 32768, 557055])
def test_cut_luks2(size: int) -> None:
    """Cut anywhere before the end of the key slots area it is broken or truncated, never raw."""
    report = report_of(fixture("luks/luks2.luks.gz")[:size])
    no_bug(report)
    assert report.format == "luks"
    assert report.broken == (size < 16384)
    assert "IMG002" in codes(report)
    assert report.virtual_size is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"nonsense",
        b"\xff\xfe",
        b'{"keyslots":[],"segments":7,"digests":null,"tokens":"x","config":[]}',
        b'{"segments":{"0":[]},"keyslots":{"0":1},"digests":{"0":{"keyslots":[1,{}]}}}',
        b'{"segments":{"0":{"offset":' + b"9" * 5000 + b',"size":"-1"}}}',
        b'{"config":{"json_size":true,"requirements":{"mandatory":{"x":1}}}}',
    ],
    ids=range(9),
)
def test_any_json(text: bytes) -> None:
    """Whatever valid headers say in their JSON area, there is a report."""
    report = report_of(built(text))
    no_bug(report)
    assert report.format == "luks"


def test_sections_are_capped() -> None:
    """Of a section with thousands of members the first 64 are listed."""
    slots = ",".join(f'"{index}":{{}}' for index in range(1000))
    facts = luks2(built(f'{{"keyslots":{{{slots}}}}}'.encode()))
    assert len(facts.key_slots) == 64
