"""What the docker reader finds: images with their configuration and layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from imgtool.codecs.decode import Method
from imgtool.containers.member import ContainerFacts
from imgtool.containers.tar.archive import NO_ARCHIVE, Archive


class Layer(NamedTuple):
    """A layer. `member` is what it is called in the archive, `size` its bytes there (None where missing)."""

    member: str
    size: int | None
    digest: str | None
    diff_id: str | None
    media_type: str | None
    stated_size: int | None = None
    urls: tuple[str, ...] = ()


class Image(NamedTuple):
    """An image. `source` says which document lists it; `config_read` whether its configuration was there."""

    source: str
    tags: tuple[str, ...]
    manifest_digest: str | None
    config: str | None
    config_digest: str | None
    config_read: bool
    architecture: str | None
    os: str | None
    created: str | None
    layers: tuple[Layer, ...]
    diff_ids: int | None


class StoredLayer(NamedTuple):
    """The bytes of a layer: `length` from `offset` on, packed by `method` ("stored": not packed; None: encrypted, or
    its first bytes are not there). `diff_ids`: the digests that configurations give its tar; `tar`: it is to be one.
    """

    name: str
    offset: int
    length: int
    method: Method | None
    diff_ids: tuple[str, ...]
    tar: bool


class Absent(NamedTuple):
    """A blob or member that a document names and the archive lacks. `optional`: of another platform."""

    what: str
    name: str
    named_by: str
    optional: bool = False


class SizeClash(NamedTuple):
    """A blob whose size is not the one in its descriptor."""

    name: str
    stated: int
    actual: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerFacts(ContainerFacts):
    """Facts of a docker archive (`docker save`), an OCI layout, or both in one tar.

    `layout`: docker, oci, docker+oci, or docker-v1 (before 1.10: no manifest.json). `stored`: each layer that is
    there, once.
    """

    HIDDEN = frozenset({"archive", "absent", "size_clashes", "faults", "stored"})

    layout: str
    oci_version: str | None
    images: tuple[Image, ...]
    images_total: int
    absent: tuple[Absent, ...]
    size_clashes: tuple[SizeClash, ...]
    faults: tuple[str, ...]
    stored: tuple[StoredLayer, ...]
    archive: Archive

    def released(self) -> Self:
        """These facts without the archive's members."""
        return replace(self, members=(), claims=(), stored=(), archive=NO_ARCHIVE)
