"""Stand-ins for QEMU's machine emulators: the tests need none of them installed."""

from __future__ import annotations

from pathlib import Path

NAMES = ("qemu-system-x86_64", "qemu-system-i386", "qemu-system-aarch64")

#: One that was not to be started.
NEVER = "#!/bin/sh\necho started >&2\nexit 99\n"


def stand_ins(folder: Path, script: str) -> Path:
    """Make a folder with an emulator of every name, each of which is the script."""
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return folder
