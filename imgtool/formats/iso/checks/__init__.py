"""The rules of iso as a table."""

from __future__ import annotations

from imgtool.formats.iso.checks.boot import BOOT
from imgtool.formats.iso.checks.structure import STRUCTURE
from imgtool.formats.iso.checks.udf import UDF

RULES = (*STRUCTURE, *BOOT, *UDF)
