"""The rules of EC2 bundles over their parts. Cost: each part is read once.

Reference: Amazon EC2 AMI tools, the manifest of version 2007-10-10.
"""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.containers.ami.parts import BundleIntegrity
from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits


@rule("AMI302", "ami-part-digest-differs", "error")
def digest_differs(facts: BundleIntegrity, limits: Limits) -> Iterator[Finding]:
    """A part of the bundle is not the one that the manifest says.

    What it checks: where following is allowed, the digest of each part beside the manifest is the one in it. It is of
    the encrypted bytes, so it needs no key.

    Why it matters: the part was damaged or replaced; the image cannot be put together again.

    What to do: fetch the part again, or bundle the image again.
    """
    for outcome in facts.parts:
        if outcome.differs:
            stated = outcome.part.digest.value if outcome.part.digest else None
            message = f"{outcome.part.filename!r}: the digest is {outcome.actual}, the manifest says {stated}"
            yield digest_differs.at(message, field="digest")


@rule("AMI303", "ami-part-not-beside", "error")
def not_beside(facts: BundleIntegrity, limits: Limits) -> Iterator[Finding]:
    """A part of the bundle cannot be opened.

    What it checks: where following is allowed, each part that the manifest lists is in the allowed folder.

    Why it matters: the image cannot be put together again.

    What to do: put the parts beside the manifest, or fetch them again.
    """
    for outcome in facts.parts:
        if outcome.fault is not None:
            yield not_beside.at(outcome.fault, field="filename")


@rule("AMI304", "ami-bundled-size-differs", "error")
def size_differs(facts: BundleIntegrity, limits: Limits) -> Iterator[Finding]:
    """The parts together have another size than the manifest says.

    What it checks: where all parts are there, their sizes add up to bundled_size.

    Why it matters: a part was cut or is of another bundle.

    What to do: fetch the parts again, or bundle the image again.
    """
    stated, sizes = facts.facts.bundled_size, [outcome.size for outcome in facts.parts]
    total = sum(size for size in sizes if size is not None)
    if sizes and None not in sizes and stated is not None and total != stated:
        yield size_differs.at(f"the parts have {total} bytes, bundled_size is {stated}", field="bundled_size")


@rule("AMI305", "ami-parts-not-verified", "note")
def not_verified(facts: BundleIntegrity, limits: Limits) -> Iterator[Finding]:
    """The parts of the bundle were not looked at.

    What it checks: whether following was allowed: what a manifest names is not opened without.

    Why it matters: neither sizes nor digests are compared.

    What to do: check it with `--follow`.
    """
    if not facts.followed and facts.facts.parts:
        yield not_verified.at(f"{len(facts.facts.parts)} parts are named, none was opened", field="parts")


RULES = (digest_differs, not_beside, size_differs, not_verified)
