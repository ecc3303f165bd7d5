"""Docker archives (`docker save`) and OCI image layouts in a tar. Layers are listed, not unpacked.

What counts as one: a manifest.json that lists Config and Layers; an `oci-layout` beside an `index.json` or
blobs; or the `repositories` and `…/layer.tar` of docker before 1.10. Any other tar is an ordinary one.

References: Docker Image Specification v1.2; OCI image-spec, "Image Layout Specification".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from imgtool.containers.docker.claims import claims_of, stored_layers
from imgtool.containers.docker.contents import Contents
from imgtool.containers.docker.documents import string
from imgtool.containers.docker.facts import DockerFacts, Image
from imgtool.containers.docker.images import docker_images, is_docker_manifest, oci_images
from imgtool.containers.member import Member, Role
from imgtool.containers.tar.archive import Archive, TarMember, read_archive
from imgtool.limits import Limits
from imgtool.model.values import Reference
from imgtool.structs.view import View

_DOCUMENTS = frozenset({"manifest.json", "index.json", "oci-layout", "repositories"})
_BLOB = re.compile(r"blobs(?:/sha256(?:/[0-9a-f]{64})?)?")
_LAYER = re.compile(r"[0-9a-f]{64}(?:/layer\.tar|/VERSION|/json|\.json|\.tar)?")
_DIGEST = re.compile(r"[0-9a-f]{64}|/layer\.tar$")


def read(view: View, limits: Limits) -> DockerFacts | None:
    """The facts of a docker archive or OCI layout; None for a tar that is neither."""
    archive = read_archive(view, limits, _is_marked)
    if archive is None:
        return None
    contents = Contents(view, archive, limits)
    layout = _layout(archive, contents)
    if layout is None:
        return None
    images, total = docker_images(contents, limits)
    if "oci" in layout:
        further, more = oci_images(contents, limits)
        configs = {image.config for image in images}
        fresh = [image for image in further if image.config not in configs or not image.config_read]
        images, total = images + fresh, max(total, more)
    members = tuple(_members(archive, contents, images))
    stored = stored_layers(view, contents, images)
    urls = tuple(Reference("href", url) for image in images for layer in image.layers for url in layer.urls)
    labels = (tag for image in images for tag in image.tags)
    return DockerFacts(
        format="docker",
        file_size=view.size,
        broken=not images and (bool(contents.faults) or not (archive.whole and archive.ended)),
        partial=bool(view.problems) or bool(contents.faults),
        label=next(labels, None),
        references=urls[: limits.references],
        problems=view.problems,
        members=members,
        members_total=len(members),
        disk_format="raw",
        claims=claims_of(contents, images, stored, limits),
        layout=layout,
        oci_version=string(contents.document("oci-layout"), "imageLayoutVersion"),
        images=tuple(images),
        images_total=total,
        absent=tuple(contents.absent),
        size_clashes=tuple(contents.size_clashes),
        faults=tuple(contents.faults),
        stored=stored,
        archive=archive,
    )


def _is_marked(member: TarMember) -> bool:
    """True for names that docker or OCI archives have and few others do: documents, layers, digests."""
    name = member.plain_name
    return name in _DOCUMENTS or name.startswith("blobs/") or _DIGEST.search(name) is not None


def _layout(archive: Archive, contents: Contents) -> str | None:
    """docker, oci, docker+oci or docker-v1; None for an ordinary tar."""
    names = {member.plain_name for member in archive.members}
    blobs = any(name.startswith("blobs/") for name in names)
    oci = ("oci-layout" in names and ("index.json" in names or blobs)) or ("index.json" in names and blobs)
    layers = any(name.endswith("/layer.tar") for name in names)
    if "manifest.json" in names:
        strange = any(member.plain_name == "manifest.json" and member.kind != "file" for member in archive.members)
        marks = layers or "repositories" in names or oci or strange
        if is_docker_manifest(contents.document("manifest.json")):
            return "docker+oci" if oci else "docker"
        if marks and not oci:
            return "docker"
    if oci:
        return "oci"
    if layers and "repositories" in names:
        return "docker-v1"
    return None if archive.whole and archive.ended else _cut_layout(names)


def _cut_layout(names: set[str]) -> str | None:
    """What an archive was that ends before its documents: blobs and layers are named by digests."""
    for name in names:
        if _BLOB.fullmatch(name):
            return "oci"
        if _LAYER.fullmatch(name):
            return "docker"
    return None


def _members(archive: Archive, contents: Contents, images: list[Image]) -> Iterator[Member]:
    roles: dict[str, Role] = {"manifest.json": "manifest", "index.json": "manifest", "oci-layout": "descriptor"}
    roles["repositories"] = "descriptor"
    for image in images:
        for layer in image.layers:
            member = contents.find(layer.member)
            if member is not None:
                roles[member.plain_name] = "layer"
        if image.config:
            roles[image.config] = "config"
        if image.manifest_digest:
            roles["blobs/" + image.manifest_digest.replace(":", "/", 1)] = "manifest"
    for member in archive.members:
        if member.has_data:
            role = roles.get(member.plain_name, "layer" if member.name.endswith("/layer.tar") else "file")
            yield Member(member.name, member.real_size, role, member.offset, member.kind)
