"""A folder with a small catalog that has images in every status, and files beside it: for examples and tests."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from imgtool.catalog.images import New
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from tests.catalog.emulators import stand_ins
from tests.kit import fixture

#: Who owns what is in it, and sees all of it.
ADMIN = "root:ops:admin"


def seeded(folder: Path) -> None:
    """Make it: files disk.img (qcow2), other.img (raw), imgtool.toml, access.yaml; images web, public,
    shared (with lab), quarantined (deactivated), retired (pending_delete), reserved (queued),
    appliance (an OVA); in bin a QEMU that does nothing."""
    stand_ins(folder / "bin", "#!/bin/sh\nexit 0\n")
    (folder / "disk.img").write_bytes(fixture("qcow2/plain.qcow2"))
    (folder / "other.img").write_bytes(bytes(1 << 20))
    (folder / "hostile.img").write_bytes(fixture("qcow2/backing.qcow2"))
    (folder / "imgtool.toml").write_text('[catalog]\nlocation = "catalog"\nas = "root:ops:admin"\n')
    (folder / "access.yaml").write_text('get_catalog: "role:reader"\n')
    place = Config(location=str(folder / "catalog"))
    with Catalog.open(identity=ADMIN, config=place, create=True) as catalog:
        disk = folder / "disk.img"
        catalog.create(New("web", "ops", tags=("linux", "stable"), properties={"os_distro": "debian"}), disk)
        catalog.create(New("public", "ops", visibility="public"), disk)
        shared = catalog.create(
            New("shared", "ops", disk_format="raw", properties={"os_distro": "debian"}), folder / "other.img"
        )
        catalog.add_member(shared.id, "lab")
        catalog.create(New("quarantined", "ops"), disk)
        catalog.deactivate("quarantined", "looks odd")
        catalog.create(New("retired", "ops"), disk)
        catalog.delete("retired")
        catalog.reserve(New("reserved", "ops"))
        catalog.create(New("appliance", "ops"), BytesIO(fixture("ova/small.ova.gz")))


def launched(folder: Path) -> None:
    """Make instances vm1, vm2, vm3 over quarantined, which cannot be deleted then."""
    with Catalog.open(identity=ADMIN, config=Config(location=str(folder / "catalog"))) as catalog:
        for name in ("vm1", "vm2", "vm3"):
            catalog.instances.create(name, "quarantined", "m1.tiny")
