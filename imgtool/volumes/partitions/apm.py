"""Apple partition map: a run of entries from block 1 on, each as long as a block.

Reference: Inside Macintosh: Devices, chapter 3, "The Partition Map".
"""

from __future__ import annotations

from imgtool.limits import Limits
from imgtool.model.values import c_text
from imgtool.model.volumes import Partition, PartitionTable
from imgtool.structs.view import Unreadable, View
from imgtool.volumes.partitions import layout as lay
from imgtool.volumes.partitions.facts import ApmFacts

BLOCK_SIZES = (512, 1024, 2048, 4096)


def read(view: View, limits: Limits) -> ApmFacts | None:
    """The facts of an Apple partition map; None where there is none."""
    if view.peek(0, 2) != b"ER":
        return None
    size = block_size(view)
    if size is None:
        return None
    view.optional(lay.DRIVER_MAP, 0)
    partitions: list[Partition] = []
    places: list[int] = []
    total = 1
    number = 1
    while number <= min(total, limits.apm_entries):
        try:
            entry = view.parse(lay.APM_ENTRY, number * size, f"apple partition map entry {number}")
        except Unreadable as error:
            view.note(error.problem)
            break
        if entry.pm_sig != b"PM":
            break
        total = entry.pm_map_blk_cnt if number == 1 else total
        partitions.append(_partition(entry, number, size))
        places.append(view.base + number * size)
        number += 1
    return ApmFacts(
        format="apm",
        file_size=view.size,
        table=PartitionTable("apm", size, None, tuple(partitions)),
        mark=view.base + size,
        places=tuple(places),
    )


def block_size(view: View) -> int | None:
    """The block size: what block 0 says where an entry is there, else the first at which one is."""
    told = int.from_bytes(view.peek(2, 2), "big")
    for size in (told, *BLOCK_SIZES):
        if size in BLOCK_SIZES and view.peek(size, 4) == b"PM\0\0":
            return size
    return None


def _partition(entry: lay.ApmEntry, number: int, size: int) -> Partition:
    return Partition(
        number=number,
        start=entry.pm_py_part_start * size,
        length=entry.pm_part_blk_cnt * size,
        type=c_text(entry.pm_part_type),
        name=c_text(entry.pm_part_name) or None,
    )
