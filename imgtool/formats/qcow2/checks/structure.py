"""qcow2, 0xx: the structure of the header and where its tables lie. Cost of each: the header alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2.facts import Qcow2Facts
from imgtool.limits import Limits
from imgtool.units import ceil_div


@rule("QCW001", "qcow2-bad-version", "error")
def bad_version(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The version is not one that exists.

    What it checks: the version field is 2 or 3.

    Why it matters: no reader can know what the rest of the header means.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qcow2, section "Header".
    """
    if facts.version not in (2, 3):
        yield bad_version.at(f"version is {facts.version}, known are 2 and 3", field="version", offset=4, length=4)


@rule("QCW002", "qcow2-bad-cluster-size", "error")
def bad_cluster_size(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The cluster size is out of range.

    What it checks: cluster_bits is 9 to 21 (512 bytes to 2 MiB), and at least 14 with extended L2 entries.

    Why it matters: every offset in the image is computed from it; larger ones have driven overflows.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qcow2, section "Header".
    """
    low = lay.EXTENDED_L2_CLUSTER_BITS if facts.extended_l2 else lay.MIN_CLUSTER_BITS
    if not low <= facts.cluster_bits <= lay.MAX_CLUSTER_BITS:
        message = f"cluster_bits is {facts.cluster_bits}, allowed are {low} to {lay.MAX_CLUSTER_BITS}"
        yield bad_cluster_size.at(message, field="cluster_bits", offset=20, length=4)


@rule("QCW003", "qcow2-bad-refcount-order", "error")
def bad_refcount_order(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The width of a reference count is out of range.

    What it checks: refcount_order is at most 6 (64 bits).

    Why it matters: the reference counts cannot be read, so neither can what is allocated.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qcow2, section "Header".
    """
    if facts.header_v3 and facts.header_v3.refcount_order > lay.MAX_REFCOUNT_ORDER:
        message = f"refcount_order is {facts.header_v3.refcount_order}, at most 6 is allowed"
        yield bad_refcount_order.at(message, field="refcount_order", offset=96, length=4)


@rule("QCW004", "qcow2-bad-header-length", "error")
def bad_header_length(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The length of a version 3 header does not hold.

    What it checks: header_length is at least 104, a multiple of 8, and not over the cluster size.

    Why it matters: the header extensions begin where it says; a wrong one hides them or invents some.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qcow2, section "Header".
    """
    if facts.header_v3 is None:
        return
    length = facts.header_length
    if length < lay.HEADER_V3_SIZE or length % 8 or (facts.cluster_size and length > facts.cluster_size):
        message = f"header_length is {length}: at least 104, a multiple of 8 and within the first cluster is allowed"
        yield bad_header_length.at(message, field="header_length", offset=100, length=4)


@rule("QCW005", "qcow2-unknown-incompatible-feature", "error")
def unknown_incompatible(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """An incompatible feature bit is set that no specification names.

    What it checks: of incompatible_features only bits 0 to 4 are set.

    Why it matters: the image says itself that a reader who does not know the bit must not touch it.

    What to do: convert the image with the program that made it, without that feature.

    References: QEMU docs/interop/qcow2, section "Header", incompatible_features.
    """
    unknown = [name for name in facts.incompatible_features if name.startswith("unknown-")]
    if unknown:
        message = f"incompatible feature bits {', '.join(unknown)} are set"
        yield unknown_incompatible.at(message, field="incompatible_features", offset=72, length=8)


@rule("QCW006", "qcow2-unknown-autoclear-feature", "warning")
def unknown_autoclear(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """An autoclear feature bit is set that no specification names.

    What it checks: of autoclear_features only bits 0 and 1 are set.

    Why it matters: the first program that writes to the image will clear it, and what it stood for is lost.

    What to do: nothing, if you know what wrote it; else convert the image.

    References: QEMU docs/interop/qcow2, section "Header", autoclear_features.
    """
    unknown = [name for name in facts.autoclear_features if name.startswith("unknown-")]
    if unknown:
        message = f"autoclear feature bits {', '.join(unknown)} are set"
        yield unknown_autoclear.at(message, field="autoclear_features", offset=88, length=8)


@rule("QCW007", "qcow2-compression-type-mismatch", "error")
def compression_mismatch(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The compression type and its feature bit disagree, or the type is unknown.

    What it checks: compression_type is 0 (zlib) with incompatible bit 3 clear, or not 0 with it set; known
    are 0 and 1 (zstd).

    Why it matters: a reader would inflate every compressed cluster by the wrong method.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qcow2, section "Header", compression_type.
    """
    marked = "compression-type" in facts.incompatible_features
    zlib = facts.compression_type == "zlib"
    if marked == zlib or facts.compression_type not in ("zlib", "zstd"):
        state = "set" if marked else "clear"
        message = f"compression_type is {facts.compression_type} and incompatible bit 3 is {state}"
        yield compression_mismatch.at(message, field="compression_type", offset=104, length=1)


@rule("QCW008", "qcow2-unknown-crypt-method", "error")
def unknown_crypt(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The encryption method is not one that exists.

    What it checks: crypt_method is 0 (none), 1 (AES) or 2 (LUKS).

    Why it matters: the guest's bytes cannot be read, by anybody.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qcow2, section "Header", crypt_method.
    """
    if facts.crypt_method > 2:
        message = f"crypt_method is {facts.crypt_method}, known are 0 to 2"
        yield unknown_crypt.at(message, field="crypt_method", offset=32, length=4)


@rule("QCW009", "qcow2-unknown-header-bytes", "warning")
def unknown_header_bytes(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The header has bytes that belong to no known field and are not zero.

    What it checks: in version 3, the bytes from 105 to header_length are zero.

    Why it matters: a newer program wrote something there that this one (and older readers) cannot see.

    What to do: nothing, if you know what wrote it; else convert the image.

    References: QEMU docs/interop/qcow2, section "Header", additional fields.
    """
    if facts.unknown_header_offset is not None:
        message = f"byte {facts.unknown_header_offset} of the header belongs to no known field and is not zero"
        yield unknown_header_bytes.at(message, field="header", offset=facts.unknown_header_offset, length=1)


@rule("QCW010", "qcow2-l1-table-misplaced", "error")
def l1_table(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The L1 table is misaligned, outside the file, too small for the disk, or over its cap.

    What it checks: the table has an entry for every L2 table that the virtual size needs and is at most
    32 MiB (`limits.qcow2_l1_table`); where it has any entry, l1_table_offset is a multiple of the cluster size
    and not 0, and the table ends inside the file.

    Why it matters: the whole mapping of the disk hangs on it; oversized ones have exhausted memory
    (CVE-2014-0222, CVE-2014-0223), misplaced ones have leaked it (CVE-2014-0144).

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qcow2, section "Header".
    """
    if not facts.cluster_size:
        return
    size = facts.l1_size * 8
    if size > limits.qcow2_l1_table:
        message = f"L1 table of {size} bytes is over the cap of {limits.qcow2_l1_table}"
        yield l1_table.at(message, field="l1_size", offset=36, length=4)
        return
    fault = misplaced(facts, facts.l1_table_offset, size) if size else None
    if fault:
        yield l1_table.at(f"L1 table {fault}", field="l1_table_offset", offset=40, length=8)
    needed = ceil_div(facts.size, facts.cluster_size * _l2_entries(facts))
    if facts.l1_size < needed:
        message = f"L1 table has {facts.l1_size} entries, the virtual size of {facts.size} bytes needs {needed}"
        yield l1_table.at(message, field="l1_size", offset=36, length=4)


def _l2_entries(facts: Qcow2Facts) -> int:
    return (facts.cluster_size or 512) // (16 if facts.extended_l2 else 8)


def misplaced(facts: Qcow2Facts, at: int, size: int) -> str | None:
    """What is wrong with where a table lies; None where it lies well."""
    if not at or at % (facts.cluster_size or 512):
        return f"at {at} is not on a cluster"
    if at + size > facts.file_size:
        return f"at {at} ends at {at + size}, the file at {facts.file_size}"
    return None


@rule("QCW011", "qcow2-refcount-table-misplaced", "error")
def refcount_table(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The reference count table is missing, misaligned, outside the file, or over its cap.

    What it checks: refcount_table_clusters is at least 1 and the table at most 8 MiB
    (`limits.qcow2_refcount_table`); its offset is a multiple of the cluster size and not 0; it ends
    inside the file.

    Why it matters: without it no program can tell which clusters are free, and writing destroys data.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qcow2, section "Header".
    """
    if not facts.cluster_size:
        return
    size = facts.refcount_table_clusters * facts.cluster_size
    if not size or size > limits.qcow2_refcount_table:
        message = (
            f"reference count table of {size} bytes: 1 cluster to {limits.qcow2_refcount_table} bytes is allowed"
        )
        yield refcount_table.at(message, field="refcount_table_clusters", offset=56, length=4)
        return
    fault = misplaced(facts, facts.refcount_table_offset, size)
    if fault:
        message = f"reference count table {fault}"
        yield refcount_table.at(message, field="refcount_table_offset", offset=48, length=8)


@rule("QCW013", "qcow2-image-marked-dirty", "warning")
def marked_dirty(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The image was not closed cleanly: its reference counts may be stale.

    What it checks: incompatible feature bit 0 (dirty).

    Why it matters: the guest's bytes are right, the reference counts may not be; a program that writes
    before it repairs them can overwrite data.

    What to do: `qemu-img check -r all IMAGE` on a copy.

    References: QEMU docs/interop/qcow2, section "Header", incompatible_features.
    """
    if facts.dirty:
        message = "the dirty bit is set; repair the image before writing to it"
        yield marked_dirty.at(message, field="incompatible_features", offset=72, length=8)


@rule("QCW014", "qcow2-image-marked-corrupt", "error")
def marked_corrupt(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """A program that wrote to the image found it corrupt and said so.

    What it checks: incompatible feature bit 1 (corrupt).

    Why it matters: data may have been overwritten; the image may only be read, to save what can be saved.

    What to do: restore a good copy; else `qemu-img check -r all` on a copy and compare what remains.

    References: QEMU docs/interop/qcow2, section "Header", incompatible_features.
    """
    if facts.corrupt:
        yield marked_corrupt.at("the corrupt bit is set", field="incompatible_features", offset=72, length=8)


@rule("QCW015", "qcow2-lazy-refcounts", "note")
def lazy_refcounts(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """Reference counts are written late.

    What it checks: compatible feature bit 0 (lazy refcounts), where the image is not marked dirty.

    Why it matters: the image is sound now; after a crash it has to be repaired before it is written to.

    What to do: nothing; `qemu-img amend -o lazy_refcounts=off` where you want it off.

    References: QEMU docs/interop/qcow2, section "Header", compatible_features.
    """
    if facts.lazy_refcounts and not facts.dirty:
        yield lazy_refcounts.at("lazy reference counts are on", field="compatible_features", offset=80, length=8)


STRUCTURE = (
    bad_version,
    bad_cluster_size,
    bad_refcount_order,
    bad_header_length,
    unknown_incompatible,
    unknown_autoclear,
    compression_mismatch,
    unknown_crypt,
    unknown_header_bytes,
    l1_table,
    refcount_table,
    marked_dirty,
    marked_corrupt,
    lazy_refcounts,
)
