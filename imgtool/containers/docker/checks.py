"""The rules of docker archives and OCI layouts. Cost of each: headers and JSON documents as read.

References: Docker Image Specification v1.2; OCI image-spec, "Image Layout Specification".
"""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.containers.docker.facts import Absent, DockerFacts
from imgtool.containers.tar.safety import duplicates, links, special_members, unsafe_names
from imgtool.findings.core import Finding, Severity, rule
from imgtool.limits import Limits


@rule("DKR001", "docker-document-unreadable", "error")
def document_unreadable(facts: DockerFacts, limits: Limits) -> Iterator[Finding]:
    """A JSON document of the archive cannot be read.

    What it checks: manifest.json, index.json, oci-layout, manifests and configurations are JSON.

    Why it matters: what the archive holds cannot be told.

    What to do: fetch the archive again, or save it again.
    """
    for fault in facts.faults:
        yield document_unreadable.at(fault)


@rule("DKR002", "docker-manifest-missing", "error")
def manifest_missing(facts: DockerFacts, limits: Limits) -> Iterator[Finding]:
    """No document says which images the archive holds, or a manifest it lists is not there.

    What it checks: there is a manifest.json or index.json that lists images, and each manifest of the index
    is in the archive. A platform that a nested index lists and the archive lacks is a note: tools save
    one platform of many.

    Why it matters: the archive cannot be loaded, or not wholly.

    What to do: fetch the archive again, or save it again.

    References: OCI image-spec, "Image Index".
    """
    if not facts.images:
        yield manifest_missing.at("no image is listed that can be read", field="images")
    yield from (manifest_missing.at(told, severity=how) for told, how in _absent(facts, "manifest"))


def _absent(facts: DockerFacts, what: str) -> Iterator[tuple[str, Severity | None]]:
    for absent in facts.absent:
        if absent.what == what:
            yield _message(absent), "note" if absent.optional else None


def _message(absent: Absent) -> str:
    return f"{absent.what} {absent.name!r}, named by {absent.named_by}, is not in the archive"


@rule("DKR003", "docker-config-missing", "error")
def config_missing(facts: DockerFacts, limits: Limits) -> Iterator[Finding]:
    """The configuration of an image is not in the archive.

    What it checks: each Config of manifest.json, and each config blob of an OCI manifest, is a member.

    Why it matters: the image cannot be loaded.

    What to do: fetch the archive again, or save it again.
    """
    yield from (config_missing.at(told, severity=how) for told, how in _absent(facts, "config"))


@rule("DKR004", "docker-layer-missing", "error")
def layer_missing(facts: DockerFacts, limits: Limits) -> Iterator[Finding]:
    """A layer of an image is not in the archive.

    What it checks: each layer that a manifest lists is a member, or a link to one.

    Why it matters: the image cannot be loaded, or loads without what the layer changes.

    What to do: fetch the archive again, or save it again.
    """
    yield from (layer_missing.at(told, severity=how) for told, how in _absent(facts, "layer"))


@rule("DKR005", "docker-layer-count-differs", "error")
def layer_count(facts: DockerFacts, limits: Limits) -> Iterator[Finding]:
    """Manifest and configuration list different numbers of layers.

    What it checks: an image has as many layers as its configuration has rootfs.diff_ids.

    Why it matters: a layer was added or taken out after the image was made; its content is not what the
    configuration vouches for.

    What to do: do not use it; fetch the image again from its publisher.

    References: OCI image-spec, "Image Configuration".
    """
    for image in facts.images:
        if image.diff_ids is not None and image.diff_ids != len(image.layers):
            message = f"{image.config}: {image.diff_ids} diff_ids, the manifest lists {len(image.layers)} layers"
            yield layer_count.at(message, field="diff_ids")


@rule("DKR006", "docker-layout-version-unknown", "error")
def layout_version(facts: DockerFacts, limits: Limits) -> Iterator[Finding]:
    """The OCI layout has no version, or one that is not known.

    What it checks: an OCI layout has the file oci-layout, and its imageLayoutVersion is 1.x.

    Why it matters: tools refuse the layout, or read it by rules that are not its own.

    What to do: save the image again.

    References: OCI image-spec, "oci-layout file".
    """
    if "oci" in facts.layout and not (facts.oci_version or "").startswith("1."):
        yield layout_version.at(f"imageLayoutVersion is {facts.oci_version!r}", field="oci-layout")


@rule("DKR007", "docker-no-end-mark", "warning")
def end_missing(facts: DockerFacts, limits: Limits) -> Iterator[Finding]:
    """The archive has no end mark.

    What it checks: a block of zeros follows the last member.

    Why it matters: the archive may have been cut between two members.

    What to do: fetch it again and compare its size with the publisher's.
    """
    if facts.archive.whole and not facts.archive.ended:
        yield end_missing.at(
            f"the archive stops at {facts.archive.end} without an end mark", offset=facts.archive.end
        )


