"""imgtool: inspect, validate and convert disk images. The public names, loaded when first used.

import imgtool

report = imgtool.inspect("disk.img")
report.format, report.virtual_size, report.checksums["sha256"]

with imgtool.open_disk("disk.qcow2") as disk:
    disk.size, disk.read_at(0, 512), list(disk.extents())
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from imgtool.version import __version__

if TYPE_CHECKING:
    from imgtool.disks.compare import compare
    from imgtool.disks.open import open_disk
    from imgtool.errors import (
        ImgtoolError,
        InputError,
        NotFoundError,
        NotRegularError,
        UnsupportedError,
        UsageError,
    )
    from imgtool.findings.core import Finding
    from imgtool.inspection.api import checksum, inspect
    from imgtool.limits import Limits
    from imgtool.model.comparison import Comparison
    from imgtool.model.report import Report
    from imgtool.sources.disk import Disk, DiskError, EncryptedError, NotFollowedError

_PLACES = {
    "Comparison": "imgtool.model.comparison",
    "Disk": "imgtool.sources.disk",
    "DiskError": "imgtool.sources.disk",
    "EncryptedError": "imgtool.sources.disk",
    "Finding": "imgtool.findings.core",
    "ImgtoolError": "imgtool.errors",
    "InputError": "imgtool.errors",
    "Limits": "imgtool.limits",
    "NotFollowedError": "imgtool.sources.disk",
    "NotFoundError": "imgtool.errors",
    "NotRegularError": "imgtool.errors",
    "Report": "imgtool.model.report",
    "UnsupportedError": "imgtool.errors",
    "UsageError": "imgtool.errors",
    "checksum": "imgtool.inspection.api",
    "compare": "imgtool.disks.compare",
    "inspect": "imgtool.inspection.api",
    "open_disk": "imgtool.disks.open",
}

__all__ = [
    "Comparison",
    "Disk",
    "DiskError",
    "EncryptedError",
    "Finding",
    "ImgtoolError",
    "InputError",
    "Limits",
    "NotFollowedError",
    "NotFoundError",
    "NotRegularError",
    "Report",
    "UnsupportedError",
    "UsageError",
    "__version__",
    "checksum",
    "compare",
    "inspect",
    "open_disk",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'imgtool' has no attribute {name!r}")
    return getattr(import_module(place), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
