"""The rules of qcow2 as a table; one module a hundred."""

from __future__ import annotations

from imgtool.formats.qcow2.checks.encryption import ENCRYPTION
from imgtool.formats.qcow2.checks.structure import STRUCTURE

RULES = (*STRUCTURE, *ENCRYPTION)
