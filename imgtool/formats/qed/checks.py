"""The rules of QED. Cost of each: the header alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.qed import layout as lay
from imgtool.formats.qed.facts import QedFacts
from imgtool.formats.qed.reader import cluster_size_holds, table_size_holds
from imgtool.limits import Limits
from imgtool.units import SECTOR


@rule("QCW060", "qed-bad-cluster-size", "error")
def bad_cluster_size(facts: QedFacts, limits: Limits) -> Iterator[Finding]:
    """The cluster size is out of range.

    What it checks: cluster_size is a power of two from 4 KiB to 64 MiB.

    Why it matters: every offset in the image is computed from it.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qed_spec, section "Header".
    """
    if not cluster_size_holds(facts.cluster_size):
        message = f"cluster_size is {facts.cluster_size}: a power of two from 4096 to 67108864 is allowed"
        yield bad_cluster_size.at(message, field="cluster_size", offset=4, length=4)


@rule("QCW061", "qed-bad-table-size", "error")
def bad_table_size(facts: QedFacts, limits: Limits) -> Iterator[Finding]:
    """The size of the tables is out of range.

    What it checks: table_size is 1, 2, 4, 8 or 16 clusters.

    Why it matters: a reader allocates tables of this size; larger ones exhaust memory.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qed_spec, section "Header".
    """
    if not table_size_holds(facts.table_size):
        message = f"table_size is {facts.table_size} clusters: a power of two from 1 to 16 is allowed"
        yield bad_table_size.at(message, field="table_size", offset=8, length=4)


@rule("QCW062", "qed-bad-header-size", "error")
def bad_header_size(facts: QedFacts, limits: Limits) -> Iterator[Finding]:
    """The size of the header does not hold.

    What it checks: the header takes at least one cluster, and its clusters lie inside the file.

    Why it matters: regular clusters begin after it; with a wrong size they would overwrite it.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qed_spec, section "Header".
    """
    if not cluster_size_holds(facts.cluster_size):
        return
    end = facts.header_size * facts.cluster_size
    if not facts.header_size or end > facts.file_size:
        message = f"header_size is {facts.header_size} clusters ({end} bytes), the file has {facts.file_size} bytes"
        yield bad_header_size.at(message, field="header_size", offset=12, length=4)


@rule("QCW063", "qed-unknown-feature", "error")
def unknown_feature(facts: QedFacts, limits: Limits) -> Iterator[Finding]:
    """A feature bit is set that no specification names.

    What it checks: of features only the bits 1 (backing file), 2 (need check) and 4 (backing format not
    probed) are set.

    Why it matters: an image with an unknown feature must not be opened.

    What to do: convert the image with the program that made it, without that feature.

    References: QEMU docs/interop/qed_spec, section "Header", features.
    """
    unknown = [name for name in facts.features if name.startswith("unknown-")]
    if unknown:
        message = f"feature bits {', '.join(unknown)} are set"
        yield unknown_feature.at(message, field="features", offset=16, length=8)


@rule("QCW064", "qed-unknown-autoclear-feature", "warning")
def unknown_autoclear(facts: QedFacts, limits: Limits) -> Iterator[Finding]:
    """An autoclear feature bit is set, and none is defined.

    What it checks: autoclear_features is 0.

    Why it matters: the first program that writes to the image will clear it, and what it stood for is lost.

    What to do: nothing, if you know what wrote it; else convert the image.

    References: QEMU docs/interop/qed_spec, section "Header", autoclear_features.
    """
    if facts.autoclear_features:
        message = f"autoclear feature bits {', '.join(facts.autoclear_features)} are set"
        yield unknown_autoclear.at(message, field="autoclear_features", offset=32, length=8)


@rule("QCW065", "qed-l1-table-misplaced", "error")
def l1_table(facts: QedFacts, limits: Limits) -> Iterator[Finding]:
    """The L1 table is misaligned, inside the header, or outside the file.

    What it checks: l1_table_offset is a multiple of the cluster size, not inside the header's clusters, and
    the table ends inside the file.

    Why it matters: the whole mapping of the disk hangs on it.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qed_spec, sections "Header" and "Tables".
    """
    if not (cluster_size_holds(facts.cluster_size) and table_size_holds(facts.table_size)):
        return
    at = facts.l1_table_offset
    end = at + facts.table_size * facts.cluster_size
    if at % facts.cluster_size or at < max(1, facts.header_size) * facts.cluster_size:
        message = f"L1 table at {at} is not on a cluster after the header"
        yield l1_table.at(message, field="l1_table_offset", offset=40, length=8)
    if end > facts.file_size:
        message = f"L1 table at {at} ends at {end}, the file at {facts.file_size}"
        yield l1_table.at(message, field="l1_table_offset", offset=40, length=8)


@rule("QCW066", "qed-bad-image-size", "error")
def bad_image_size(facts: QedFacts, limits: Limits) -> Iterator[Finding]:
    """The virtual size does not hold.

    What it checks: image_size is a multiple of 512 and not over what the tables can map.

    Why it matters: the end of the disk has no place in the tables; QEMU refuses the image.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qed_spec, sections "Header" and "Tables".
    """
    if facts.image_size % SECTOR:
        message = f"image_size of {facts.image_size} bytes is not a multiple of {SECTOR}"
        yield bad_image_size.at(message, field="image_size", offset=48, length=8)
    if cluster_size_holds(facts.cluster_size) and table_size_holds(facts.table_size):
        entries = facts.table_size * facts.cluster_size // 8
        most = entries * entries * facts.cluster_size
        if facts.image_size > most:
            message = f"image_size is {facts.image_size} bytes, the tables map at most {most}"
            yield bad_image_size.at(message, field="image_size", offset=48, length=8)


@rule("QCW067", "qed-backing-name-misplaced", "error")
def backing_name(facts: QedFacts, limits: Limits) -> Iterator[Finding]:
    """The backing file's name does not lie in the header.

    What it checks: where the feature bit for a backing file is set: the name has 1 to 1,023 bytes and lies
    inside the header's clusters, after the fields of the header.

    Why it matters: bytes of tables or data would be opened as a file name.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qed_spec, section "Header", backing_filename_offset.
    """
    if "backing-file" not in facts.features:
        return
    at, size = facts.backing_filename_offset, facts.backing_filename_size
    if not 0 < size <= lay.BACKING_NAME_MAX:
        message = f"the backing file's name has {size} bytes, 1 to {lay.BACKING_NAME_MAX} are allowed"
        yield backing_name.at(message, field="backing_filename_size", offset=60, length=4)
    end = facts.header_size * facts.cluster_size
    if at < lay.HEADER.size or at + size > end:
        message = f"the backing file's name at {at}..{at + size} is not inside the header, which ends at {end}"
        yield backing_name.at(message, field="backing_filename_offset", offset=56, length=4)


@rule("QCW068", "qed-needs-check", "warning")
def needs_check(facts: QedFacts, limits: Limits) -> Iterator[Finding]:
    """The image was not closed cleanly: its tables may be inconsistent.

    What it checks: feature bit 2 (need check).

    Why it matters: a program that opens it for writing must check it first; data may be lost.

    What to do: `qemu-img check -r all IMAGE` on a copy.

    References: QEMU docs/interop/qed_spec, section "Consistency checking".
    """
    if facts.dirty:
        message = "the need-check bit is set; repair the image before writing to it"
        yield needs_check.at(message, field="features", offset=16, length=8)


@rule("QCW560", "qed-unsupported-by-clouds", "warning")
def unsupported(facts: QedFacts, limits: Limits) -> Iterator[Finding]:
    """QED is given up, and no cloud takes it.

    What it checks: the format is QED.

    Why it matters: Glance has no disk format of that name; QEMU keeps it only so that old images can be read.

    What to do: `qemu-img convert -f qed -O qcow2 OLD NEW`.
    """
    yield unsupported.at("QED is supported by QEMU alone; convert the image to qcow2")


RULES = (
    bad_cluster_size,
    bad_table_size,
    bad_header_size,
    unknown_feature,
    unknown_autoclear,
    l1_table,
    bad_image_size,
    backing_name,
    needs_check,
    unsupported,
)
