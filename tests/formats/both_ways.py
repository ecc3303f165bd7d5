"""What every disk that tables map must hold to, whatever the tables say."""

from __future__ import annotations

from imgtool.errors import InputError
from imgtool.sources.blocks import BlockDisk
from imgtool.sources.disk import ZEROS, Disk


def same_both_ways(disk: Disk) -> None:
    """One by one and in arrays the table says the same of each block; extents tile and agree with bytes."""
    assert isinstance(disk, BlockDisk)
    count = -(-disk.size // disk.block_size)
    kinds, hosts = disk.entries(0, count)
    assert list(zip(kinds.tolist(), hosts.tolist(), strict=True)) == [tuple(disk.entry(n)) for n in range(count)]
    position = 0
    for extent in disk.extents():
        assert extent.start == position
        assert extent.length > 0
        position += extent.length
        if extent.kind in ZEROS:
            assert disk.read_at(extent.start, extent.length) == bytes(extent.length)
    assert position == disk.size


def readable(disk: Disk, start: int, length: int) -> bool:
    """Whether the range can be read; what cannot must be said with an InputError."""
    try:
        data = disk.read_at(start, length)
    except InputError:
        return False
    assert len(data) == max(0, min(length, disk.size - start))
    return True


def kinds(disk: Disk) -> list[tuple[int, str, int | None]]:
    """Length, kind and host offset of all extents."""
    return [(extent.length, extent.kind, extent.host_offset) for extent in disk.extents()]
