"""qcow2 and qcow share their magic: which of the two a version number belongs to."""

from __future__ import annotations

from imgtool.detect.registry import Windows

_VERSION_1 = b"\0\0\0\x01"


def not_version_1(windows: Windows) -> bool:
    """True unless the version is 1, which is qcow's. Every other number is a qcow2, maybe a broken one."""
    return windows.head[4:8] != _VERSION_1
