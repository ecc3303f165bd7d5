"""The extents that ESXi writes: COWD (vmfsSparse) and seSparse, as facts.

References: VMware "Virtual Disk Format 5.0", section "ESXi Host Sparse Extents"; QEMU block/vmdk.c for seSparse,
which no document describes.
"""

from __future__ import annotations

from imgtool.formats.vmdk import layout as lay
from imgtool.formats.vmdk.facts import CowdFields, Geometry, SeSparseFields, VmdkFacts
from imgtool.limits import Limits
from imgtool.model.values import Reference, c_text
from imgtool.structs.layout import bit_names
from imgtool.structs.view import View
from imgtool.units import SECTOR, is_power_of_two


def read_cowd(view: View, limits: Limits) -> VmdkFacts:
    """The facts of a COWD extent. Raises Unreadable when its four sectors are not there."""
    header = view.parse(lay.COWD_HEADER, 0)
    geometry, parent, generation = None, None, None
    if header.flags & lay.COWD_ROOT:
        root = view.decode(lay.COWD_ROOT_GEOMETRY, header.u[:12], lay.COWD_ROOT_AT)
        geometry = Geometry(*root)
    else:
        child = view.decode(lay.COWD_CHILD, header.u, lay.COWD_ROOT_AT)
        parent, generation = c_text(child.parentFileName) or None, child.parentGeneration
    end = header.gdOffset * SECTOR + header.numGDEntries * 4
    if end > view.size:
        message = f"the grain directory ends at byte {end}, the file at {view.size}"
        view.problem("COWD grain directory", message, kind="truncated", offset=header.gdOffset * SECTOR)
    grain = header.grainSize if is_power_of_two(header.grainSize) and header.grainSize <= limits.vmdk_grain else 0
    return VmdkFacts(
        format="vmdk",
        file_size=view.size,
        virtual_size=header.numSectors * SECTOR,
        broken=header.version != lay.COWD_VERSION or not grain,
        partial=bool(view.problems),
        references=(Reference("parent", parent, "vmdk", lay.COWD_ROOT_AT, 1024),) if parent else (),
        kind="cowd",
        version=header.version,
        cluster_size=grain * SECTOR or None,
        capacity=header.numSectors,
        unclean_shutdown=header.uncleanShutdown != 0,
        parent_file_name_hint=parent,
        cowd=CowdFields(
            header.version,
            bit_names(header.flags, lay.COWD_FLAGS),
            header.numSectors,
            header.grainSize,
            header.gdOffset,
            header.numGDEntries,
            header.freeSector,
            geometry,
            generation,
            header.generation,
            header.savedGeneration,
            c_text(header.name),
            c_text(header.description),
            header.uncleanShutdown,
        ),
        cowd_header=header,
        problems=view.problems,
    )


def read_sesparse(view: View, limits: Limits) -> VmdkFacts:
    """The facts of a seSparse extent. Raises Unreadable when its constant header is not there."""
    header = view.parse(lay.SESPARSE_HEADER, 0)
    volatile = view.optional(lay.SESPARSE_VOLATILE, header.volatile_header_offset * SECTOR)
    end = (header.grain_tables_offset + header.grain_tables_size) * SECTOR
    if end > view.size:
        message = f"the grain tables end at byte {end}, the file at {view.size}"
        view.problem("seSparse grain tables", message, kind="truncated", offset=144, length=16)
    return VmdkFacts(
        format="vmdk",
        file_size=view.size,
        virtual_size=header.capacity * SECTOR,
        broken=header.version != lay.SESPARSE_VERSION,
        partial=bool(view.problems),
        kind="sesparse",
        cluster_size=header.grain_size * SECTOR if 0 < header.grain_size <= limits.vmdk_grain else None,
        capacity=header.capacity,
        unclean_shutdown=bool(volatile and volatile.replay_journal),
        sesparse=SeSparseFields(
            f"{header.version >> 32}.{header.version & 0xFFFFFFFF}",
            header.capacity,
            header.grain_size,
            header.grain_table_size,
            header.flags,
            header.grain_dir_offset,
            header.grain_dir_size,
            header.grain_tables_offset,
            header.grain_tables_size,
            header.grains_offset,
            header.grains_size,
            header.journal_offset,
            header.journal_size,
            volatile.replay_journal if volatile else None,
        ),
        sesparse_header=header,
        volatile=volatile,
        problems=view.problems,
    )
