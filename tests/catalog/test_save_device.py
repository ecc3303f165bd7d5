"""Data of images onto block devices."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from imgtool.catalog.images import New
from imgtool.catalog.service import Catalog
from tests.catalog.launched import As
from tests.targets.kit import loop_device


def test_onto_a_device_that_holds_something(as_: As, tmp_path: Path) -> None:
    """What is a hole in the data is zeros on the device, too."""
    given = tmp_path / "sparse.raw"
    with open(given, "wb") as file:
        file.truncate(8 << 20)
        file.seek(3 << 20)
        file.write(b"data" * 1000)
    catalog = as_()
    catalog.create(New("sparse", "ops", disk_format="raw"), given)
    behind = tmp_path / "behind"
    for how in (Catalog.save, partial(Catalog.save_as, to="raw")):
        behind.write_bytes(b"\xff" * (16 << 20))
        with loop_device(behind) as device:
            how(catalog, "sparse", device, force=True)
            with open(device, "rb") as file:
                assert file.read(8 << 20) == given.read_bytes()
