"""The rules of VDI as a table: those over the header. Those over the block map are in `tables`."""

from __future__ import annotations

from imgtool.formats.vdi.checks.header import RULES

__all__ = ["RULES"]
