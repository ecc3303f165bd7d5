"""imgtool: inspect, validate and convert disk images. The public names, loaded when first used.

import imgtool

report = imgtool.inspect("disk.img")
report.format, report.virtual_size, report.checksums["sha256"]

verdict = imgtool.validate("disk.img", disk_format="qcow2")
verdict.accepted, verdict.findings

with imgtool.open_disk("disk.qcow2") as disk:
    disk.size, disk.read_at(0, 512), list(disk.extents())

with imgtool.Catalog.open("images", create=True) as catalog:
    catalog.create(imgtool.NewImage("web", "ops"), "disk.qcow2")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from imgtool.version import __version__

if TYPE_CHECKING:
    from imgtool.catalog.identity import Identity
    from imgtool.catalog.images import Changes as ImageChanges
    from imgtool.catalog.images import New as NewImage
    from imgtool.catalog.listing import Filters as ImageFilters
    from imgtool.catalog.listing import Sort as ImageSort
    from imgtool.catalog.service import Catalog
    from imgtool.conversion.api import convert, measure
    from imgtool.disks.compare import compare
    from imgtool.disks.open import open_disk
    from imgtool.errors import (
        ImgtoolError,
        InputError,
        NotFoundError,
        NotRegularError,
        OutputError,
        RefusedError,
        RejectedError,
        UnsupportedError,
        UsageError,
    )
    from imgtool.findings.core import Finding
    from imgtool.inspection.api import checksum, inspect
    from imgtool.inspection.validate import validate
    from imgtool.limits import Limits
    from imgtool.model.comparison import Comparison
    from imgtool.model.conversion import Conversion, Measure
    from imgtool.model.image import ImageRecord
    from imgtool.model.instance import Flavor, InstanceRecord
    from imgtool.model.report import Report
    from imgtool.model.verdict import Claims, Verdict
    from imgtool.policy.policy import Policy
    from imgtool.sources.disk import Disk, DiskError, EncryptedError, NotFollowedError

#: Where a public name is, and what it is called there where that is another name.
_PLACES = {
    "Catalog": "imgtool.catalog.service",
    "Claims": "imgtool.model.verdict",
    "Comparison": "imgtool.model.comparison",
    "Conversion": "imgtool.model.conversion",
    "Disk": "imgtool.sources.disk",
    "DiskError": "imgtool.sources.disk",
    "EncryptedError": "imgtool.sources.disk",
    "Finding": "imgtool.findings.core",
    "Flavor": "imgtool.model.instance",
    "Identity": "imgtool.catalog.identity",
    "ImageChanges": "imgtool.catalog.images:Changes",
    "ImageFilters": "imgtool.catalog.listing:Filters",
    "ImageRecord": "imgtool.model.image",
    "ImageSort": "imgtool.catalog.listing:Sort",
    "ImgtoolError": "imgtool.errors",
    "InputError": "imgtool.errors",
    "InstanceRecord": "imgtool.model.instance",
    "Limits": "imgtool.limits",
    "Measure": "imgtool.model.conversion",
    "NewImage": "imgtool.catalog.images:New",
    "NotFollowedError": "imgtool.sources.disk",
    "NotFoundError": "imgtool.errors",
    "NotRegularError": "imgtool.errors",
    "OutputError": "imgtool.errors",
    "Policy": "imgtool.policy.policy",
    "RefusedError": "imgtool.errors",
    "RejectedError": "imgtool.errors",
    "Report": "imgtool.model.report",
    "UnsupportedError": "imgtool.errors",
    "UsageError": "imgtool.errors",
    "Verdict": "imgtool.model.verdict",
    "checksum": "imgtool.inspection.api",
    "compare": "imgtool.disks.compare",
    "convert": "imgtool.conversion.api",
    "inspect": "imgtool.inspection.api",
    "measure": "imgtool.conversion.api",
    "open_disk": "imgtool.disks.open",
    "validate": "imgtool.inspection.validate",
}

__all__ = [
    "Catalog",
    "Claims",
    "Comparison",
    "Conversion",
    "Disk",
    "DiskError",
    "EncryptedError",
    "Finding",
    "Flavor",
    "Identity",
    "ImageChanges",
    "ImageFilters",
    "ImageRecord",
    "ImageSort",
    "ImgtoolError",
    "InputError",
    "InstanceRecord",
    "Limits",
    "Measure",
    "NewImage",
    "NotFollowedError",
    "NotFoundError",
    "NotRegularError",
    "OutputError",
    "Policy",
    "RefusedError",
    "RejectedError",
    "Report",
    "UnsupportedError",
    "UsageError",
    "Verdict",
    "__version__",
    "checksum",
    "compare",
    "convert",
    "inspect",
    "measure",
    "open_disk",
    "validate",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'imgtool' has no attribute {name!r}")
    module, _, called = place.partition(":")
    return getattr(import_module(module), called or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
