"""Output files: written beside their target under a temporary name, flushed, then renamed. What failed leaves
nothing behind."""

from __future__ import annotations

import os
import tempfile

from imgtool.targets.output import umask


def write_whole(path: str, data: bytes) -> None:
    """Make `path` hold exactly `data`, replacing what was there. Raises OSError; then `path` is as it was."""
    folder = os.path.dirname(path) or "."
    handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
