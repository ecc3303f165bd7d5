"""The rules of VHD as a table; one module a theme."""

from __future__ import annotations

from imgtool.formats.vhd.checks.integrity import INTEGRITY
from imgtool.formats.vhd.checks.sizes import SIZES
from imgtool.formats.vhd.checks.structure import STRUCTURE

RULES = (*STRUCTURE, *SIZES, *INTEGRITY)
