"""qcow2: rules over all tables. Cost of each: the walk over every table, once for all of them."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, Rule, rule
from imgtool.formats.qcow2.walk.facts import FaultKind, Qcow2TableFacts
from imgtool.limits import Limits


def _told(owner: Rule[Qcow2TableFacts], facts: Qcow2TableFacts, words: dict[FaultKind, str]) -> Iterator[Finding]:
    """A finding for each place that is known of the faults that `words` tells of; the last one counts the rest."""
    for fault in facts.faults:
        if fault.kind not in words:
            continue
        rest = fault.total - len(fault.first)
        for number, place in enumerate(fault.first, 1):
            said = words[fault.kind].format(value=place.value, other=place.other, what=place.what, at=place.offset)
            more = f"; {rest} more of them" if rest and number == len(fault.first) else ""
            yield owner.at(f"{said}{more}", field=fault.kind, offset=place.offset, length=8)
        if rest and not fault.first:
            yield owner.at(f"{rest} × {fault.kind}", field=fault.kind)


@rule("QCW016", "qcow2-entry-outside-file", "error")
def outside(facts: Qcow2TableFacts, limits: Limits) -> Iterator[Finding]:
    """A table names something that lies past the end of the file.

    What it checks: the tables that the header and the snapshots name, the L2 tables, clusters (unless they lie in a
    data file), allocated subclusters, blocks of reference counts and clusters of bitmaps begin inside the file;
    what is compressed, and what is no whole number of clusters, may end inside what would be the next cluster.

    Why it matters: the file was cut, or an entry was damaged: the guest reads zeros or errors there.

    What to do: fetch the image again and compare its size with the publisher's; else restore it from a backup.

    Cost: reads every table (the deep check).

    References: QEMU docs/interop/qcow2, section "Cluster mapping".
    """
    words: dict[FaultKind, str] = {
        "region-outside": "{what} at {at} of {value} bytes ends past the end of the file",
        "l1-outside": "L1 entry 0x{value:x}: its L2 table lies past the end of the file",
        "l2-outside": "L2 entry 0x{value:x}: its cluster lies past the end of the file",
        "subclusters-outside": "L2 entry 0x{value:x}: an allocated subcluster lies past the end of the file",
        "packed-outside": "L2 entry 0x{value:x}: its compressed cluster ends past the end of the file",
        "refcount-outside": "reference count table entry 0x{value:x}: its block lies past the end of the file",
        "bitmap-outside": "table of bitmap {what!r}, entry 0x{value:x}: its cluster lies past the end of the file",
    }
    yield from _told(outside, facts, words)


@rule("QCW017", "qcow2-entry-misaligned", "error")
def misaligned(facts: Qcow2TableFacts, limits: Limits) -> Iterator[Finding]:
    """A table entry does not lead to the start of a cluster.

    What it checks: offsets of L2 tables, of clusters and of blocks of reference counts are multiples of the cluster
    size.

    Why it matters: the entry was damaged; QEMU marks the image corrupt when it comes upon it.

    What to do: restore the image from a backup; `qemu-img check -r all` on a copy saves what can be saved.

    Cost: reads every table (the deep check).

    References: QEMU docs/interop/qcow2, sections "L1 table entry", "L2 table entry", "Refcount table entry".
    """
    words: dict[FaultKind, str] = {
        "l1-misaligned": "L1 entry 0x{value:x}: its L2 table does not lie on a cluster",
        "l2-misaligned": "L2 entry 0x{value:x}: its data does not lie on a cluster",
        "refcount-misaligned": "reference count table entry 0x{value:x}: its block does not lie on a cluster",
    }
    yield from _told(misaligned, facts, words)


@rule("QCW018", "qcow2-entry-reserved-bits", "error")
def reserved(facts: Qcow2TableFacts, limits: Limits) -> Iterator[Finding]:
    """A table entry has bits set that must be clear, or no offset where there must be one.

    What it checks: reserved bits of L1, L2 and reference count table entries are 0; an L1 entry that is not 0 has
    an offset, and so has an L2 entry with the copied flag (but for a data file's).

    Why it matters: a newer program meant something by them that this one does not know, or the table is damaged.

    What to do: convert the image with the program that made it; else restore it from a backup.

    Cost: reads every table (the deep check).

    References: QEMU docs/interop/qcow2, sections "L1 table entry", "L2 table entry", "Refcount table entry".
    """
    words: dict[FaultKind, str] = {
        "l1-reserved": "L1 entry 0x{value:x} has reserved bits set",
        "l1-no-offset": "L1 entry 0x{value:x} has no offset and is not 0",
        "l2-reserved": "L2 entry 0x{value:x} has reserved bits set",
        "l2-no-offset": "L2 entry 0x{value:x} is marked as copied and has no offset",
        "refcount-reserved": "reference count table entry 0x{value:x} has reserved bits set",
    }
    yield from _told(reserved, facts, words)


@rule("QCW019", "qcow2-clusters-overlap", "error")
def overlap(facts: Qcow2TableFacts, limits: Limits) -> Iterator[Finding]:
    """The same cluster is used for two things.

    What it checks: no cluster of data lies on the header or on a table, and no two tables lie on one another; what
    snapshots share with the active image (L2 tables, clusters of data) is no overlap.

    Why it matters: the guest that writes its data writes the image's tables: it can read and write the host's
    memory through them, or the image destroys itself.

    What to do: do not run a guest on it. Restore the image from a backup; else convert it, and look through what
    comes out.

    Cost: reads every table (the deep check).

    References: QEMU docs/interop/qcow2, section "Host cluster management".
    """
    words: dict[FaultKind, str] = {
        "overlap": "the cluster at {at}: {what}",
        "refcount-shared": "the block of reference counts at {at} is referred to {value} times",
    }
    yield from _told(overlap, facts, words)


@rule("QCW024", "qcow2-zero-flag-not-allowed", "error")
def zero_flag(facts: Qcow2TableFacts, limits: Limits) -> Iterator[Finding]:
    """An L2 entry has the flag for a cluster of zeros where the image's version has no such flag.

    What it checks: bit 0 of standard L2 entries is clear in version 2 and with extended L2 entries.

    Why it matters: some programs take the cluster for zeros, others read what it holds; QEMU calls it corrupt.

    What to do: restore the image from a backup, or convert it from its source again.

    Cost: reads every table (the deep check).

    References: QEMU docs/interop/qcow2, section "Standard Cluster Descriptor".
    """
    yield from _told(
        zero_flag, facts, {"l2-zero-flag": "L2 entry 0x{value:x} has the zero flag, which is reserved here"}
    )


@rule("QCW025", "qcow2-subclusters-contradict", "error")
def subclusters(facts: Qcow2TableFacts, limits: Limits) -> Iterator[Finding]:
    """The bitmap of a cluster's subclusters contradicts itself or the entry.

    What it checks: with extended L2 entries, no subcluster is allocated and zero at once, and none is allocated
    where the cluster has no offset.

    Why it matters: whether the guest sees data or zeros depends on the program.

    What to do: restore the image from a backup, or convert it from its source again.

    Cost: reads every table (the deep check).

    References: QEMU docs/interop/qcow2, section "Extended L2 Entries".
    """
    words: dict[FaultKind, str] = {
        "subclusters-contradict": "L2 entry 0x{value:x}: a subcluster is allocated and zero at once",
        "subclusters-unplaced": "L2 entry 0x{value:x}: a subcluster is allocated and the cluster has no offset",
    }
    yield from _told(subclusters, facts, words)


@rule("QCW026", "qcow2-compressed-entry-malformed", "error")
def packed_entry(facts: Qcow2TableFacts, limits: Limits) -> Iterator[Finding]:
    """An entry of a compressed cluster says what no such entry may.

    What it checks: the copied flag is clear, the bitmap of its subclusters is 0, and there is none in an image
    whose data lies in a data file.

    Why it matters: a program that trusts the copied flag overwrites what several clusters share.

    What to do: restore the image from a backup, or convert it from its source again.

    Cost: reads every table (the deep check).

    References: QEMU docs/interop/qcow2, section "L2 table entry".
    """
    words: dict[FaultKind, str] = {
        "packed-copied": "L2 entry 0x{value:x} is compressed and has the copied flag",
        "packed-elsewhere": "L2 entry 0x{value:x} is compressed, and data lies in a data file",
        "packed-bitmap": "L2 entry 0x{value:x} is compressed and has a bitmap of subclusters",
    }
    yield from _told(packed_entry, facts, words)


@rule("QCW027", "qcow2-table-not-read", "error")
def not_read(facts: Qcow2TableFacts, limits: Limits) -> Iterator[Finding]:
    """A table could not be read, so that nothing is known of what it refers to.

    What it checks: every table lies on a cluster and under its cap, and all of them together are under the caps of
    the deep check (`limits.table_bytes`, `table_count`, `qcow2_check_windows`).

    Why it matters: the counts of this check are not complete.

    What to do: what other findings say of the table; a sound image that is over a cap: `qemu-img check`.

    Cost: reads every table (the deep check).
    """
    for problem in facts.problems:
        yield not_read.at(problem.message, field=problem.what, offset=problem.offset, length=problem.length)
    listed = {snapshot.entry_offset for snapshot in facts.facts.snapshots}
    fault = facts.fault("snapshot-table")
    for place in fault.first if fault else ():
        if place.offset not in listed:
            message = f"snapshot {place.what!r}: its L1 table is misplaced or over its cap"
            yield not_read.at(message, field="snapshots", offset=place.offset, length=12)


@rule("QCW044", "qcow2-bitmap-entry-malformed", "error")
def bitmap_entries(facts: Qcow2TableFacts, limits: Limits) -> Iterator[Finding]:
    """An entry of a bitmap's table does not hold.

    What it checks: reserved bits are 0, the offset is a multiple of the cluster size, and bit 0 (all ones) is set
    only where there is no offset.

    Why it matters: a backup made with the bitmap would miss changes.

    What to do: remove it (`qemu-img bitmap --remove`) or convert the image, and make a full backup.

    Cost: reads every table of bitmaps (the deep check).

    References: QEMU docs/interop/qcow2, section "Bitmap table".
    """
    yield from _told(bitmap_entries, facts, {"bitmap-entry": "table of bitmap {what!r}, entry 0x{value:x}"})


@rule("QCW301", "qcow2-refcount-too-low", "error")
def refcount_low(facts: Qcow2TableFacts, limits: Limits) -> Iterator[Finding]:
    """A cluster is referred to more often than the image records.

    What it checks: for every cluster of the file: the references to it from the header, from tables of the active
    image and of snapshots (each compressed cluster counts in every cluster that it touches) are no more than its
    reference count. Not said of an image that is marked dirty: its counts are stale by rights.

    Why it matters: a program that writes takes the cluster for free, or for its own, and overwrites what is there.

    What to do: `qemu-img check -r all` on a copy before anything writes to the image.

    Cost: reads every table and every block of reference counts (the deep check).

    References: QEMU docs/interop/qcow2, section "Host cluster management".
    """
    words: dict[FaultKind, str] = {
        "refcount-low": "the cluster at {at} has {other} references, {value} are recorded",
        "refcount-overflow": "the cluster at {at} has {value} references, a count holds {other} at most",
    }
    if not facts.facts.dirty:
        yield from _told(refcount_low, facts, words)


@rule("QCW302", "qcow2-clusters-leaked", "warning")
def leaked(facts: Qcow2TableFacts, limits: Limits) -> Iterator[Finding]:
    """Clusters are recorded as used and are not.

    What it checks: no cluster of the file has a reference count over the number of references to it. Not said of an
    image that is marked dirty.

    Why it matters: they take up space that nothing frees, and they hold old data. Nothing is wrong with the guest's
    disk.

    What to do: `qemu-img check -r leaks`, or convert the image.

    Cost: reads every table and every block of reference counts (the deep check).

    References: QEMU docs/interop/qcow2, section "Host cluster management".
    """
    fault = facts.fault("leak")
    if fault is None or facts.facts.dirty:
        return
    first = ", ".join(str(place.offset) for place in fault.first[:4])
    at = fault.first[0].offset if fault.first else None
    places = f", at {first}" + (" …" if fault.total > 4 else "") if first else ""
    yield leaked.at(
        f"{fault.total} clusters are leaked{places}", field="leak", offset=at, length=facts.facts.cluster_size
    )


@rule("QCW303", "qcow2-copied-flag-wrong", "error")
def copied(facts: Qcow2TableFacts, limits: Limits) -> Iterator[Finding]:
    """The copied flag of an entry contradicts the recorded reference count.

    What it checks: bit 63 of entries of the active image is set exactly where the count of the L2 table or cluster
    is 1 (always for data in a data file). Not said of an image that is marked dirty.

    Why it matters: where it is set and should not be, a write destroys what a snapshot holds.

    What to do: `qemu-img check -r all` on a copy before anything writes to the image.

    Cost: reads every table and every block of reference counts (the deep check).

    References: QEMU docs/interop/qcow2, sections "L1 table entry", "L2 table entry".
    """
    words: dict[FaultKind, str] = {
        "l1-copied": "L1 entry 0x{value:x}: its copied flag contradicts the reference count of the L2 table",
        "l2-copied": "L2 entry 0x{value:x}: its copied flag contradicts the reference count of the cluster",
    }
    if not facts.facts.dirty:
        yield from _told(copied, facts, words)


@rule("QCW304", "qcow2-compressed-data-malformed", "error")
def packed_data(facts: Qcow2TableFacts, limits: Limits) -> Iterator[Finding]:
    """What is compressed does not make exactly one cluster.

    What it checks: the deflate stream (or the zstd frames) of each compressed cluster makes as many bytes as a
    cluster has; bytes after its end in its last sector are padding. Stops after `limits.table_inflated`
    bytes, and a note says so.

    Why it matters: the guest cannot read that part of its disk.

    What to do: restore the image from a backup, or convert it from its source again.

    Cost: reads and inflates compressed clusters (the deep check).

    References: QEMU docs/interop/qcow2, section "Compressed Clusters Descriptor".
    """
    words: dict[FaultKind, str] = {"packed-data": "compressed cluster at {value}, {other} bytes: {what}"}
    yield from _told(packed_data, facts, words)


@rule("QCW305", "qcow2-compressed-not-all-inflated", "note")
def not_inflated(facts: Qcow2TableFacts, limits: Limits) -> Iterator[Finding]:
    """Not every compressed cluster was inflated.

    What it checks: the compressed clusters are within `limits.table_inflated` guest bytes, and not encrypted.

    Why it matters: whether the others can be read is not known.

    What to do: `qemu-img convert` reads all of them.

    Cost: the deep check.
    """
    if facts.inflated < facts.compressed:
        yield not_inflated.at(f"{facts.inflated} of {facts.compressed} compressed clusters were inflated")


RULES = (
    outside,
    misaligned,
    reserved,
    overlap,
    zero_flag,
    subclusters,
    packed_entry,
    not_read,
    bitmap_entries,
    refcount_low,
    leaked,
    copied,
    packed_data,
    not_inflated,
)
