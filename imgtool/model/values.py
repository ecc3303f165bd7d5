"""Values that pass between rooms. Standard library only; frozen.

Strings that came out of a file are `str` decoded with `surrogateescape` where they are not UTF-8,
so that the exact bytes survive; `model.jsonable` writes them as U+FFFD plus `…_b64`.
"""

from typing import Literal, NamedTuple

ExtentKind = Literal["data", "zero", "hole", "compressed", "reference"]


class Extent(NamedTuple):
    """A run of guest bytes: `start` and `length` in bytes of the guest's disk.

    `kind`: data and compressed hold bytes; zero is known to read as zeros; hole is not allocated at all and
    reads as zeros; reference lies in a file that the image names and that was not followed.
    `host_offset`: where the bytes lie in their file, where they lie there as they are. `depth`: 0 for this image,
    1 for its backing file or parent, and so on. `file`: which of several extent files, by its name in the image.
    """

    start: int
    length: int
    kind: ExtentKind
    host_offset: int | None = None
    depth: int = 0
    file: str | None = None


class Facet(NamedTuple):
    """One thing that the content satisfies: its registry name, where its mark lies, whether it is broken."""

    name: str
    offset: int
    broken: bool = False


ReferenceKind = Literal[
    "backing", "data-file", "extent", "parent", "change-tracking", "sidecar", "descriptor", "href"
]


class Reference(NamedTuple):
    """Something outside the file that the image names. `format` is what the image says it is."""

    kind: ReferenceKind
    value: str
    format: str | None = None
    offset: int | None = None
    length: int | None = None


class Embedded(NamedTuple):
    """A part of the file that is a format of its own (the LUKS header of a qcow2): reported as a member."""

    name: str
    offset: int
    length: int


#: "checksum": what is read does not have the checksum that is stored with it. "elsewhere": it lies in a file that was
#: not followed, which the reference itself tells.
ProblemKind = Literal["truncated", "malformed", "checksum", "cap", "not-read", "elsewhere"]


class Problem(NamedTuple):
    """Why a reader could not read a structure: `what` names it, `offset` and `length` its bytes."""

    kind: ProblemKind
    what: str
    message: str
    offset: int | None = None
    length: int | None = None


class Field(NamedTuple):
    """One field of one on-disk structure; `offset` is in bytes of the file, `raw` its bytes in hex."""

    name: str
    offset: int
    length: int
    raw: str
    value: str
    meaning: str = ""


class Structure(NamedTuple):
    """One on-disk structure, annotated: all its fields in the order of the file."""

    name: str
    offset: int
    length: int
    fields: tuple[Field, ...]


def text(raw: bytes) -> str:
    """Bytes out of a file as text, nothing lost (UTF-8, `surrogateescape`)."""
    return raw.decode("utf-8", "surrogateescape")


def c_text(raw: bytes) -> str:
    """`text` of a NUL-terminated field: what stands before the first NUL."""
    return text(raw.partition(b"\0")[0])
