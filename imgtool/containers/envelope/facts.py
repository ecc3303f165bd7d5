"""What an OVF descriptor says: files, disks, systems, networks, products. Sizes in bytes.

Reference: DSP0243 2.1.1 (and 1.1.0), clauses 7 to 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from imgtool.containers.member import ContainerFacts


class OvfFile(NamedTuple):
    """A File of References. `size` is of the file as stored; `chunk_size` where it is cut into chunks."""

    id: str | None
    href: str
    size: int | None
    compression: str | None
    chunk_size: int | None


class OvfDisk(NamedTuple):
    """A Disk of DiskSection. `capacity` is None where it cannot be told; `capacity_text` is as written.

    `format` is the disk format that `format_uri` stands for; None where the URI is not known.
    """

    disk_id: str | None
    file_ref: str | None
    capacity: int | None
    capacity_text: str | None
    capacity_units: str | None
    populated_size: int | None
    format: str | None
    format_uri: str | None
    parent_ref: str | None


class VirtualSystem(NamedTuple):
    """A VirtualSystem: its hardware in short. `drives` are the host resources that its items name."""

    id: str | None
    name: str | None
    os: str | None
    hardware: str | None
    cpus: int | None
    memory: int | None
    drives: tuple[str, ...]


class Product(NamedTuple):
    """A ProductSection."""

    name: str | None
    vendor: str | None
    version: str | None


class Envelope(NamedTuple):
    """A descriptor as a whole. `fault` says why it could not be read; `forbidden` that it has a DTD."""

    namespace: str | None = None
    version: str | None = None
    files: tuple[OvfFile, ...] = ()
    disks: tuple[OvfDisk, ...] = ()
    systems: tuple[VirtualSystem, ...] = ()
    networks: tuple[str, ...] = ()
    products: tuple[Product, ...] = ()
    fault: str | None = None
    forbidden: bool = False

    @property
    def virtual_size(self) -> int | None:
        """The sum of the capacities; None without disks, or where one cannot be told."""
        sizes = [disk.capacity for disk in self.disks if disk.capacity is not None]
        return sum(sizes) if sizes and len(sizes) == len(self.disks) else None

    @property
    def disk_format(self) -> str | None:
        """What the first disk with a known format is."""
        return next((disk.format for disk in self.disks if disk.format), None)

    @property
    def label(self) -> str | None:
        """The name of the first product, else of the first system."""
        names = [product.name for product in self.products]
        names += [system.name or system.id for system in self.systems]
        return next((name for name in names if name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeFacts(ContainerFacts):
    """Facts of an OVF descriptor, alone or in an OVA. `descriptor_size` and `descriptor_offset` in bytes."""

    HIDDEN = frozenset({"envelope", "descriptor_offset"})

    ovf_version: str | None
    descriptor_size: int
    descriptor_offset: int
    files: tuple[OvfFile, ...]
    disks: tuple[OvfDisk, ...]
    systems: tuple[VirtualSystem, ...]
    networks: tuple[str, ...]
    products: tuple[Product, ...]
    envelope: Envelope
