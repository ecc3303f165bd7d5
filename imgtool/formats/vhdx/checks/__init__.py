"""The rules of VHDX as a table; one module a structure."""

from __future__ import annotations

from imgtool.formats.vhdx.checks.headers import HEADERS
from imgtool.formats.vhdx.checks.metadata import METADATA
from imgtool.formats.vhdx.checks.regions import REGIONS

RULES = (*HEADERS, *REGIONS, *METADATA)
