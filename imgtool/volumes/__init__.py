"""The registry of what lies inside raw bytes: tables, file systems, kernels, ramdisks. Plain data."""

from __future__ import annotations

from imgtool.detect.registry import Entry

VOLUMES: tuple[Entry, ...] = ()
