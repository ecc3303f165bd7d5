"""Every Layout of the tree: record and declaration agree, the fast path equals construct, no byte is left out."""

from __future__ import annotations

import random
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from construct import ConstructError, SizeofError

from imgtool.structs.layout import Layout, LayoutError, bit_names, flags
from tests.kit import ROOT


def layout_modules() -> list[str]:
    """The names of all modules called `layout` but the one that defines Layout."""
    found = []
    for path in sorted((ROOT / "imgtool").rglob("layout.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if name != "imgtool.structs.layout":
            found.append(name)
    return found


def layouts() -> list[Any]:
    """Every Layout, by module and name."""
    found = []
    for name in layout_modules():
        module = import_module(name)
        for label, value in vars(module).items():
            if isinstance(value, Layout):
                found.append(pytest.param(value, id=f"{name.removeprefix('imgtool.')}:{label}"))
    return found


def samples(size: int) -> list[bytes]:
    """Zeros, ones, and random bytes of a size."""
    chance = random.Random(size)
    few = [chance.randbytes(size) for _ in range(20)]
    small = [bytes(byte if chance.random() < 0.1 else 0 for byte in one) for one in few]
    return [bytes(size), b"\xff" * size, b"\x7f" * size, b"\x80" + bytes(size)[1:], *few, *small]


def interpreted(layout: Layout[Any], data: bytes) -> tuple[Any, ...] | None:
    """construct's own parse; None where it refuses."""
    try:
        values = layout.struct.parse(data)
    except (ConstructError, UnicodeDecodeError):
        return None
    return tuple(values[name] for name in layout.record._fields)


def fixed_size(layout: Layout[Any]) -> int | None:
    """The bytes of a structure; None where it depends on what it holds."""
    try:
        return int(layout.struct.sizeof())
    except SizeofError:
        return None


def test_there_are_layouts() -> None:
    """The search finds what it is meant to."""
    assert len(layouts()) >= 10


@pytest.mark.parametrize("layout", layouts())
def test_record_is_the_declaration(layout: Layout[Any]) -> None:
    """The record's fields are the struct's names, in order."""
    names = tuple(part.name for part in layout.struct.subcons if part.name and not part.name.startswith("_"))
    assert layout.record._fields == names


@pytest.mark.parametrize("layout", layouts())
def test_size_is_the_declarations(layout: Layout[Any]) -> None:
    """A structure of fixed size says so; one of variable size says the most it may take, within reason."""
    size = fixed_size(layout)
    assert layout.size == size if size is not None else 0 < layout.size <= 1 << 20


@pytest.mark.parametrize("layout", layouts())
def test_parse_equals_construct(layout: Layout[Any]) -> None:
    """On any bytes the values are construct's own, or a LayoutError where it refuses."""
    for data in samples(layout.size):
        truth = interpreted(layout, data)
        if truth is None:
            with pytest.raises(LayoutError):
                layout.parse(data)
        else:
            assert tuple(layout.parse(data)) == truth


@pytest.mark.parametrize("layout", layouts())
def test_short_bytes_are_a_layout_error(layout: Layout[Any]) -> None:
    """Less than a structure of fixed size needs is refused, not guessed."""
    size = fixed_size(layout)
    for length in {0, size - 1, size // 2} if size else ():
        with pytest.raises(LayoutError):
            layout.parse(bytes(length))


@pytest.mark.parametrize("layout", layouts())
def test_fields_leave_no_byte_out(layout: Layout[Any]) -> None:
    """One field begins where the last one ends; the hex is the bytes; what is told of it is short."""
    base = 1 << 40
    for data in samples(layout.size):
        if interpreted(layout, data) is None:
            continue
        fields = layout.fields(data, base)
        position = base
        for field in fields:
            assert field.offset == position, field
            assert bytes.fromhex(field.raw) == data[position - base : position - base + field.length]
            assert len(field.value) <= max(200, 2 * field.length + 20)
            assert len(field.meaning) <= 2000
            position += field.length
        assert position - base <= len(data)
        if (size := fixed_size(layout)) is not None:
            assert position - base == size


def test_bits_by_name() -> None:
    """Known bits by name, others as `unknown-N`, lowest first."""
    names = {0: "one", 3: "four"}
    assert bit_names(0, names) == ()
    assert bit_names(0b11001, names) == ("one", "four", "unknown-4")
    assert flags(names)(0) == "none"
    assert flags(names)(9) == "one, four"


def test_construct_is_known_here_only() -> None:
    """construct is imported by layouts and by structs, nowhere else."""
    users = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "imgtool").rglob("*.py"))
        if "import construct" in path.read_text() or "from construct" in path.read_text()
    ]
    allowed = {"imgtool/structs/layout.py"} | {
        str(Path(*name.split(".")).with_suffix(".py")) for name in layout_modules()
    }
    assert set(users) <= allowed
