"""Kernels: bzImage, arm64 and RISC-V Image, ARM zImage, EFI zboot, uImage, and vmlinux, as facts.

References: Linux Documentation/arch/x86/boot, arch/arm64/booting, arch/riscv/boot-image-header.
"""

from __future__ import annotations

from imgtool.limits import Limits
from imgtool.model.values import c_text
from imgtool.structs.layout import bit_names
from imgtool.structs.view import Unreadable, View
from imgtool.volumes.kernels import layout as lay
from imgtool.volumes.kernels.banner import banner
from imgtool.volumes.kernels.elf import vmlinux
from imgtool.volumes.kernels.facts import X86, KernelFacts, Payload
from imgtool.volumes.uimage import layout as ulay
from imgtool.volumes.uimage.reader import uimage

_PACKED = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"BZh", "bzip2"),
    (b"\x89LZO\0", "lzo"),
    (b"\x5d\0\0", "lzma"),
    (b"\x7fELF", "none"),
)


def read(view: View, limits: Limits) -> KernelFacts | None:
    """The facts of a kernel; None where a mark is there that ordinary programs and other images have too."""
    head = view.peek(0, 0x210)
    if head[0x202:0x206] == b"HdrS":
        return _x86(view)
    if head[0x38:0x3C] == b"ARM\x64":
        return _arm64(view, limits)
    if head[0x30:0x38] == b"RISCV\0\0\0" or head[0x38:0x3C] == b"RSC\x05":
        return _riscv(view, limits)
    if head[:8] == b"MZ\0\0zimg":
        return _zboot(view)
    if head[:4] == ulay.MAGIC:
        return _uimage(view)
    if head[:4] == b"\x7fELF":
        return vmlinux(view, limits)
    return _arm(view)


def _x86(view: View) -> KernelFacts:
    head = view.parse(lay.SETUP_HEADER, lay.SETUP_AT)
    setup_size = ((head.setup_sects or 4) + 1) * 512
    version_at = head.kernel_version + 0x200 if head.kernel_version else None
    version = None
    if version_at is not None and version_at < setup_size:
        version = c_text(view.peek(version_at, 256)) or None
    machine = _pe_machine(view, 0x3C)
    xloadflags = bit_names(head.xloadflags, lay.XLOADFLAGS) if head.version >= 0x020C else ()
    wide = "kernel-64" in xloadflags
    high = bool(head.loadflags & 1)
    payload = None
    if head.version >= 0x0208 and head.payload_length:
        at = setup_size + head.payload_offset
        payload = Payload(at, head.payload_length, packed(view, at))
    handover = head.handover_offset if head.version >= 0x020B and head.handover_offset else None
    x86 = X86(
        f"{head.version >> 8}.{head.version & 255:02d}",
        head.boot_flag,
        head.setup_sects,
        setup_size,
        head.syssize * 16,
        bit_names(head.loadflags, lay.LOADFLAGS),
        xloadflags,
        head.version >= 0x0205 and bool(head.relocatable_kernel),
        handover,
        version_at,
    )
    return KernelFacts(
        format="aki",
        file_size=view.size,
        broken=head.version >> 8 != 2,
        partial=bool(view.problems),
        problems=view.problems,
        kind="bzImage" if high else "zImage",
        architecture="x86-64" if wide or machine == "x86-64" else "i386",
        version=version,
        efi_stub=machine,
        load_address=head.pref_address if head.version >= 0x020A else None,
        image_size=head.init_size if head.version >= 0x020A else None,
        payload=payload,
        x86=x86,
        needs=_x86_end(head, setup_size),
        protocol_word=head.version,
    )


def _x86_end(head: lay.SetupHeader, setup_size: int) -> int:
    """Where the protected-mode code ends at the least: its size is told in whole paragraphs of 16 bytes.

    Before protocol 2.04 only 16 bits of it are sure.
    """
    paragraphs = head.syssize if head.version >= 0x0204 else head.syssize & 0xFFFF
    return setup_size + max(0, paragraphs * 16 - 15)


def packed(view: View, at: int) -> str:
    """By which method the bytes at `at` are compressed, by their magic."""
    try:
        raw = view.peek(at, 6)
    except Unreadable:  # not kept of a stream
        return "unknown"
    return next((name for magic, name in _PACKED if raw.startswith(magic)), "unknown")


def _pe_machine(view: View, at: int) -> str | None:
    """The machine of the PE program that the file also is; `at` holds the offset of its header."""
    if view.peek(0, 2) != b"MZ":
        return None
    offset = int.from_bytes(view.peek(at, 4), "little")
    if not offset >= 0x40 or view.peek(offset, 4) != b"PE\0\0":
        return None
    head = view.optional(lay.PE_HEADER, offset)
    return None if head is None else lay.PE_MACHINES.get(head.machine, f"unknown-0x{head.machine:x}")


def _arm64(view: View, limits: Limits) -> KernelFacts:
    head = view.parse(lay.ARM64_HEADER, 0)
    return KernelFacts(
        format="aki",
        file_size=view.size,
        partial=bool(view.problems),
        kind="Image",
        architecture="arm64",
        version=banner(view, 0, limits),
        efi_stub=_pe_machine(view, 0x3C),
        load_address=head.text_offset,
        image_size=head.image_size or None,
        problems=view.problems,
    )


def _riscv(view: View, limits: Limits) -> KernelFacts:
    head = view.parse(lay.RISCV_HEADER, 0)
    machine = _pe_machine(view, 0x3C)
    return KernelFacts(
        format="aki",
        file_size=view.size,
        partial=bool(view.problems),
        kind="Image",
        architecture=machine if machine and machine.startswith("riscv") else "riscv",
        version=banner(view, 0, limits),
        efi_stub=machine,
        load_address=head.text_offset,
        image_size=head.image_size or None,
        problems=view.problems,
    )


def _zboot(view: View) -> KernelFacts:
    head = view.parse(lay.ZBOOT_HEADER, 0)
    machine = _pe_machine(view, 0x3C)
    return KernelFacts(
        format="aki",
        file_size=view.size,
        partial=bool(view.problems),
        kind="zboot",
        architecture=machine or "unknown",
        efi_stub=machine,
        payload=Payload(head.payload_offset, head.payload_size, c_text(head.compression)),
        needs=head.payload_offset + head.payload_size,
        problems=view.problems,
    )


def _uimage(view: View) -> KernelFacts | None:
    head, facts = uimage(view)
    if head.type not in ulay.KERNEL_TYPES:
        return None
    return KernelFacts(
        format="aki",
        file_size=view.size,
        kind="uImage",
        architecture=facts.architecture,
        version=facts.name or None,
        load_address=head.load,
        entry_point=head.ep,
        uimage=facts,
        needs=ulay.UIMAGE.size + head.size,
    )


def _arm(view: View) -> KernelFacts | None:
    raw = view.peek(0x24, 4)
    layout = lay.ARM_HEADER if raw == lay.ARM_MAGIC.to_bytes(4, "little") else lay.ARM_HEADER_BIG
    head = view.parse(layout, 0x24)
    if head.magic != lay.ARM_MAGIC:
        return None
    return KernelFacts(
        format="aki",
        file_size=view.size,
        broken=head.end <= head.start,
        kind="zImage",
        architecture="arm" if layout is lay.ARM_HEADER else "armeb",
        load_address=head.start,
        needs=head.end - head.start if head.end > head.start else None,
    )
