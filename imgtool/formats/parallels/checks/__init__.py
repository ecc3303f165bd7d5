"""The rules of Parallels images as a table: those over the header. Those over the table are in `tables`."""

from __future__ import annotations

from imgtool.formats.parallels.checks.header import RULES

__all__ = ["RULES"]
