"""VHD, 2xx and 5xx: how large the disk is, and who would say otherwise. Cost of each: the footer alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.vhd import layout as lay
from imgtool.formats.vhd.facts import VhdFacts
from imgtool.limits import Limits
from imgtool.units import MIB


@rule("VHD201", "vhd-too-large", "error")
def too_large(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The disk is larger than the format allows.

    What it checks: current_size is at most 2040 GiB (`limits.vhd_size`).

    Why it matters: sector numbers in the block allocation table have 32 bits; beyond that they wrap.

    What to do: use VHDX, or take a fresh copy of the image.

    References: Virtual Hard Disk Image Format Specification 1.0, "Dynamic Hard Disk Image".
    """
    if facts.current_size > limits.vhd_size:
        message = f"current_size is {facts.current_size} bytes, at most {limits.vhd_size} are allowed"
        yield too_large.at(message, field="current_size", offset=facts.footer_offset + 48, length=8)


@rule("VHD501", "vhd-size-fields-differ", "note")
def fields_differ(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The current size and the geometry tell two sizes, and every reader takes the former.

    What it checks: cylinders × heads × sectors × 512 is current_size, for a geometry below its maximum.

    Why it matters: it is usual: a geometry can tell few sizes exactly. Only old programs go by it.

    What to do: nothing.

    References: Virtual Hard Disk Image Format Specification 1.0, "Appendix: CHS Calculation".
    """
    if facts.geometry != lay.MAX_GEOMETRY and facts.chs_size != facts.current_size and not _contested(facts):
        message = f"current_size is {facts.current_size} bytes, the geometry tells {facts.chs_size}"
        yield fields_differ.at(message, field="cylinders", offset=facts.footer_offset + 56, length=4)


@rule("VHD502", "vhd-readers-disagree-on-size", "warning")
def readers_disagree(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """Two programs would show two sizes of this disk.

    What it checks: the current size and the geometry tell the same, or all programs choose alike by the
    creator. Hyper-V and Azure go by current_size, Virtual PC by the geometry; QEMU 7.2 takes current_size
    for `win `, `qem2`, `d2v `, `CTXS` and `tap`, and the geometry for every other creator. A geometry of
    65535 × 16 × 255 never counts.

    Why it matters: the shorter reading cuts off the end of the disk, a backup partition table first.

    What to do: convert it with QEMU's `force_size` (`-O vpc -o force_size=on`), so that all agree.

    References: Virtual Hard Disk Image Format Specification 1.0, "Current Size", "Disk Geometry".
    """
    if _contested(facts):
        message = (
            f"current_size is {facts.current_size} bytes, the geometry tells {facts.chs_size}; "
            f"shown here {facts.virtual_size}, by QEMU 7.2 {facts.qemu_size}"
        )
        yield readers_disagree.at(message, field="current_size", offset=facts.footer_offset + 48, length=8)


def _contested(facts: VhdFacts) -> bool:
    """True when some readers would take the geometry, and it tells another size."""
    if facts.geometry == lay.MAX_GEOMETRY or facts.chs_size == facts.current_size:
        return False
    return facts.footer.record.creator_application not in lay.QEMU_CURRENT_SIZE


@rule("VHD503", "vhd-not-whole-mebibytes", "note")
def whole_mebibytes(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The disk is not a whole number of MiB.

    What it checks: the virtual size is a multiple of 1 MiB.

    Why it matters: Azure refuses other sizes.

    What to do: `qemu-img resize` the raw image to whole MiB, then convert it with `force_size=on`.
    """
    if facts.virtual_size and facts.virtual_size % MIB:
        message = f"the virtual size of {facts.virtual_size} bytes is not a whole number of MiB"
        yield whole_mebibytes.at(message, field="current_size", offset=facts.footer_offset + 48, length=8)


SIZES = (too_large, fields_differ, readers_disagree, whole_mebibytes)
