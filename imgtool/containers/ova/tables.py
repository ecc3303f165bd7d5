"""The rules of OVA over the digests of its members. Cost: the archive is read once, together with the digest of the
file where that is asked for.

Reference: DSP0243 2.1.1, clause 6.3.
"""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.containers.integrity import IntegrityFacts
from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits


@rule("OVA306", "ova-manifest-digest-differs", "error")
def digest_differs(facts: IntegrityFacts, limits: Limits) -> Iterator[Finding]:
    """A file is not the one that the manifest was made for.

    What it checks: the digest of each member is the one in the manifest.

    Why it matters: the file was damaged, changed or replaced after the package was made.

    What to do: fetch the package again, or make it again where the change was meant.

    References: DSP0243 clause 6.3.
    """
    for outcome in facts.outcomes:
        claim = outcome.claim
        if outcome.differs:
            yield digest_differs.at(
                f"{claim.name!r}: {claim.algorithm} is {outcome.actual}, {claim.by!r} says {claim.expected}",
                field="manifest",
                offset=claim.offset,
                length=claim.length,
            )


@rule("OVA311", "ova-manifest-not-verified", "note")
def not_verified(facts: IntegrityFacts, limits: Limits) -> Iterator[Finding]:
    """Digests of the manifest were not compared.

    What it checks: whether each digest in the manifest was computed: not without a checksum to compute (that would
    read the whole file), nor of what went by in a stream before the manifest came.

    Why it matters: damage to those files is not looked for.

    What to do: inspect it with a checksum (the default), check it (`imgtool check`), give the file instead of a
    stream.
    """
    missing = [outcome.claim for outcome in facts.outcomes if outcome.actual is None]
    if missing:
        yield not_verified.at(f"{len(missing)} of {len(facts.outcomes)} digests were not compared", field="manifest")


RULES = (digest_differs, not_verified)
