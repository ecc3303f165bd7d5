"""Images out of the documents of an archive: docker's manifest.json, and OCI's index.json and manifests.

References: Docker Image Specification v1.2, "Combined Image JSON + Filesystem Changeset Format"; OCI
image-spec, "Image Layout", "Image Index", "Image Manifest", "Image Configuration".
"""

from __future__ import annotations

from imgtool.containers.docker.contents import Contents
from imgtool.containers.docker.documents import Descriptor, clean, descriptor, items, mapping, string, strings
from imgtool.containers.docker.facts import Image, Layer
from imgtool.limits import Limits

#: Media types of manifests that list manifests.
INDEX_TYPES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)


def is_docker_manifest(value: object) -> bool:
    """True for what `docker save` writes: a list of objects with Config and Layers."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(entry, dict) and "Config" in entry and "Layers" in entry for entry in value[:16])


def docker_images(contents: Contents, limits: Limits) -> tuple[list[Image], int]:
    """The images that manifest.json lists, and how many it lists."""
    value = contents.document("manifest.json")
    if not is_docker_manifest(value) or not isinstance(value, list):
        return [], 0
    return [_docker_image(entry, contents, limits) for entry in value[: limits.docker_images]], len(value)


def _docker_image(entry: object, contents: Contents, limits: Limits) -> Image:
    config = string(entry, "Config") or ""
    if contents.find(config) is None:
        contents.lacks("config", config, "manifest.json")
    told = contents.document(config)
    diff_ids = _diff_ids(told, limits)
    sources = mapping(entry, "LayerSources")
    layers = []
    names = strings(entry, "Layers", limits.docker_layers)
    for index, name in enumerate(names):
        member = contents.find(name)
        if member is None:
            contents.lacks("layer", name, "manifest.json")
        diff_id = diff_ids[index] if diff_ids is not None and index < len(diff_ids) else None
        source = descriptor(sources.get(diff_id)) if diff_id else None
        digest = _digest_of(name) or (source.digest if source else None)
        size = member.size if member else None
        layers.append(Layer(name, size, digest, diff_id, source.media_type if source else None))
    tags = strings(entry, "RepoTags", limits.docker_images)
    return _image("manifest.json", tags, None, config, _digest_of(config), told, layers, diff_ids)


def _digest_of(name: str) -> str | None:
    """The digest in a member's name: `blobs/sha256/HEX`, `HEX.json`."""
    stem = name.rpartition("/")[2].removesuffix(".json")
    plain = len(stem) == 64 and all(letter in "0123456789abcdef" for letter in stem)
    named = name.startswith("blobs/sha256/") or name == f"{stem}.json"
    return f"sha256:{stem}" if plain and named else None


def _diff_ids(config: object, limits: Limits) -> tuple[str, ...] | None:
    if not isinstance(config, dict):
        return None
    return strings(mapping(config, "rootfs"), "diff_ids", limits.docker_layers)


def _image(
    source: str,
    tags: tuple[str, ...],
    manifest_digest: str | None,
    config: str | None,
    config_digest: str | None,
    told: object,
    layers: list[Layer],
    diff_ids: tuple[str, ...] | None,
) -> Image:
    return Image(
        source,
        tags,
        manifest_digest,
        config,
        config_digest,
        isinstance(told, dict),
        string(told, "architecture"),
        string(told, "os"),
        string(told, "created"),
        tuple(layers),
        len(diff_ids) if diff_ids is not None else None,
    )


def oci_images(contents: Contents, limits: Limits) -> tuple[list[Image], int]:
    """The images that index.json lists, through nested indexes, and how many there are."""
    found: list[Image] = []
    total = 0
    waiting = [(contents.document("index.json"), "index.json", 0, "")]
    seen: set[str] = set()
    while waiting:
        index, named_by, depth, tag = waiting.pop(0)
        for value in items(index, "manifests", limits.docker_layers):
            told = descriptor(value)
            total += 1
            name = contents.blob(told.digest, told.size)
            if name is None:
                contents.lacks("manifest", told.digest or "", named_by, optional=depth > 0)
                continue
            if name in seen or len(seen) >= limits.docker_images:
                continue
            seen.add(name)
            document = contents.document(name)
            if told.media_type in INDEX_TYPES or items(document, "manifests", 1):
                total -= 1
                if depth < limits.docker_index_depth:
                    waiting.append((document, name, depth + 1, told.tag or tag))
            elif isinstance(document, dict):
                found.append(_oci_image(document, told, told.tag or tag, contents, limits))
    return found, total


def _oci_image(document: object, told: Descriptor, tag: str, contents: Contents, limits: Limits) -> Image:
    stated = descriptor(mapping(document, "config"))
    config = contents.blob(stated.digest, stated.size)
    if config is None:
        contents.lacks("config", stated.digest or "", told.digest or "")
    settings = contents.document(config) if config and _is_config(stated) else None
    diff_ids = _diff_ids(settings, limits)
    layers = []
    for index, value in enumerate(items(document, "layers", limits.docker_layers)):
        layer = descriptor(value)
        name = contents.blob(layer.digest, layer.size)
        if name is None and not layer.urls:
            contents.lacks("layer", layer.digest or "", told.digest or "")
        member = contents.find(name) if name else None
        diff_id = diff_ids[index] if diff_ids is not None and index < len(diff_ids) else None
        size = member.size if member else None
        urls = layer.urls if name is None else ()
        layers.append(Layer(name or "", size, layer.digest, diff_id, layer.media_type, layer.size, urls))
    tags = (clean(tag) or "",) if tag else ()
    image = _image("index.json", tags, told.digest, config, stated.digest, settings, layers, diff_ids)
    return image if image.os or not told.platform else image._replace(os=told.platform)


def _is_config(stated: Descriptor) -> bool:
    """True where the config is an image's: artifacts keep other things there."""
    known = ("application/vnd.oci.image.config", "application/vnd.docker.container.image")
    return stated.media_type is None or stated.media_type.startswith(known)
