"""The digests that a docker archive or OCI layout states of its members, and where its layers lie.

A blob's name is its digest, which is what descriptors say of it. A diff_id is the digest of a layer's tar as it
is unpacked: of the stored bytes where they are not packed.

References: OCI image-spec, "Content Descriptors", "Image Layout", "Image Configuration".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from imgtool.codecs.decode import Method
from imgtool.containers.docker.contents import Contents
from imgtool.containers.docker.facts import Image, Layer, StoredLayer
from imgtool.containers.member import Claim
from imgtool.containers.tar.archive import TarMember
from imgtool.limits import Limits
from imgtool.structs.view import Unreadable, View

_BLOB = re.compile(r"blobs/(sha256|sha384|sha512)/([0-9a-f]{64,128})")
_DIGEST = re.compile(r"(sha256|sha384|sha512):([0-9a-f]{64,128})")
_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}

#: First bytes → how a layer is packed; its media type may say nothing of it. A tar is anything else.
_MAGICS: tuple[tuple[bytes, Method], ...] = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
)

#: Media types of layers that are tars begin like this; other artifacts keep anything in theirs.
_TARS = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")


def parse_digest(digest: str | None) -> tuple[str, str] | None:
    """Algorithm and hex of a digest such as `sha256:…`; None for one that cannot be computed here."""
    match = _DIGEST.fullmatch(digest or "")
    return (match[1], match[2]) if match and len(match[2]) == _DIGITS[match[1]] else None


def stored_layers(view: View, contents: Contents, images: list[Image]) -> tuple[StoredLayer, ...]:
    """Every layer that is in the archive, once, with the diff_ids that configurations give it."""
    found: dict[TarMember, StoredLayer] = {}
    for image in images:
        for layer in image.layers:
            member = contents.find(layer.member)
            if member is None or member.kind != "file":
                continue
            known = found.get(member)
            if known is None:
                method = None if _is_encrypted(layer) else _method(view, member)
                is_tar = layer.media_type is None or layer.media_type.startswith(_TARS)
                known = StoredLayer(member.name, member.offset, member.size, method, (), is_tar)
            fresh = layer.diff_id is not None and layer.diff_id not in known.diff_ids
            found[member] = known._replace(diff_ids=(*known.diff_ids, layer.diff_id or "")) if fresh else known
    return tuple(found.values())


def _is_encrypted(layer: Layer) -> bool:
    return "+encrypted" in (layer.media_type or "")


def _method(view: View, member: TarMember) -> Method | None:
    """How a layer is packed; None where its first bytes are not there."""
    try:
        head = view.peek(member.offset, min(6, member.size))
    except Unreadable:
        return None
    return next((method for magic, method in _MAGICS if head.startswith(magic)), "stored")


def claims_of(
    contents: Contents, images: list[Image], stored: tuple[StoredLayer, ...], limits: Limits
) -> tuple[Claim, ...]:
    """Every digest of bytes that lie in the archive as they are, at most `limits.docker_blobs`."""
    claims = dict.fromkeys((*_blobs(contents), *_configs(contents, images), *_diff_ids(stored)))
    return tuple(claims)[: limits.docker_blobs]


def _blobs(contents: Contents) -> Iterator[Claim]:
    for member in contents.archive.members:
        match = _BLOB.fullmatch(member.plain_name)
        if match and member.kind == "file" and len(match[2]) == _DIGITS[match[1]]:
            yield Claim("blob", member.name, "its name", match[1], match[2], member.offset, member.size)


def _configs(contents: Contents, images: list[Image]) -> Iterator[Claim]:
    """Configurations that are named by their digest outside of `blobs`, as `docker save` does."""
    for image in images:
        digest, member = parse_digest(image.config_digest), contents.find(image.config or "")
        if digest and member is not None and member.kind == "file" and not _BLOB.fullmatch(member.plain_name):
            yield Claim("blob", member.name, "its name", *digest, member.offset, member.size)


def _diff_ids(stored: tuple[StoredLayer, ...]) -> Iterator[Claim]:
    for layer in stored:
        for diff_id in layer.diff_ids if layer.method == "stored" else ():
            digest = parse_digest(diff_id)
            if digest:
                yield Claim("diff-id", layer.name, "the configuration", *digest, layer.offset, layer.length)
