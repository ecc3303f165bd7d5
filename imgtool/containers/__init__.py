"""The registry of containers: plain data, nothing of what it names is imported."""

from __future__ import annotations

from imgtool.detect.registry import Entry

CONTAINERS: tuple[Entry, ...] = ()
