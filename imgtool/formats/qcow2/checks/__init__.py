"""The rules of qcow2 as a table; one module a theme."""

from __future__ import annotations

from imgtool.formats.qcow2.checks.encryption import ENCRYPTION
from imgtool.formats.qcow2.checks.extensions import EXTENSIONS
from imgtool.formats.qcow2.checks.metadata import METADATA
from imgtool.formats.qcow2.checks.references import REFERENCES
from imgtool.formats.qcow2.checks.structure import STRUCTURE

RULES = (*STRUCTURE, *EXTENSIONS, *METADATA, *REFERENCES, *ENCRYPTION)
