"""AMI, kernels: the rules over their headers. Cost of each: the headers alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits
from imgtool.volumes.kernels.facts import KernelFacts


@rule("AMI051", "kernel-truncated", "error")
def truncated(facts: KernelFacts, limits: Limits) -> Iterator[Finding]:
    """The kernel is longer than the file.

    What it checks: the code that the header speaks of ends inside the file: setup and protected-mode code of a
    bzImage, the data of a uImage, the end address of an ARM zImage, the payload of a zboot image, the
    segments of a vmlinux.

    Why it matters: the file was cut, most often by a download or copy that ended early; it will not boot.

    What to do: fetch the kernel again and compare its checksum with the publisher's.
    """
    if facts.needs is not None and facts.needs > facts.file_size:
        yield truncated.at(f"the kernel ends at {facts.needs}, the file at {facts.file_size}")


@rule("AMI052", "kernel-boot-header-impossible", "error")
def impossible(facts: KernelFacts, limits: Limits) -> Iterator[Finding]:
    """The x86 boot header says what no boot loader accepts.

    What it checks: the boot flag 0xAA55 at 0x1FE, and a boot protocol of version 2.

    Why it matters: boot loaders refuse the kernel, or guess.

    What to do: take a fresh copy of the kernel.

    References: Linux Documentation/arch/x86/boot, "The Real-Mode Kernel Header".
    """
    if facts.x86 is None:
        return
    if facts.x86.boot_flag != 0xAA55:
        message = f"the boot flag is 0x{facts.x86.boot_flag:04x}, not 0xaa55"
        yield impossible.at(message, field="boot_flag", offset=0x1FE, length=2)
    if facts.protocol_word is not None and facts.protocol_word >> 8 != 2:
        message = f"the boot protocol is {facts.x86.protocol}, known are versions 2.x"
        yield impossible.at(message, field="version", offset=0x206, length=2)


@rule("AMI053", "kernel-version-misplaced", "error")
def version_misplaced(facts: KernelFacts, limits: Limits) -> Iterator[Finding]:
    """The pointer to the kernel's version text leads out of the setup code.

    What it checks: kernel_version + 0x200 lies within the setup sectors.

    Why it matters: programs that trust it print, or act on, bytes from elsewhere.

    What to do: take a fresh copy of the kernel.

    References: Linux Documentation/arch/x86/boot, kernel_version.
    """
    x86 = facts.x86
    if x86 is not None and x86.version_offset is not None and x86.version_offset >= x86.setup_size:
        message = f"the version text is at {x86.version_offset}, the setup code ends at {x86.setup_size}"
        yield version_misplaced.at(message, field="kernel_version", offset=0x20E, length=2)


@rule("AMI054", "kernel-payload-misplaced", "error")
def payload_misplaced(facts: KernelFacts, limits: Limits) -> Iterator[Finding]:
    """The compressed kernel inside the kernel lies outside of it.

    What it checks: payload_offset and payload_length (bzImage, zboot) end inside the file.

    Why it matters: programs that unpack the kernel to inspect or boot it read past its end.

    What to do: take a fresh copy of the kernel.

    References: Linux Documentation/arch/x86/boot, payload_offset.
    """
    payload = facts.payload
    if payload is not None and payload.offset + payload.length > facts.file_size:
        end = payload.offset + payload.length
        message = f"the payload ends at {end}, the file at {facts.file_size}"
        yield payload_misplaced.at(message, offset=payload.offset, length=payload.length)


@rule("AMI351", "kernel-uimage-header-checksum", "error")
def header_checksum(facts: KernelFacts, limits: Limits) -> Iterator[Finding]:
    """The checksum of a uImage's header does not match.

    What it checks: the CRC-32 over the 64 bytes of the header, with the checksum itself taken as 0.

    Why it matters: U-Boot refuses such an image; the file was damaged or changed by hand.

    What to do: take a fresh copy, or make it again (`mkimage`).

    References: U-Boot include/image.h.
    """
    told = facts.uimage
    if told is not None and told.header_crc != told.header_crc_actual:
        message = f"the header's CRC-32 is {told.header_crc:08x}, computed is {told.header_crc_actual:08x}"
        yield header_checksum.at(message, field="hcrc", offset=4, length=4)


RULES = (truncated, impossible, version_misplaced, payload_misplaced, header_checksum)
