"""imgtool: inspect, validate and convert disk images. The public names, loaded when first used.

import imgtool

report = imgtool.inspect("disk.img")
report.format, report.virtual_size, report.checksums["sha256"]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from imgtool.version import __version__

if TYPE_CHECKING:
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
    from imgtool.model.report import Report

_PLACES = {
    "Finding": "imgtool.findings.core",
    "ImgtoolError": "imgtool.errors",
    "InputError": "imgtool.errors",
    "Limits": "imgtool.limits",
    "NotFoundError": "imgtool.errors",
    "NotRegularError": "imgtool.errors",
    "Report": "imgtool.model.report",
    "UnsupportedError": "imgtool.errors",
    "UsageError": "imgtool.errors",
    "checksum": "imgtool.inspection.api",
    "inspect": "imgtool.inspection.api",
}

__all__ = [
    "Finding",
    "ImgtoolError",
    "InputError",
    "Limits",
    "NotFoundError",
    "NotRegularError",
    "Report",
    "UnsupportedError",
    "UsageError",
    "__version__",
    "checksum",
    "inspect",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'imgtool' has no attribute {name!r}")
    return getattr(import_module(place), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
