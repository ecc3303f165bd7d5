"""What tests of instances begin with: a catalog with images to stand on, and what is written in a root disk."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imgtool.catalog.images import New
from imgtool.catalog.service import Catalog
from imgtool.model.image import ImageRecord
from imgtool.model.instance import Flavor

As = Callable[..., Catalog]

MIB = 1 << 20
CONTENT = b"the first sector".ljust(512, b"\0") + bytes(MIB - 1024) + b"the last one".ljust(512, b"\0")

#: One whose root disk is as large as the image, and one with all disks.
PLAIN = Flavor(name="plain", vcpus=1, ram=64, disk=0, ephemeral=0, swap=0, public=True)
FULL = Flavor(name="full", vcpus=2, ram=128, disk=1, ephemeral=1, swap=2, public=True)


def filled(catalog: Catalog, folder: Path, name: str = "base", **more: Any) -> ImageRecord:
    """An image of a raw disk, and the two flavors."""
    (folder / "base.img").write_bytes(CONTENT)
    have = {one.name for one in catalog.flavors.list()}
    for flavor in (PLAIN, FULL):
        if flavor.name not in have:
            catalog.flavors.create(flavor)
    return catalog.create(New(name, "ops", visibility="public")._replace(**more), folder / "base.img")


def of_format(folder: Path, form: str) -> Path:
    """The same disk in another format, by qemu-img."""
    (folder / "base.img").write_bytes(CONTENT)
    path = folder / f"base.{form}"
    driver = {"vhd": "vpc"}.get(form, form)
    more = ["-o", "force_size=on"] if form == "vhd" else []
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", driver, *more, str(folder / "base.img"), str(path)], check=True
    )
    return path


def write(path: str, at: int, pattern: int, length: int) -> None:
    """What a guest would do: bytes of its root disk."""
    done = subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", f"write -P {pattern} {at} {length}", path], capture_output=True, check=True
    )
    assert b"wrote" in done.stdout


def digest(catalog: Catalog, record: ImageRecord) -> str:
    """The bytes of an image's data, as they are now, and who may write them."""
    path = Path(catalog.store.path(f"{record.id}.1") or "")
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mode:o}"


def folder_of(catalog: Catalog) -> list[str]:
    """What lies beside the blobs, by what it is: ids are left out."""
    folder = Path(catalog.store.place) / "instances"
    return sorted(path.name.partition(".")[2] for path in folder.iterdir()) if folder.exists() else []
