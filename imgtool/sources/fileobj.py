"""A seekable binary file object (BytesIO, a zip member, a spooled file) as a Source."""

from __future__ import annotations

import io
from threading import Lock
from typing import IO

from imgtool.errors import InputError
from imgtool.sources.base import Source, check_range


class FileObjectSource(Source):
    """Reads by seek and read under a lock. The object stays the caller's: it is not closed."""

    __slots__ = ("_file", "_lock")

    def __init__(self, file: IO[bytes], name: str = "<file object>") -> None:
        self._file = file
        self._lock = Lock()
        self.name = name
        self.size = file.seek(0, io.SEEK_END)

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length)
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        parts: list[bytes] = []
        with self._lock:
            try:
                self._file.seek(offset)
                while length > 0 and (part := self._file.read(length)):
                    parts.append(part)
                    length -= len(part)
            except OSError as error:
                raise InputError(f"{self.name}: cannot read at byte {offset}: {error}") from error
        return b"".join(parts)
