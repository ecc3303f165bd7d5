"""What a registry table is made of: entries of formats, volumes and containers, with their signatures.

Plain data: an entry names its reader and checks as "module:function" text and imports nothing of them.
"""

from typing import Literal, NamedTuple

Kind = Literal["format", "container", "table", "filesystem", "kernel", "ramdisk"]


class Signature(NamedTuple):
    """A mark in the bytes. `offset` counts from the head, or from the end where negative.

    A signature with a `probe` ("module:function" over `Windows`) holds only when that says so too; one
    with an empty magic is asked only when the head begins like text (`gate="text"`); one with `gate="tail"` when
    its magic is anywhere in the tail or in what was read before it.
    """

    magic: bytes
    offset: int = 0
    probe: str | None = None
    gate: Literal["", "text", "tail"] = ""


class Entry(NamedTuple):
    """One row of a registry. `rank`: of several matches the lowest is what the report calls the file.

    Places as "module:name": `reader` (view, limits) → Facts; `checks` its RULES over those; `disk` opens the guest's
    disk; `tables` (source, facts, limits) → TableFacts walks all tables, `table_checks` are the RULES over those;
    `writer` (output, size, options) → Writer makes a file of the format, `writer_options` are its OPTIONS.
    """

    name: str
    title: str
    family: str
    kind: Kind
    signatures: tuple[Signature, ...]
    reader: str
    checks: str | None = None
    rank: int = 50
    qemu: str | None = None
    glance: str | None = None
    aliases: tuple[str, ...] = ()
    abilities: tuple[str, ...] = ("detect", "read", "check")
    disk: str | None = None
    tables: str | None = None
    table_checks: str | None = None
    writer: str | None = None
    writer_options: str | None = None


class Windows(NamedTuple):
    """Head and tail of a source, and its size in bytes. `tail` ends where the source ends, `far` where it begins."""

    head: bytes
    tail: bytes
    size: int
    far: bytes = b""


class Match(NamedTuple):
    """A signature that holds; `offset` is absolute, in bytes."""

    entry: Entry
    signature: Signature
    offset: int
