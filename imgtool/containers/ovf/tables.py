"""The rules of a bare OVF descriptor over the files beside it. Cost: what its manifest lists is read whole.

Reference: DSP0243 2.1.1, clauses 6.3 and 7.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.containers.ovf.beside import BesideFacts
from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits


@rule("OVF301", "ovf-file-size-differs", "error")
def size_differs(facts: BesideFacts, limits: Limits) -> Iterator[Finding]:
    """A file beside the descriptor has another size than this says.

    What it checks: where following is allowed, the ovf:size of each File is the size of that file (or of its chunks
    together).

    Why it matters: the file was cut, replaced or changed after the descriptor was written.

    What to do: fetch or export the package again.

    References: DSP0243 clause 7.1.
    """
    for outcome in facts.files:
        stated = outcome.file.size
        if outcome.size is not None and stated is not None and outcome.size != stated:
            message = f"{outcome.file.href!r} has {outcome.size} bytes, the descriptor says {stated}"
            yield size_differs.at(message, field="size")


@rule("OVF302", "ovf-file-not-beside", "error")
def not_beside(facts: BesideFacts, limits: Limits) -> Iterator[Finding]:
    """A file that the descriptor or its manifest names cannot be opened.

    What it checks: where following is allowed, each File of References is in the allowed folder, whole or in chunks,
    and so is what the manifest lists of them.

    Why it matters: the package is not complete.

    What to do: put the file beside the descriptor, or fetch the package again.

    References: DSP0243 clause 7.1.
    """
    faults = [one.fault for one in facts.files] + [one.fault for one in facts.digests]
    for fault in dict.fromkeys(faults):
        if fault is not None:
            yield not_beside.at(fault, field="href")


@rule("OVF303", "ovf-manifest-digest-differs", "error")
def digest_differs(facts: BesideFacts, limits: Limits) -> Iterator[Finding]:
    """A file beside the descriptor is not the one that the manifest was made for.

    What it checks: where following is allowed and there is a manifest (the descriptor's name with .mf), the digest of
    each file is the one in it.

    Why it matters: the file was damaged, changed or replaced after the package was made.

    What to do: fetch the package again, or make the manifest again where the change was meant.

    References: DSP0243 clause 6.3.
    """
    for outcome in facts.digests:
        entry = outcome.entry
        if outcome.actual not in (None, entry.digest):
            message = f"{entry.name!r}: {entry.algorithm} is {outcome.actual}, {facts.manifest!r} says {entry.digest}"
            yield digest_differs.at(message, field="manifest")


@rule("OVF304", "ovf-manifest-weak-digest", "warning")
def weak_digest(facts: BesideFacts, limits: Limits) -> Iterator[Finding]:
    """The manifest beside the descriptor relies on a digest that can be forged.

    What it checks: where following is allowed, the manifest uses SHA-256 or better, not SHA-1 or MD5.

    Why it matters: two files with the same SHA-1 can be made; it protects against damage, not against people.

    What to do: make the manifest with SHA-256.
    """
    weak = sorted({one.entry.algorithm for one in facts.digests if one.entry.algorithm in ("sha1", "md5")})
    if weak:
        yield weak_digest.at(f"{facts.manifest!r} uses {' and '.join(weak)}", field="manifest")


@rule("OVF305", "ovf-files-not-verified", "note")
def not_verified(facts: BesideFacts, limits: Limits) -> Iterator[Finding]:
    """The files beside the descriptor were not looked at.

    What it checks: whether following was allowed: what a descriptor names is not opened without.

    Why it matters: neither sizes nor digests are compared, and no disk of it was checked.

    What to do: check it with `--follow`, and check its disks themselves.
    """
    if not facts.followed and facts.facts.files:
        yield not_verified.at(f"{len(facts.facts.files)} files are named, none was opened", field="References")


RULES = (size_differs, not_beside, digest_differs, weak_digest, not_verified)
