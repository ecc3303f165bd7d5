"""The rules of qcow, version 1. Cost of each: the header alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.qcow import layout as lay
from imgtool.formats.qcow.facts import QcowFacts
from imgtool.limits import Limits


@rule("QCW050", "qcow-bad-cluster-size", "error")
def bad_cluster_size(facts: QcowFacts, limits: Limits) -> Iterator[Finding]:
    """The cluster size is out of range.

    What it checks: cluster_bits is 9 to 16 (512 bytes to 64 KiB).

    Why it matters: every offset in the image is computed from it (CVE-2014-0222).

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    low, high = lay.CLUSTER_BITS
    if not low <= facts.cluster_bits <= high:
        message = f"cluster_bits is {facts.cluster_bits}, allowed are {low} to {high}"
        yield bad_cluster_size.at(message, field="cluster_bits", offset=32, length=1)


@rule("QCW051", "qcow-bad-l2-size", "error")
def bad_l2_size(facts: QcowFacts, limits: Limits) -> Iterator[Finding]:
    """The size of the L2 tables is out of range.

    What it checks: l2_bits is 6 to 13 (tables of 512 bytes to 64 KiB).

    Why it matters: a reader allocates tables of this size (CVE-2014-0222).

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    low, high = lay.L2_BITS
    if not low <= facts.l2_bits <= high:
        message = f"l2_bits is {facts.l2_bits}, allowed are {low} to {high}"
        yield bad_l2_size.at(message, field="l2_bits", offset=33, length=1)


@rule("QCW052", "qcow-disk-too-small", "error")
def too_small(facts: QcowFacts, limits: Limits) -> Iterator[Finding]:
    """The virtual disk has no bytes, or one.

    What it checks: the virtual size is at least 2 bytes.

    Why it matters: QEMU refuses such an image.

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    if facts.size < 2:
        message = f"the virtual size is {facts.size}, at least 2 bytes are needed"
        yield too_small.at(message, field="size", offset=24, length=8)


@rule("QCW053", "qcow-l1-table-misplaced", "error")
def l1_table(facts: QcowFacts, limits: Limits) -> Iterator[Finding]:
    """The L1 table that the virtual size needs is over its cap, inside the header, or outside the file.

    What it checks: the table (8 bytes for each L2 table of the disk) has at most `limits.qcow_l1_table`
    bytes, begins after the header, and ends inside the file.

    Why it matters: its length is computed from the virtual size, so a huge one made readers allocate or
    overflow (CVE-2014-0223).

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    if not facts.l1_size:
        return
    at, size = facts.l1_table_offset, facts.l1_size * 8
    if size > limits.qcow_l1_table:
        message = f"the virtual size of {facts.size} needs an L1 table of {size} bytes, over {limits.qcow_l1_table}"
        yield l1_table.at(message, field="size", offset=24, length=8)
    if at < lay.HEADER.size:
        message = f"L1 table at {at} begins inside the header"
        yield l1_table.at(message, field="l1_table_offset", offset=40, length=8)
    if at + size > facts.file_size:
        message = f"L1 table at {at} ends at {at + size}, the file at {facts.file_size}"
        yield l1_table.at(message, field="l1_table_offset", offset=40, length=8)


@rule("QCW054", "qcow-unknown-crypt-method", "error")
def unknown_crypt(facts: QcowFacts, limits: Limits) -> Iterator[Finding]:
    """The encryption method is not one that exists.

    What it checks: crypt_method is 0 (none) or 1 (AES).

    Why it matters: the guest's bytes cannot be read, by anybody.

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    if facts.crypt_method > 1:
        message = f"crypt_method is {facts.crypt_method}, known are 0 and 1"
        yield unknown_crypt.at(message, field="crypt_method", offset=36, length=4)


@rule("QCW055", "qcow-backing-name-misplaced", "error")
def backing_name(facts: QcowFacts, limits: Limits) -> Iterator[Finding]:
    """The backing file's name is too long, inside the header's fields, or outside the file.

    What it checks: where there is one: it has at most 1,023 bytes, begins after the header and ends inside
    the file.

    Why it matters: a longer one has overflowed readers' buffers; other bytes would be opened as a name.

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    if facts.backing_file is None:
        return
    at, size = facts.backing_file_offset, facts.backing_file_size
    if size > lay.BACKING_NAME_MAX:
        message = f"the backing file's name has {size} bytes, at most {lay.BACKING_NAME_MAX} are allowed"
        yield backing_name.at(message, field="backing_file_size", offset=16, length=4)
    if at < lay.HEADER.size or at + size > facts.file_size:
        message = f"the backing file's name at {at}..{at + size} is not between the header and the end of the file"
        yield backing_name.at(message, field="backing_file_offset", offset=8, length=8)


@rule("QCW450", "qcow-legacy-aes-encryption", "error")
def legacy_aes(facts: QcowFacts, limits: Limits) -> Iterator[Finding]:
    """The image is encrypted with the legacy AES scheme.

    What it checks: crypt_method is 1 (AES-CBC with the passphrase as key).

    Why it matters: the scheme is broken (predictable IVs, no key derivation), QEMU has refused to run
    guests from such images since 2.12, and nothing inside can be inspected.

    What to do: `qemu-img convert` the image to an unencrypted qcow2, or to one with LUKS
    (`-o encrypt.format=luks`).
    """
    if facts.crypt_method == 1:
        yield legacy_aes.at("crypt_method is 1 (legacy AES)", field="crypt_method", offset=36, length=4)


RULES = (bad_cluster_size, bad_l2_size, too_small, l1_table, unknown_crypt, backing_name, legacy_aes)
