"""The rules of VMDK as a table; one module a theme."""

from __future__ import annotations

from imgtool.formats.vmdk.checks.bombs import BOMBS, PORTABILITY
from imgtool.formats.vmdk.checks.descriptor import DESCRIPTOR
from imgtool.formats.vmdk.checks.esx import ESX
from imgtool.formats.vmdk.checks.extents import EXTENTS
from imgtool.formats.vmdk.checks.structure import STRUCTURE

RULES = (*STRUCTURE, *ESX, *DESCRIPTOR, *EXTENTS, *BOMBS, *PORTABILITY)
