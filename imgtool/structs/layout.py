"""Layout: a declared on-disk structure, and the one place where construct's untyped values end.

A layout pairs a construct `Struct` (the bytes) with a NamedTuple (the values): same names, same order;
`tests/test_architecture.py` checks that they agree. Layouts are interpreted, never compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from struct import Struct as PlainStruct
from typing import Any, Generic, NamedTuple, TypeVar

from construct import Bytes, Construct, ConstructError, FormatField, Renamed, Struct

from imgtool.model.values import Field

R = TypeVar("R", bound=NamedTuple)

#: Tells what a value means: a table of constants or a function.
Meaning = Mapping[int, str] | Callable[[Any], str]


class LayoutError(Exception):
    """The bytes do not hold the structure. Only `structs.view` catches it."""


class Layout(Generic[R]):
    """A structure: `name` for people, `record` its typed value, `struct` its bytes.

    `size` is bytes; a structure of variable length gives the most it may take.
    """

    __slots__ = ("_names", "_packed", "meanings", "name", "record", "size", "struct")

    def __init__(
        self,
        name: str,
        record: type[R],
        struct: Struct,
        *,
        size: int | None = None,
        meanings: Mapping[str, Meaning] | None = None,
    ) -> None:
        self.name = name
        self.record = record
        self.struct = struct
        self.size: int = struct.sizeof() if size is None else size
        self.meanings: Mapping[str, Meaning] = meanings or {}
        self._names: tuple[str, ...] = record._fields
        self._packed = _packed(struct, self._names)

    def parse(self, data: bytes) -> R:
        """`data` as a record. Raises LayoutError when the bytes do not hold it.

        Where every part is a plain integer or a run of bytes, one unpack takes the place of construct's walk
        over the same declaration (a test compares the two); all else is interpreted.
        """
        if self._packed is not None and len(data) >= self._packed.size:
            return self.record._make(self._packed.unpack_from(data))
        try:
            values = self.struct.parse(data)
        except (ConstructError, UnicodeDecodeError, OverflowError, RecursionError) as error:
            raise LayoutError(_reason(error)) from error
        return self.record._make([values[name] for name in self._names])

    def build(self, record: R) -> bytes:
        """The bytes of `record`: what `parse` reads as it. Our own writers call it; their values always fit."""
        data: bytes = self.struct.build(record._asdict())
        return data

    def rows(self, data: bytes) -> list[R]:
        """`data`, which is a whole number of structures of a fixed size, as records. Raises LayoutError."""
        if self._packed is not None and self._packed.size == self.size:
            return [self.record._make(values) for values in self._packed.iter_unpack(data)]
        return [self.parse(data[start : start + self.size]) for start in range(0, len(data), self.size)]

    def fields(self, data: bytes, base: int) -> tuple[Field, ...]:
        """Every field of the structure in `data`, whose first byte lies at `base` in the file."""
        stream = BytesIO(data)
        context: Any = self.struct.parse(data)
        context._io = stream
        found: list[Field] = []
        for part in self.struct.subcons:
            start = stream.tell()
            value = _parse_part(part, stream, context)
            raw = data[start : stream.tell()]
            if part.name:
                found.append(self._field(part, base + start, raw, value))
        return tuple(found)

    def _field(self, part: Any, offset: int, raw: bytes, value: object) -> Field:
        return Field(
            part.name,
            offset,
            len(raw),
            raw.hex(),
            _shown(value, raw),
            _meaning(self.meanings.get(part.name), value) or str(part.docs or ""),
        )


def _packed(declared: Struct, names: tuple[str, ...]) -> PlainStruct | None:
    """The declaration as one `struct` format, where it is plain; None where it is not."""
    codes: list[str] = []
    orders: set[str] = set()
    for part in declared.subcons:
        inner: Any = getattr(part, "subcon", None)
        if type(part) is not Renamed or part.name not in names:
            return None
        if type(inner) is FormatField:
            codes.append(inner.fmtstr[1:])
            if inner.length > 1:
                orders.add(inner.fmtstr[0])
        elif type(inner) is Bytes and isinstance(inner.length, int):
            codes.append(f"{inner.length}s")
        else:
            return None
    if len(orders) > 1 or len(codes) != len(names):
        return None
    return PlainStruct((orders.pop() if orders else "<") + "".join(codes))


def _parse_part(part: Construct, stream: BytesIO, context: Any) -> object:
    value: object = part._parsereport(stream, context, "")
    if part.name:
        context[part.name] = value
    return value


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _shown(value: object, raw: bytes) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        if isinstance(value, bytes):
            printable = value.rstrip(b"\0")
            if printable and all(32 <= byte < 127 for byte in printable):
                return repr(printable.decode("ascii"))
            return "zeros" if value and not printable else f"{len(raw)} bytes"
        return str(value)
    return str(value) if abs(value) < 10 else f"{value} (0x{value:x})" if value >= 0 else str(value)


def _meaning(meaning: Meaning | None, value: object) -> str:
    if meaning is None:
        return ""
    if callable(meaning):
        return meaning(value)
    return meaning.get(value, f"unknown-{value}") if isinstance(value, int) else ""


def flags(names: Mapping[int, str]) -> Callable[[int], str]:
    """A meaning for a word of flag bits: the names of those set, unknown ones as `unknown-17`."""

    def tell(word: int) -> str:
        return ", ".join(bit_names(word, names)) or "none"

    return tell


def bit_names(word: int, names: Mapping[int, str]) -> tuple[str, ...]:
    """The names of the bits set in `word`, lowest first; bits without a name as `unknown-17`."""
    if not word:
        return ()
    return tuple(names.get(bit, f"unknown-{bit}") for bit in range(word.bit_length()) if word >> bit & 1)
