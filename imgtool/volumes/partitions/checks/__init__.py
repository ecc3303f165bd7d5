"""The rules of partition tables, a table each. Cost of each: what the readers have read anyway."""

from __future__ import annotations

from imgtool.volumes.partitions.checks.gpt import GPT
from imgtool.volumes.partitions.checks.mbr import MBR
from imgtool.volumes.partitions.checks.ranges import RANGES

GPT_RULES = (*GPT, *RANGES)
MBR_RULES = (*MBR, *RANGES)
APM_RULES = RANGES
