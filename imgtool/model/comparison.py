"""Comparison: what comparing two disks gave (schema imgtool.compare/1)."""

from typing import NamedTuple

SCHEMA = "imgtool.compare/1"


class Difference(NamedTuple):
    """A range of guest bytes that differs: `start` and `length` in bytes, whole sectors but for the disk's end."""

    start: int
    length: int


class Comparison(NamedTuple):
    """What comparing two disks gave. Sizes in bytes; `compared` are the bytes that were read and compared.

    `identical`: the same bytes (and, unless sizes were ignored, the same size). `differences`: the first
    differing ranges; `ranges` counts all of them and `differing` the bytes in them.
    """

    identical: bool
    sizes: tuple[int, int]
    compared: int
    differing: int
    ranges: int
    differences: tuple[Difference, ...]
