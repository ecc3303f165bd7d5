"""The rules of docker archives and OCI layouts over digests and unpacked layers. Cost: the archive is read once
for the digests, together with its own where that is asked for; a deep check unpacks each packed layer once.

References: OCI image-spec, "Content Descriptors", "Image Configuration", "Image Layer Filesystem Changeset".
"""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.containers.docker.layers import DockerIntegrity, LayerOutcome, differing
from imgtool.containers.integrity import IntegrityFacts
from imgtool.containers.member import ClaimKind
from imgtool.findings.core import Finding, Rule, rule
from imgtool.limits import Limits


def _layers(facts: IntegrityFacts) -> tuple[LayerOutcome, ...]:
    return facts.layers if isinstance(facts, DockerIntegrity) else ()


def _differing(owner: Rule[IntegrityFacts], facts: IntegrityFacts, kind: ClaimKind) -> Iterator[Finding]:
    for outcome in facts.outcomes:
        claim = outcome.claim
        if outcome.differs and claim.kind == kind:
            message = f"{claim.name}: {claim.algorithm} is {outcome.actual}, {claim.by} says {claim.expected}"
            yield owner.at(message, offset=claim.offset, length=claim.length)


@rule("DKR015", "docker-layer-unsafe-name", "error")
def layer_unsafe_name(facts: IntegrityFacts, limits: Limits) -> Iterator[Finding]:
    """A name inside a layer leads out of the image's root.

    What it checks: no member of a layer's tar is absolute or has `..`. Links, devices, FIFOs and whiteouts are
    ordinary in layers.

    Why it matters: a layer is unpacked as root; such a name overwrites files of the host (CVE-2007-4559).

    What to do: do not load it; build the image again.

    References: OCI image-spec, "Image Layer Filesystem Changeset".
    """
    for outcome in _layers(facts):
        for name in outcome.unsafe:
            yield layer_unsafe_name.at(
                f"{outcome.layer.name}: {name!r} leaves the root", field="name", offset=outcome.layer.offset
            )


@rule("DKR201", "docker-layer-expansion", "warning")
def layer_expansion(facts: IntegrityFacts, limits: Limits) -> Iterator[Finding]:
    """A layer unpacks to very much more than it takes up.

    What it checks: what a layer of at least 1 GiB (`limits.wrapper_ratio_floor`) unpacks to is at most 1000
    (`limits.wrapper_ratio_warning`) times its packed bytes. At 2000 (`limits.docker_ratio`) unpacking stops: its
    diff_id is not compared, the names behind are not seen.

    Why it matters: whoever loads the image needs that room: such a layer fills a disk.

    What to do: see that there is room, and that the layer is meant to be empty; build the image without the huge
    sparse file (often /var/log/lastlog).
    """
    for outcome in _layers(facts):
        stopped = outcome.fault is not None and outcome.fault.kind == "not-read"
        packed = max(1, outcome.layer.length)
        large = outcome.size >= limits.wrapper_ratio_floor and outcome.size > packed * limits.wrapper_ratio_warning
        if stopped or large:
            message = f"{outcome.layer.name}: {outcome.size} bytes came out of {packed}"
            more = f", not all of it: {outcome.fault.message}" if stopped and outcome.fault else ""
            yield layer_expansion.at(message + more, offset=outcome.layer.offset, length=outcome.layer.length)


@rule("DKR202", "docker-layer-over-cap", "error")
def layer_over_cap(facts: IntegrityFacts, limits: Limits) -> Iterator[Finding]:
    """The layers unpack to more than is looked at.

    What it checks: all layers together unpack to at most 256 GiB (`limits.docker_unpacked`), have at most
    `limits.docker_entries` members, and need at most `limits.wrapper_memory` to be decoded.

    Why it matters: what lies behind the cap was not checked; whoever loads the image needs that room.

    What to do: build the image with less in it.
    """
    for outcome in _layers(facts):
        if outcome.fault is not None and outcome.fault.kind == "cap":
            message = f"{outcome.layer.name}: {outcome.fault.message}"
            yield layer_over_cap.at(message, offset=outcome.layer.offset, length=outcome.layer.length)


@rule("DKR302", "docker-digest-differs", "error")
def digest_differs(facts: IntegrityFacts, limits: Limits) -> Iterator[Finding]:
    """A blob is not the one that its digest says.

    What it checks: the digest of each blob is the one in its name, which is what descriptors say of it; so it is
    for a configuration that is named by its digest.

    Why it matters: the blob was damaged, changed or replaced.

    What to do: fetch the archive again, or save it again.

    References: OCI image-spec, "Content Descriptors".
    """
    yield from _differing(digest_differs, facts, "blob")


@rule("DKR303", "docker-diff-id-differs", "error")
def diff_id_differs(facts: IntegrityFacts, limits: Limits) -> Iterator[Finding]:
    """A layer is not the one that the configuration says.

    What it checks: the digest of each layer's tar, unpacked, is its rootfs.diff_id in the configuration.

    Why it matters: the image's identity is the digest of its configuration, which vouches for the layers by their
    diff_ids: this layer is not the one that was built.

    What to do: do not use it; fetch the image again from its publisher.

    References: OCI image-spec, "Image Configuration".
    """
    yield from _differing(diff_id_differs, facts, "diff-id")
    for outcome in _layers(facts):
        for algorithm, actual, stated in differing(outcome):
            message = f"{algorithm} of its tar is {actual}, the configuration says {stated}"
            yield diff_id_differs.at(
                f"{outcome.layer.name}: {message}",
                field="diff_ids",
                offset=outcome.layer.offset,
                length=outcome.layer.length,
            )


@rule("DKR304", "docker-layer-unreadable", "error")
def layer_unreadable(facts: IntegrityFacts, limits: Limits) -> Iterator[Finding]:
    """A layer cannot be unpacked.

    What it checks: each layer decodes to its end, its check fields agree, and it is a tar whose headers hold.

    Why it matters: the image cannot be loaded, or loads without what comes later in the layer.

    What to do: fetch the archive again, or save it again.
    """
    for outcome in _layers(facts):
        if outcome.fault is not None and outcome.fault.kind in ("malformed", "checksum", "truncated"):
            message = f"{outcome.layer.name}: {outcome.fault.message}"
            yield layer_unreadable.at(message, offset=outcome.layer.offset, length=outcome.layer.length)


@rule("DKR305", "docker-digests-not-verified", "note")
def not_verified(facts: IntegrityFacts, limits: Limits) -> Iterator[Finding]:
    """Digests of the archive were not compared.

    What it checks: whether the digest of each blob was computed: not without a checksum to compute (that would read
    the whole file), nor of what went by in a stream before it was known.

    Why it matters: damage to those blobs is not looked for.

    What to do: inspect it with a checksum (the default), check it (`imgtool check`), give the file instead of a
    stream.
    """
    missing = [outcome.claim for outcome in facts.outcomes if outcome.actual is None]
    if missing:
        yield not_verified.at(f"{len(missing)} of {len(facts.outcomes)} digests were not compared")


RULES = (
    layer_unsafe_name,
    layer_expansion,
    layer_over_cap,
    digest_differs,
    diff_id_differs,
    layer_unreadable,
    not_verified,
)
