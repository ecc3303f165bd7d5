"""LUKS, 2xx and 4xx: what opening it costs, and what the encryption is worth. Cost: the header alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.luks.facts import Kdf, Luks1Facts, Luks2Facts, LuksFacts
from imgtool.limits import Limits


@rule("LUK201", "luks-key-derivation-over-cap", "warning")
def derivation_cost(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """Deriving a key takes far more work or memory than the usual tools ask for.

    What it checks: PBKDF2 iterations are at most `limits.luks_iterations`; Argon2 takes at most
    `limits.luks_memory` KiB, `limits.luks_threads` threads and `limits.luks_time` passes (cryptsetup's
    own defaults end at 1 GiB and 4 threads).

    Why it matters: whoever tries a passphrase does that work, right or wrong: a host can be kept busy, or
    run out of memory, by one small file.

    What to do: set the key slot anew (`cryptsetup luksConvertKey`).
    """
    if isinstance(facts, Luks1Facts):
        if facts.digest_iterations > limits.luks_iterations:
            yield derivation_cost.at(f"the digest of the volume key: {facts.digest_iterations} iterations")
        for one in facts.key_slots:
            if one.state == "enabled" and one.iterations > limits.luks_iterations:
                yield derivation_cost.at(f"key slot {one.id}: {one.iterations} iterations")
    if isinstance(facts, Luks2Facts):
        for digest in facts.digests:
            if (digest.iterations or 0) > limits.luks_iterations:
                yield derivation_cost.at(f"digest {digest.id}: {digest.iterations} iterations")
        for slot in facts.key_slots:
            if slot.kdf is not None:
                for fault in _too_much(slot.kdf, limits):
                    yield derivation_cost.at(f"key slot {slot.id}: {fault}", field=f"keyslots.{slot.id}.kdf")


def _too_much(kdf: Kdf, limits: Limits) -> Iterator[str]:
    caps = (
        (kdf.iterations, limits.luks_iterations, "iterations"),
        (kdf.time, limits.luks_time, "passes"),
        (kdf.memory, limits.luks_memory, "KiB of memory"),
        (kdf.cpus, limits.luks_threads, "threads"),
    )
    for value, cap, what in caps:
        if value is not None and value > cap:
            yield f"{value} {what}, usual are at most {cap}"


@rule("LUK401", "luks-content-hidden", "note")
def content_hidden(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """The content is encrypted and cannot be inspected.

    What it checks: the image is a LUKS volume.

    Why it matters: nothing is known of what is inside: not its format, not its references, not whether it is
    sound. It is not known to be bad either; but nobody should call it checked.

    What to do: inspect it where the key is; make this finding an error where encrypted images are not wanted.
    """
    yield content_hidden.at(f"LUKS version {facts.version}: the inside is unknown without a key", offset=0)


@rule("LUK402", "luks-null-cipher", "error")
def null_cipher(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """The volume says it is encrypted, and is not.

    What it checks: no cipher in use is cipher_null.

    Why it matters: whoever trusts the label keeps secrets in the open; whoever can write to it can put
    anything inside, unnoticed.

    What to do: `cryptsetup reencrypt --cipher aes-xts-plain64`.
    """
    names = [facts.cipher]
    if isinstance(facts, Luks2Facts):
        names = [segment.encryption for segment in facts.segments]
    for name in names:
        if name is not None and name.startswith(("cipher_null", "null")):
            yield null_cipher.at(f"the cipher is {name}")


@rule("LUK403", "luks-no-key-slot", "warning")
def no_key_slot(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """No passphrase opens the volume.

    What it checks: at least one key slot is in use.

    Why it matters: without one, only who kept the volume key itself can open it: the data are as good as
    erased.

    What to do: restore the header from a backup, if the erasure was not meant.
    """
    if isinstance(facts, Luks1Facts):
        empty = not any(slot.state == "enabled" for slot in facts.key_slots)
    else:
        empty = isinstance(facts, Luks2Facts) and facts.metadata is not None and not facts.key_slots
    if empty:
        yield no_key_slot.at("no key slot is in use")


SECRETS = (derivation_cost, content_hidden, null_cipher, no_key_slot)
