"""VHD, 3xx: checksums of the footers and of the dynamic disk header."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.vhd.facts import VhdFacts
from imgtool.limits import Limits


@rule("VHD301", "vhd-footer-checksum-wrong", "error")
def footer_checksum(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The checksum of the footer, or of its copy, is wrong.

    What it checks: the field is the one's complement of the sum of all other bytes of the footer.

    Why it matters: the footer was damaged or edited; QEMU only says so and goes on, Hyper-V refuses.

    What to do: fetch the image again and compare its size and checksum with the publisher's.

    References: Virtual Hard Disk Image Format Specification 1.0, "Checksum".
    """
    for name, footer in (("footer", facts.trailing), ("copy of the footer", facts.copy)):
        if footer is not None and not footer.sound:
            message = f"{name}: checksum is 0x{footer.record.checksum:08x}, its bytes give 0x{footer.computed:08x}"
            yield footer_checksum.at(message, field="checksum", offset=footer.offset + 64, length=4)


@rule("VHD302", "vhd-dynamic-header-checksum-wrong", "error")
def header_checksum(facts: VhdFacts, limits: Limits) -> Iterator[Finding]:
    """The checksum of the dynamic disk header is wrong.

    What it checks: the field is the one's complement of the sum of all other bytes of the header.

    Why it matters: where the block allocation table lies and how large blocks are cannot be trusted.

    What to do: fetch the image again and compare its size and checksum with the publisher's.

    References: Virtual Hard Disk Image Format Specification 1.0, "Dynamic Disk Header Format", Checksum.
    """
    header, computed = facts.dynamic_header, facts.dynamic_computed
    if header is not None and computed is not None and header.checksum != computed:
        message = f"checksum is 0x{header.checksum:08x}, its bytes give 0x{computed:08x}"
        yield header_checksum.at(message, field="checksum", offset=facts.data_offset + 36, length=4)


INTEGRITY = (footer_checksum, header_checksum)