@rule("DKR008", "docker-data-after-end", "warning")
def data_after_end(facts: DockerFacts, limits: Limits) -> Iterator[Finding]:
    """Something follows the end of the archive.

    What it checks: behind the end mark there are only zeros, and no more of them than fill a record of 1 MiB
    (`limits.tar_record`).

    Why it matters: most programs stop at the end mark, some read on: what follows can be a second archive (a
    polyglot).

    What to do: look at what follows; save the image again.

    References: POSIX.1-2017 pax, "ustar Interchange Format".
    """
    archive = facts.archive
    if archive.behind is not None:
        message = f"bytes follow the end mark at {archive.end}, from {archive.behind} on"
        yield data_after_end.at(message, offset=archive.behind, length=facts.file_size - archive.behind)


@rule("DKR010", "docker-unsafe-member-name", "error")
def unsafe_name(facts: DockerFacts, limits: Limits) -> Iterator[Finding]:
    """A member's name leads out of the folder it is unpacked to.

    What it checks: no name of the archive itself is absolute, has `..`, a backslash, a drive letter or
    control characters. (Names inside layers are theirs.)

    Why it matters: unpacking it overwrites files of the host (CVE-2007-4559).

    What to do: do not unpack it; save the image again.
    """
    for fault in unsafe_names(facts.archive.members):
        yield unsafe_name.at(fault.message, field="name", offset=fault.offset, length=512)


@rule("DKR011", "docker-special-member", "error")
def special_member(facts: DockerFacts, limits: Limits) -> Iterator[Finding]:
    """A member is a device, a FIFO or of an unknown type.

    What it checks: every member of the archive itself is a file, a folder or a link.

    Why it matters: unpacked as root it makes a device that reads the host's disks.

    What to do: do not unpack it; save the image again.
    """
    for fault in special_members(facts.archive.members):
        yield special_member.at(fault.message, field="typeflag", offset=fault.offset, length=512)


@rule("DKR012", "docker-duplicate-member", "error")
def duplicate_member(facts: DockerFacts, limits: Limits) -> Iterator[Finding]:
    """Two members have the same name.

    What it checks: every name comes once.

    Why it matters: one tool takes the first, another the last: what was checked is not what runs.

    What to do: save the image again.
    """
    for fault in duplicates(facts.archive.members):
        yield duplicate_member.at(fault.message, field="name", offset=fault.offset, length=512)


@rule("DKR013", "docker-link-outside", "error")
def link_outside(facts: DockerFacts, limits: Limits) -> Iterator[Finding]:
    """A link points at something that is not in the archive.

    What it checks: every link of the archive itself points at another member. Those that do are a note:
    older tools save a layer once and link to it.

    Why it matters: a link that is unpacked first sends what is unpacked after it anywhere (CVE-2025-4517).

    What to do: do not unpack it; save the image again.
    """
    for member, inside in links(facts.archive.members):
        message = f"member {member.name!r} is a {member.kind} to {member.link!r}"
        yield link_outside.at(
            message,
            field="linkname",
            offset=member.header_offset,
            length=512,
            severity="note" if inside else None,
        )


@rule("DKR014", "docker-sparse-member", "error")
def sparse_member(facts: DockerFacts, limits: Limits) -> Iterator[Finding]:
    """A member is stored sparsely.

    What it checks: no member of the archive itself is one of GNU's sparse files.

    Why it matters: tools that do not know them read the map as content: one archive with two meanings.

    What to do: save the image again.

    References: GNU tar manual, "Storing Sparse Files".
    """
    for member in facts.archive.members:
        if member.kind == "sparse":
            message = f"member {member.name!r}: {member.size} bytes stored for {member.real_size}"
            yield sparse_member.at(message, field="typeflag", offset=member.header_offset, length=512)


@rule("DKR301", "docker-blob-size-differs", "error")
def blob_size(facts: DockerFacts, limits: Limits) -> Iterator[Finding]:
    """A blob has another size than its descriptor says.

    What it checks: the size in a descriptor is the size of the member.

    Why it matters: the blob was cut, replaced or changed.

    What to do: fetch the archive again, or save it again.

    References: OCI image-spec, "Content Descriptors".
    """
    for clash in facts.size_clashes:
        message = f"{clash.name} has {clash.actual} bytes, its descriptor says {clash.stated}"
        yield blob_size.at(message, field="size", offset=clash.offset)


RULES = (
    document_unreadable,
    manifest_missing,
    config_missing,
    layer_missing,
    layer_count,
    layout_version,
    end_missing,
    data_after_end,
    unsafe_name,
    special_member,
    duplicate_member,
    link_outside,
    sparse_member,
    blob_size,
)
