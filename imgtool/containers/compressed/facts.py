"""What the reader of compressed wrappers finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from imgtool.codecs.decode import Decoding
from imgtool.containers.member import ContainerFacts, Member
from imgtool.limits import Limits

Wrapper = Literal["gzip", "xz", "lzma", "zstd", "bzip2", "lz4", "zip"]

MarkKind = Literal["reserved", "method", "mismatch", "checksum", "dictionary", "window"]


class Mark(NamedTuple):
    """Something in a header that is not as it should be: what, in which field, at which bytes."""

    kind: MarkKind
    text: str
    field: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedFacts(ContainerFacts):
    """Facts of a compressed wrapper. Sizes in bytes.

    `method`: how the content is compressed. `stored_name`, `comment`, `mtime` (seconds since 1970), `system`:
    what the header says of the file. `declared_size`: the content's size as the wrapper says it, None where
    it does not. `check`: the checksum over the content. `window`: what decoding needs to remember. `streams`:
    how many streams or frames follow one another, where headers tell it; `blocks` likewise. `stored_size`: the
    compressed bytes of the content. `prefix`: bytes before a zip archive, `suffix`: bytes behind it.
    """

    HIDDEN = frozenset({"marks", "suffix_zeros"})

    wrapper: Wrapper
    method: str
    stored_name: str | None = None
    comment: str | None = None
    mtime: int | None = None
    system: str | None = None
    declared_size: int | None = None
    stored_size: int | None = None
    check: str | None = None
    window: int | None = None
    streams: int | None = None
    blocks: int | None = None
    prefix: int = 0
    suffix: int = 0
    suffix_zeros: bool = False
    marks: tuple[Mark, ...] = ()


def content(name: str | None, size: int | None, offset: int, stream: Callable[[], Decoding] | None) -> Member:
    """The member that a wrapper wraps; "content" where it stores no name."""
    return Member(name or "content", size, "content", offset, stream=stream)


def window_mark(window: int, field: str, offset: int, length: int, limits: Limits) -> tuple[Mark, ...]:
    """A mark where decoding needs more memory than the cap."""
    if window <= limits.wrapper_memory:
        return ()
    message = f"decoding needs a window of {window} bytes, the cap is {limits.wrapper_memory}"
    return (Mark("window", message, field, offset, length),)
