"""bochs: the header. Cost of each: the header alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.bochs import layout as lay
from imgtool.formats.bochs.facts import BochsFacts
from imgtool.limits import Limits
from imgtool.units import SECTOR, ceil_div, is_power_of_two


@rule("OTH021", "bochs-unknown-version", "error")
def unknown_version(facts: BochsFacts, limits: Limits) -> Iterator[Finding]:
    """The version or type is not one that exists.

    What it checks: the version is 1 or 2, the type Redolog, the subtype Growing, Undoable or Volatile.

    Why it matters: the place of the disk size depends on the version; no reader knows others.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: Bochs iodev/hdimage/hdimage.h.
    """
    if facts.version not in lay.VERSIONS.values():
        yield unknown_version.at(f"version is {facts.version}", field="version", offset=64, length=4)
    if facts.type != "Redolog" or facts.subtype not in (lay.GROWING, *lay.OVERLAYS):
        message = f"type is {facts.type!r}, subtype {facts.subtype!r}"
        yield unknown_version.at(message, field="type", offset=32, length=32)


@rule("OTH022", "bochs-bad-extent-size", "error")
def bad_extent(facts: BochsFacts, limits: Limits) -> Iterator[Finding]:
    """The sizes of extents and their bitmaps do not hold.

    What it checks: the extent size is a power of two, at least 512 bytes and at most 8 MiB (`limits.bochs_extent`);
    the bitmap has a bit for each of its sectors.

    Why it matters: every place in the image is computed from them; a size of 0 divides by zero
    (CVE-2014-0142, CVE-2014-0147).

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    size = facts.extent_size
    if not is_power_of_two(size) or not SECTOR <= size <= limits.bochs_extent:
        message = f"extent size is {size}: a power of two from {SECTOR} to {limits.bochs_extent} is allowed"
        yield bad_extent.at(message, field="extent", offset=80, length=4)
    elif facts.bitmap_size * 8 < size // SECTOR or facts.bitmap_size > limits.bochs_extent:
        message = f"bitmap of {facts.bitmap_size} bytes, an extent has {size // SECTOR} sectors"
        yield bad_extent.at(message, field="bitmap", offset=76, length=4)


@rule("OTH023", "bochs-bad-catalog", "error")
def bad_catalog(facts: BochsFacts, limits: Limits) -> Iterator[Finding]:
    """The catalog is too small for the disk, over its cap, or not inside the file.

    What it checks: the catalog has at most 1,048,576 entries (`limits.bochs_catalog`) and one for each extent of the
    disk; it begins behind the header fields and ends inside the file.

    Why it matters: a reader that trusts it allocates without bound or reads past the table (CVE-2014-0143,
    CVE-2014-0144).

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    if facts.catalog > limits.bochs_catalog:
        message = f"catalog of {facts.catalog} entries, at most {limits.bochs_catalog} are allowed"
        yield bad_catalog.at(message, field="catalog", offset=72, length=4)
        return
    if facts.disk is not None and facts.extent_size:
        needed = ceil_div(facts.disk, facts.extent_size)
        if facts.catalog < needed:
            message = f"catalog of {facts.catalog} entries, the disk of {facts.disk} bytes needs {needed}"
            yield bad_catalog.at(message, field="catalog", offset=72, length=4)
    end = facts.header_size + facts.catalog * 4
    if facts.header_size < lay.HEADER.size + 8 or end > facts.file_size:
        message = f"catalog at {facts.header_size} ends at {end}, the file at {facts.file_size}"
        yield bad_catalog.at(message, field="header", offset=68, length=4)


@rule("OTH121", "bochs-overlay", "error")
def overlay(facts: BochsFacts, limits: Limits) -> Iterator[Finding]:
    """The file holds only changes against another image.

    What it checks: the subtype is Growing; Undoable and Volatile ones are logs of changes.

    Why it matters: without the image beside it, which it does not even name, nothing can be read.

    What to do: commit it where its base is: `bximage -func=commit`.

    References: Bochs user manual, "Disk Image Modes".
    """
    if facts.subtype in lay.OVERLAYS:
        message = f"subtype {facts.subtype} is a log of changes against another image"
        yield overlay.at(message, field="subtype", offset=48, length=16)


RULES = (unknown_version, bad_extent, bad_catalog, overlay)
