"""The table rules of ISO images: none of their own. Where the volume ends is for the rules of any image."""

from __future__ import annotations

from imgtool.findings.core import Rule
from imgtool.model.tables import TableFacts

RULES: tuple[Rule[TableFacts], ...] = ()
