"""Checksums off by one bit: each field that holds one, of every structure of every fixture, is checked."""

from __future__ import annotations

import io
import re
from collections import Counter
from typing import NamedTuple

import pytest

import imgtool
from tests.kit import fixture, images, report_of

#: Structure and field, and the codes of which one must come. Damage to one of two copies is a warning.
SUMS: dict[tuple[str, str], set[str]] = {
    ("footer", "checksum"): {"VHD301"},
    ("copy of the footer", "checksum"): {"VHD301"},
    ("footer of 511 bytes", "checksum"): {"VHD301"},
    ("dynamic disk header", "checksum"): {"VHD302"},
    ("header 1", "checksum"): {"VHX003"},
    ("header 2", "checksum"): {"VHX003"},
    ("region table 1", "checksum"): {"VHX012"},
    ("region table 2", "checksum"): {"VHX012"},
    ("log entry header", "checksum"): {"VHX008"},
    ("boot catalog, validation entry", "checksum"): {"ISO301"},
    ("UDF anchor", "tag_checksum"): {"ISO302"},
    ("UDF anchor", "descriptor_crc"): {"ISO302"},
    ("gpt header", "header_crc32"): {"PRT301"},
    ("gpt header", "partition_entry_array_crc32"): {"PRT302"},
    ("gpt backup header", "header_crc32"): {"PRT006"},
    ("gpt backup header", "partition_entry_array_crc32"): {"PRT006"},
    ("format extension", "m_CheckSum"): {"PAR301"},
    ("LUKS2 binary header", "csum"): {"LUK302"},
    ("LUKS2 second binary header", "csum"): {"LUK302"},
    ("tar header", "chksum"): {"IMG003"},
    ("gzip member trailer", "crc32"): {"ZIP302"},
    ("xz stream header", "crc32"): {"ZIP301"},
    ("xz stream footer", "crc32"): {"ZIP301"},
    ("zip local header", "crc32"): {"ZIP003"},
    ("zip central header", "crc32"): {"ZIP003"},
    ("uImage header", "hcrc"): {"AMI351", "AMI371"},
    ("uImage header", "dcrc"): {"AMI351", "AMI371"},
    ("btrfs superblock", "csum"): {"PRT360"},
    ("erofs superblock", "checksum"): {"PRT360"},
    ("lvm2 label", "crc_xl"): {"PRT360"},
    ("nilfs2 superblock", "s_sum"): {"PRT360"},
}

#: Sums of a whole volume or of formats that clouds do not serve, and what was only looked at to find the right place.
NOT_CHECKED = {
    ("bcachefs superblock", "csum"),
    ("apfs container superblock", "o_cksum"),
    ("dmg trailer", "data_checksum"),
    ("dmg trailer", "checksum"),
    ("udf anchor", "tag_checksum"),
}

#: Fixtures of which a sum means nothing: they are of the guest's bytes, of encrypted ones, of a log's old lap.
EXEMPT = {
    "qcow2/partitions-zstd.qcow2.gz",
    "compressed/encrypted.zip",
    "compressed/two-files.zip",
    "vhdx/log-wraps.vhdx.gz",
}

_SUM = re.compile(r"(?i)(checksum|chksum|cksum|crc32|_crc|crc_xl|csum|s_sum|hcrc|dcrc|sb_crc)$")


class Sum(NamedTuple):
    """A field that holds a checksum; `offset` in bytes of the file."""

    fixture: str
    structure: str
    field: str
    offset: int


def sums(name: str) -> list[Sum]:
    """The checksums in a fixture: three of each kind at most."""
    report = report_of(fixture(name), structures=True)
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for structure in report.structures:
        for field in structure.fields:
            kind = (structure.name, field.name)
            if _SUM.search(field.name) and seen[kind] < 3:
                seen[kind] += 1
                found.append(Sum(name, *kind, field.offset))
    return found


NAMES = [name for name in images() if "hostile" not in name and name not in EXEMPT]


@pytest.mark.parametrize("name", NAMES)
def test_one_bit(name: str) -> None:
    """A bit of the field changed brings the code of its rule, which the image itself does not have so often."""
    data = fixture(name)
    before = Counter(finding.code for finding in imgtool.validate(io.BytesIO(data)).findings)
    for one in sums(name):
        if (one.structure, one.field) in NOT_CHECKED or _is_folder(data, one):
            continue
        wanted = SUMS[one.structure, one.field]
        changed = bytearray(data)
        changed[one.offset] ^= 1
        told = imgtool.validate(io.BytesIO(bytes(changed)))
        after = Counter(finding.code for finding in told.findings)
        assert wanted & set(after - before), (one, told.findings)
        worst = [finding.severity for finding in told.findings if finding.code in wanted]
        assert not (told.accepted and "error" in worst)


def _is_folder(data: bytes, one: Sum) -> bool:
    """A zip's folder has no bytes that a CRC could be of."""
    if one.structure != "zip central header":
        return False
    at = one.offset - 16
    length = int.from_bytes(data[at + 28 : at + 30], "little")
    return data[at + 46 : at + 46 + length].endswith(b"/")


def test_the_table_is_whole() -> None:
    """Each kind is in some fixture, so that none of the table's lines is idle."""
    kinds = {(one.structure, one.field) for name in NAMES for one in sums(name)}
    assert kinds - NOT_CHECKED == set(SUMS)
