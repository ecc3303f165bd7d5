"""Binary streams that cannot seek: their bytes in chunks. Standard input, pipes, sockets."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from typing import IO

from imgtool.errors import InputError

CHUNK = 1024 * 1024  #: bytes asked for at once


def seekable(stream: IO[bytes]) -> bool:
    """True for a file object that can be read at any place."""
    try:
        return stream.seekable()
    except (AttributeError, OSError):
        return False


def stream_name(stream: IO[bytes]) -> str:
    """What a report calls the stream: "-" for standard input."""
    name = getattr(stream, "name", None)
    if name == "<stdin>":
        return "-"
    return name if isinstance(name, str) else "<stream>"


def stream_chunks(stream: IO[bytes]) -> Iterator[memoryview]:
    """The bytes of a stream in chunks; each is valid until the next one is asked for. Raises InputError."""
    buffer = memoryview(bytearray(CHUNK))
    fill: Callable[[memoryview], int | None] | None = getattr(stream, "readinto", None)
    try:
        if fill is None:
            while part := stream.read(CHUNK):
                yield memoryview(part)
            return
        while count := _filled(fill, buffer, stream):
            yield buffer[:count]
    except OSError as error:
        raise InputError(f"{stream_name(stream)}: cannot read: {error.strerror}") from error


def _filled(fill: Callable[[memoryview], int | None], buffer: memoryview, stream: IO[bytes]) -> int:
    """The count of bytes that came; a stream that does not block is waited for."""
    while (count := fill(buffer)) is None:
        select.select([stream], [], [])
    return count
