"""Flavors and instances of the catalog, as they are shown (schemas imgtool.flavor/1, imgtool.instance/1). Units are
those of the compute service: `ram` and `swap` are MiB, `disk` and `ephemeral` GiB. Times are RFC 3339 in UTC.

References: the Compute API of OpenStack, "Flavors" and "Servers".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

FLAVOR_SCHEMA = "imgtool.flavor/1"
INSTANCE_SCHEMA = "imgtool.instance/1"

InstanceStatus = Literal["building", "ready", "running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """What an instance gets.

    vcpus: virtual CPUs. ram: MiB of memory. disk: GiB of the root disk; 0 is the size that the image has.
    ephemeral: GiB of a second, empty disk; 0 for none. swap: MiB of a swap disk; 0 for none.
    public: everybody sees and uses it, else administrators alone.
    """

    name: str
    vcpus: int
    ram: int
    disk: int
    ephemeral: int
    swap: int
    public: bool

    def to_dict(self) -> dict[str, object]:
        """The flavor as plain JSON values, as `imgtool flavor show --json` prints it."""
        from imgtool.model.jsonable import jsonable

        return {"schema": FLAVOR_SCHEMA, **cast("dict[str, object]", jsonable(self))}


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRecord:
    """One instance of the catalog: disks over an image.

    id: a UUID. name: need not be unique. owner: the project that it belongs to. status: building while its disks are
    made, ready, running while it is switched on. image_id: what it was made from. flavor: the name of its flavor when
    it was made; vcpus, ram, disk, ephemeral and swap are what that gave. size: bytes of the root disk, as the guest
    sees it.
    """

    id: str
    name: str
    owner: str
    status: InstanceStatus
    image_id: str
    flavor: str
    vcpus: int
    ram: int
    disk: int
    ephemeral: int
    swap: int
    size: int
    created_at: str
    updated_at: str

    def to_dict(self) -> dict[str, object]:
        """The record as plain JSON values, as `imgtool instance show --json` prints it."""
        from imgtool.model.jsonable import jsonable

        return {"schema": INSTANCE_SCHEMA, **cast("dict[str, object]", jsonable(self))}
