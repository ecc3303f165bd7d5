"""qcow2, 4xx: secrets and encryption."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.qcow2.facts import Qcow2Facts
from imgtool.limits import Limits


@rule("QCW401", "qcow2-legacy-aes-encryption", "error")
def legacy_aes(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The image is encrypted with the legacy AES scheme.

    What it checks: crypt_method is 1 (AES-CBC with the passphrase as key).

    Why it matters: the scheme is broken (predictable IVs, no key derivation), QEMU has refused to run
    guests from such images since 2.12, and nothing inside can be inspected.

    What to do: `qemu-img convert` the image to an unencrypted one, or to LUKS with
    `-o encrypt.format=luks`.

    References: QEMU docs/interop/qcow2, section "Header", crypt_method.
    """
    if facts.crypt_method == 1:
        yield legacy_aes.at("crypt_method is 1 (legacy AES)", field="crypt_method", offset=32, length=4)


@rule("QCW402", "qcow2-crypto-header-mismatch", "error")
def crypto_header(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The pointer to the LUKS header is missing, superfluous, or does not hold.

    What it checks: the full disk encryption header pointer (16 bytes) is present exactly when crypt_method
    is 2; its offset is a multiple of the cluster size and the LUKS header lies inside the file.

    Why it matters: without the header no key can ever open the image; a pointer outside the file makes
    a reader fail or read what is not there.

    What to do: take a fresh copy of the image; a lost LUKS header cannot be rebuilt.

    References: QEMU docs/interop/qcow2, section "Full disk encryption header pointer".
    """
    pointer = facts.crypto_header
    if facts.crypt_method == 2 and pointer is None:
        message = "crypt_method is 2 (LUKS) and no header pointer is there"
        yield crypto_header.at(message, field="crypt_method", offset=32, length=4)
    elif pointer is not None and facts.crypt_method != 2:
        message = f"a LUKS header pointer is there and crypt_method is {facts.crypt_method}"
        yield crypto_header.at(message, field="crypt_method", offset=32, length=4)
    elif pointer is not None:
        if facts.cluster_size and pointer.offset % facts.cluster_size:
            yield crypto_header.at(f"LUKS header at {pointer.offset} is not on a cluster", offset=pointer.offset)
        if pointer.offset + pointer.length > facts.file_size:
            end = pointer.offset + pointer.length
            message = f"LUKS header ends at {end}, the file at {facts.file_size}"
            yield crypto_header.at(message, offset=pointer.offset, length=pointer.length)


@rule("QCW403", "qcow2-luks-encryption", "note")
def luks(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The guest's data is encrypted with LUKS.

    What it checks: crypt_method is 2.

    Why it matters: what is inside cannot be inspected without a key; nothing here says that it is safe.

    What to do: nothing, if it is meant to be; else convert it with its key to an image without encryption.

    References: QEMU docs/interop/qcow2, section "Header", crypt_method.
    """
    if facts.crypt_method == 2:
        yield luks.at("crypt_method is 2 (LUKS)", field="crypt_method", offset=32, length=4)


ENCRYPTION = (legacy_aes, crypto_header, luks)
