"""The rules of EC2 bundle manifests. Cost of each: the manifest as read.

Reference: Amazon EC2 AMI tools, the manifest of version 2007-10-10.
"""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.containers.ami.facts import BundleFacts
from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits

#: Versions of the manifest that bundling tools have written.
VERSIONS = frozenset({"3", "2006-12-01", "2007-02-16", "2007-08-29", "2007-10-10"})


@rule("AMI101", "ami-manifest-unreadable", "error")
def unreadable(facts: BundleFacts, limits: Limits) -> Iterator[Finding]:
    """The bundle manifest cannot be read.

    What it checks: it is well-formed XML without a document type or entities, within the caps.

    Why it matters: entities that expand each other fill the memory of whoever reads it, and external ones
    read files of the host.

    What to do: fetch it again, or bundle the image again.
    """
    if facts.fault:
        yield unreadable.at(f"not read: {facts.fault}", offset=0, length=facts.file_size)


@rule("AMI102", "ami-manifest-version-unknown", "warning")
def version_unknown(facts: BundleFacts, limits: Limits) -> Iterator[Finding]:
    """The version of the manifest is not known.

    What it checks: the version is one that bundling tools have written (2007-10-10 and before).

    Why it matters: its elements may mean something else.

    What to do: bundle the image again with current tools.
    """
    if not facts.fault and facts.version not in VERSIONS:
        yield version_unknown.at(f"version is {facts.version!r}", field="version")


@rule("AMI103", "ami-parts-do-not-add-up", "error")
def parts(facts: BundleFacts, limits: Limits) -> Iterator[Finding]:
    """The parts of the bundle are not complete or not in order.

    What it checks: there are as many parts as the count says, numbered from 0, each with a file name.

    Why it matters: the image cannot be put together again.

    What to do: bundle the image again.
    """
    if facts.fault:
        return
    numbers = [part.number for part in facts.parts]
    if facts.parts_stated is None or facts.parts_stated != len(numbers):
        yield parts.at(f"the count is {facts.parts_stated}, {len(numbers)} parts are listed", field="parts")
    if numbers != list(range(len(numbers))):
        yield parts.at("the parts are not numbered from 0 in order", field="part")
    if any(part.filename is None for part in facts.parts):
        yield parts.at("a part has no file name", field="filename")


@rule("AMI104", "ami-sizes-missing", "error")
def sizes(facts: BundleFacts, limits: Limits) -> Iterator[Finding]:
    """The manifest does not say how large the image is.

    What it checks: size and bundled_size are numbers of bytes.

    Why it matters: the size that a guest would see is unknown, so no quota or minimum can be checked.

    What to do: bundle the image again.
    """
    if not facts.fault and (facts.image_size is None or facts.bundled_size is None):
        yield sizes.at(f"size is {facts.image_size}, bundled_size is {facts.bundled_size}", field="size")


@rule("AMI301", "ami-digest-missing", "warning")
def digest_missing(facts: BundleFacts, limits: Limits) -> Iterator[Finding]:
    """A digest or the signature is missing.

    What it checks: the image and each part have a digest, and the manifest a signature.

    Why it matters: a replaced part would not be noticed.

    What to do: bundle the image again.
    """
    if facts.fault:
        return
    without = [part.number for part in facts.parts if part.digest is None or not part.digest.value]
    if facts.digest is None or not facts.digest.value:
        yield digest_missing.at("the image has no digest", field="digest")
    if without:
        yield digest_missing.at(f"{len(without)} parts have no digest, the first is {without[0]}", field="part")
    if not facts.signed:
        yield digest_missing.at("there is no signature", field="signature")


RULES = (unreadable, version_unknown, parts, sizes, digest_missing)
