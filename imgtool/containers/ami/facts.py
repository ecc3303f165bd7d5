"""What an EC2 bundle manifest says. Sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from imgtool.containers.member import ContainerFacts


class Digest(NamedTuple):
    """A digest as written: `algorithm` as named, `value` in hex."""

    algorithm: str | None
    value: str | None


class Part(NamedTuple):
    """A part of the bundle: a file beside the manifest."""

    number: int | None
    filename: str | None
    digest: Digest | None


class BlockDevice(NamedTuple):
    """A row of the block device mapping."""

    virtual: str | None
    device: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFacts(ContainerFacts):
    """Facts of a bundle manifest. `image_size` is of the image, `bundled_size` of its packed parts.

    `parts_stated` is the count attribute. Keys and the signature are only said to be there.
    """

    HIDDEN = frozenset({"fault", "forbidden"})

    version: str | None
    bundler: str | None
    image_name: str | None
    image_type: str | None
    user: str | None
    architecture: str | None
    kernel_id: str | None
    ramdisk_id: str | None
    image_size: int | None
    bundled_size: int | None
    digest: Digest | None
    key_algorithm: str | None
    signed: bool
    parts_stated: int | None
    parts: tuple[Part, ...]
    block_devices: tuple[BlockDevice, ...]
    fault: str | None
    forbidden: bool
