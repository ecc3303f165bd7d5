"""VMDKs that no tool here writes, from the specification: streams with a footer, COWD, seSparse, descriptors.

Grains are given by number: bytes, or "zero" (and "unmapped" for seSparse). Nothing of imgtool is used.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

SECTOR = 512
AT_END = 0xFFFFFFFFFFFFFFFF
NONE = "ffffffff"

Grains = dict[int, bytes | str]


def sectors(data: bytes) -> bytes:
    """`data` padded to whole sectors."""
    return data + bytes(-len(data) % SECTOR)


def descriptor(
    create_type: str, *lines: str, cid: str = "1a2b3c4d", parent: str = NONE, hint: str | None = None
) -> str:
    """A text descriptor."""
    told = [f"parentFileNameHint={hint!r}".replace("'", '"')] if hint is not None else []
    head = ["# Disk DescriptorFile", "version=1", f"CID={cid}", f"parentCID={parent}", f'createType="{create_type}"']
    return "\n".join([*head, *told, "", "# Extent description", *lines, "", "#DDB", ""])


def header(
    capacity: int, grain: int, gd: int, *, flags: int, version: int = 3, gtes: int = 512, text: int = 20, packed: bool
) -> bytes:
    """A SparseExtentHeader; sizes in sectors."""
    numbers = (b"KDMV", version, flags, capacity, grain, 1, text, gtes, 0, gd, 64, 0, b"\n \r\n", int(packed))
    return sectors(struct.pack("<4sIIQQQQIQQQB4sH", *numbers))


def hosted(
    path: Path,
    grains: Grains,
    capacity: int,
    grain: int = 16,
    *,
    packed: bool = False,
    marked: bool = True,
    footer: bool = False,
    zeroed: bool = True,
    text: str | None = None,
    tail: int | None = None,
) -> Path:
    """A KDMV extent with its grains before its tables. `tail`: sectors that the last compressed grain has."""
    flags = 1 | (4 if zeroed else 0) | (0x10000 if packed else 0) | (0x20000 if packed and marked else 0)
    words = text if text is not None else descriptor("streamOptimized", f'RW {capacity} SPARSE "{path.name}"')
    body = bytearray(64 * SECTOR)
    count = -(-capacity // grain)
    entries = [0] * (-(-count // 512) * 512)
    for number, content in grains.items():
        if isinstance(content, str):
            entries[number] = 1
            continue
        entries[number] = len(body) // SECTOR
        if not packed:
            body += content
            continue
        whole = content if tail is None or number != count - 1 else content[: tail * SECTOR]
        data = zlib.compress(whole)
        head = struct.pack("<QI", number * grain, len(data)) if marked else b""
        body += sectors(head + data)
    places = []
    for first in range(0, len(entries), 512):
        if any(entries[first : first + 512]):
            body += sectors(struct.pack("<QII", 4, 0, 1)) if packed and marked else b""
            places.append(len(body) // SECTOR)
            body += struct.pack("<512I", *entries[first : first + 512])
        else:
            places.append(0)
    body += sectors(struct.pack("<QII", 1, 0, 2)) if packed and marked else b""
    directory = len(body) // SECTOR
    body += sectors(struct.pack(f"<{len(places)}I", *places))
    body[:SECTOR] = header(capacity, grain, AT_END if footer else directory, flags=flags, packed=packed)
    body[SECTOR : SECTOR + len(words)] = words.encode()
    if footer:
        body += sectors(struct.pack("<QII", 1, 0, 3))
        body += header(capacity, grain, directory, flags=flags, packed=packed)
    if packed:
        body += bytes(SECTOR)
    path.write_bytes(body)
    return path


def cowd(path: Path, grains: Grains, capacity: int, grain: int = 1, flags: int = 3, parent: bytes = b"") -> Path:
    """A COWD extent: tables of 4,096 entries."""
    tables = -(-capacity // (grain * 4096))
    body = bytearray(4 * SECTOR)
    body += bytes(-(-tables * 4 // SECTOR) * SECTOR)
    places = [0] * tables
    entries = [[0] * 4096 for _ in range(tables)]
    for number in grains:
        if not places[number // 4096]:
            places[number // 4096] = len(body) // SECTOR
            body += bytes(4096 * 4)
    for number, content in grains.items():
        assert isinstance(content, bytes)
        entries[number // 4096][number % 4096] = len(body) // SECTOR
        body += content
    for place, table in zip(places, entries, strict=True):
        if place:
            body[place * SECTOR : place * SECTOR + 16384] = struct.pack("<4096I", *table)
    head = struct.pack("<4sIIIIIII", b"COWD", 1, flags, capacity, grain, 4, tables, len(body) // SECTOR)
    body[: len(head)] = head
    body[32 : 32 + len(parent)] = parent
    body[4 * SECTOR : 4 * SECTOR + 4 * tables] = struct.pack(f"<{tables}I", *places)
    path.write_bytes(body)
    return path


def sesparse(path: Path, grains: Grains, capacity: int, *, first: int = 1, replay: int = 0) -> Path:
    """A seSparse extent: grains of 4 KiB are numbered from `first` on, in the order they are given."""
    tables = -(-capacity // 32768)
    directory = -(-tables * 8 // SECTOR)
    used = sorted({number // 4096 for number in grains})
    tables_at, grains_at = 8 + directory, 8 + directory + 64 * (len(used) + 1)
    places = {"volatile": (1, 1), "journal_header": (2, 2), "journal": (4, 2), "directory": (8, directory)}
    places |= {
        "tables": (tables_at, 64 * (len(used) + 1)),
        "bitmap": (6, 1),
        "backmap": (7, 1),
        "grains": (grains_at, 8),
    }
    numbers = [
        0xCAFEBABE,
        0x200000001,
        capacity,
        8,
        64,
        0,
        0,
        0,
        0,
        0,
        *(n for place in places.values() for n in place),
    ]
    rows = [0] * tables
    for index, table in enumerate(reversed(used)):
        rows[table] = 0x1000000000000000 | index + 1
    with open(path, "wb") as file:
        file.write(sectors(struct.pack("<26Q", *numbers)) + sectors(struct.pack("<4Q", 0xCAFECAFE, 1, 0, replay)))
        file.seek(8 * SECTOR)
        file.write(struct.pack(f"<{tables}Q", *rows))
        file.truncate(grains_at * SECTOR)
        for index, (number, content) in enumerate(grains.items()):
            cluster = first + index
            if isinstance(content, str):
                entry = {"unmapped": 1, "zero": 2}[content] << 60
            else:
                entry = 3 << 60 | (cluster & 0xFFF) << 48 | cluster >> 12
                file.seek(grains_at * SECTOR + cluster * 4096)
                file.write(content)
            table = rows[number // 4096] & 0xFFFFFFFF
            file.seek((tables_at + 64 * table) * SECTOR + number % 4096 * 8)
            file.write(struct.pack("<Q", entry))
    return path
