"""Headers of kernels on disk.

References: Linux Documentation/arch/x86/boot (the boot protocol, "The Real-Mode Kernel Header"),
arch/arm64/booting, arch/riscv/boot-image-header, arch/arm (zImage header), drivers/firmware/efi/libstub
(zboot header); the ELF specification 1.2; the PE/COFF specification.
"""

from __future__ import annotations

from typing import NamedTuple

from construct import (
    Bytes,
    Construct,
    Int8ul,
    Int16ub,
    Int16ul,
    Int32ub,
    Int32ul,
    Int64ub,
    Int64ul,
    Struct,
)

from imgtool.structs.layout import Layout, flags

LOADFLAGS = {0: "loaded-high", 1: "kaslr", 5: "quiet", 6: "keep-segments", 7: "can-use-heap"}
XLOADFLAGS = {
    0: "kernel-64",
    1: "can-be-loaded-above-4g",
    2: "efi-handover-32",
    3: "efi-handover-64",
    4: "efi-kexec",
    5: "5-level",
    6: "5-level-enabled",
    7: "mem-encryption",
}
PE_MACHINES = {
    0x014C: "i386",
    0x01C0: "arm",
    0x01C2: "arm",
    0x01C4: "arm",
    0x0200: "ia64",
    0x5032: "riscv32",
    0x5064: "riscv64",
    0x6232: "loongarch32",
    0x6264: "loongarch64",
    0x8664: "x86-64",
    0xAA64: "arm64",
}
ELF_MACHINES = {
    2: "sparc",
    3: "i386",
    4: "m68k",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390x",
    40: "arm",
    43: "sparc64",
    50: "ia64",
    62: "x86-64",
    183: "arm64",
    243: "riscv64",
    258: "loongarch64",
}

SETUP_AT = 0x1F1
ARM64_PAGES = {0: "unspecified", 1: "4K", 2: "16K", 3: "64K"}


class SetupHeader(NamedTuple):
    """The x86 setup header from 0x1F1 on; what a protocol version does not have is other data there."""

    setup_sects: int
    root_flags: int
    syssize: int
    ram_size: int
    vid_mode: int
    root_dev: int
    boot_flag: int
    jump: int
    header: bytes
    version: int
    realmode_swtch: int
    start_sys_seg: int
    kernel_version: int
    type_of_loader: int
    loadflags: int
    setup_move_size: int
    code32_start: int
    ramdisk_image: int
    ramdisk_size: int
    bootsect_kludge: int
    heap_end_ptr: int
    ext_loader_ver: int
    ext_loader_type: int
    cmd_line_ptr: int
    initrd_addr_max: int
    kernel_alignment: int
    relocatable_kernel: int
    min_alignment: int
    xloadflags: int
    cmdline_size: int
    hardware_subarch: int
    hardware_subarch_data: int
    payload_offset: int
    payload_length: int
    setup_data: int
    pref_address: int
    init_size: int
    handover_offset: int


SETUP_HEADER = Layout(
    "x86 setup header",
    SetupHeader,
    Struct(
        "setup_sects" / Int8ul,
        "root_flags" / Int16ul,
        "syssize" / Int32ul,
        "ram_size" / Int16ul,
        "vid_mode" / Int16ul,
        "root_dev" / Int16ul,
        "boot_flag" / Int16ul,
        "jump" / Int16ul,
        "header" / Bytes(4),
        "version" / Int16ul,
        "realmode_swtch" / Int32ul,
        "start_sys_seg" / Int16ul,
        "kernel_version" / Int16ul,
        "type_of_loader" / Int8ul,
        "loadflags" / Int8ul,
        "setup_move_size" / Int16ul,
        "code32_start" / Int32ul,
        "ramdisk_image" / Int32ul,
        "ramdisk_size" / Int32ul,
        "bootsect_kludge" / Int32ul,
        "heap_end_ptr" / Int16ul,
        "ext_loader_ver" / Int8ul,
        "ext_loader_type" / Int8ul,
        "cmd_line_ptr" / Int32ul,
        "initrd_addr_max" / Int32ul,
        "kernel_alignment" / Int32ul,
        "relocatable_kernel" / Int8ul,
        "min_alignment" / Int8ul,
        "xloadflags" / Int16ul,
        "cmdline_size" / Int32ul,
        "hardware_subarch" / Int32ul,
        "hardware_subarch_data" / Int64ul,
        "payload_offset" / Int32ul,
        "payload_length" / Int32ul,
        "setup_data" / Int64ul,
        "pref_address" / Int64ul,
        "init_size" / Int32ul,
        "handover_offset" / Int32ul,
    ),
    meanings={
        "setup_sects": lambda count: f"{count or 4} sectors of setup code",
        "syssize": lambda count: f"{count * 16} bytes of protected-mode code",
        "version": lambda word: f"boot protocol {word >> 8}.{word & 255:02d}",
        "loadflags": flags(LOADFLAGS),
        "xloadflags": flags(XLOADFLAGS),
    },
)


class Arm64Header(NamedTuple):
    """The first 64 bytes of an arm64 Image."""

    code0: int
    code1: int
    text_offset: int
    image_size: int
    flags: int
    res2: int
    res3: int
    res4: int
    magic: bytes
    res5: int


ARM64_HEADER = Layout(
    "arm64 Image header",
    Arm64Header,
    Struct(
        "code0" / Int32ul,
        "code1" / Int32ul,
        "text_offset" / Int64ul,
        "image_size" / Int64ul,
        "flags" / Int64ul,
        "res2" / Int64ul,
        "res3" / Int64ul,
        "res4" / Int64ul,
        "magic" / Bytes(4),
        "res5" / Int32ul,
    ),
    meanings={"flags": lambda word: f"{'big' if word & 1 else 'little'}-endian, pages {ARM64_PAGES[word >> 1 & 3]}"},
)


class RiscvHeader(NamedTuple):
    """The first 64 bytes of a RISC-V Image."""

    code0: int
    code1: int
    text_offset: int
    image_size: int
    flags: int
    version: int
    res1: int
    res2: int
    magic: bytes
    magic2: bytes
    res3: int


RISCV_HEADER = Layout(
    "RISC-V Image header",
    RiscvHeader,
    Struct(
        "code0" / Int32ul,
        "code1" / Int32ul,
        "text_offset" / Int64ul,
        "image_size" / Int64ul,
        "flags" / Int64ul,
        "version" / Int32ul,
        "res1" / Int32ul,
        "res2" / Int64ul,
        "magic" / Bytes(8),
        "magic2" / Bytes(4),
        "res3" / Int32ul,
    ),
    meanings={"version": lambda word: f"{word >> 16}.{word & 0xFFFF}"},
)


class ZbootHeader(NamedTuple):
    """The head of an EFI zboot image: a PE program that unpacks the kernel in it."""

    mz: bytes
    zimg: bytes
    payload_offset: int
    payload_size: int
    reserved: int
    compression: bytes
    linux_magic: int
    pe_offset: int


ZBOOT_HEADER = Layout(
    "EFI zboot header",
    ZbootHeader,
    Struct(
        "mz" / Bytes(4),
        "zimg" / Bytes(4),
        "payload_offset" / Int32ul,
        "payload_size" / Int32ul,
        "reserved" / Int64ul,
        "compression" / Bytes(32),
        "linux_magic" / Int32ul,
        "pe_offset" / Int32ul,
    ),
)


class ArmHeader(NamedTuple):
    """Bytes 0x24–0x33 of a 32-bit ARM zImage; `start` and `end` are addresses."""

    magic: int
    start: int
    end: int
    endian: int


ARM_MAGIC = 0x016F2818
ARM_HEADER = Layout(
    "ARM zImage header",
    ArmHeader,
    Struct("magic" / Int32ul, "start" / Int32ul, "end" / Int32ul, "endian" / Int32ul),
)
ARM_HEADER_BIG = Layout(
    "ARM zImage header, big-endian",
    ArmHeader,
    Struct("magic" / Int32ub, "start" / Int32ub, "end" / Int32ub, "endian" / Int32ub),
)


class PeHeader(NamedTuple):
    """The signature of a PE program and the machine it is for."""

    signature: bytes
    machine: int


PE_HEADER = Layout(
    "PE header",
    PeHeader,
    Struct("signature" / Bytes(4), "machine" / Int16ul),
    meanings={"machine": PE_MACHINES},
)


class ElfHeader(NamedTuple):
    """The ELF header behind its 16 bytes of identification."""

    type: int
    machine: int
    version: int
    entry: int
    phoff: int
    shoff: int
    flags: int
    ehsize: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int
    shstrndx: int


class Segment64(NamedTuple):
    """A program header; its fields in the order of the 64-bit form."""

    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int


class Segment32(NamedTuple):
    """A program header of the 32-bit form."""

    type: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    flags: int
    align: int


PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
ET_EXEC, ET_DYN = 2, 3


def _elf_header(half: Construct, word: Construct, address: Construct, name: str) -> Layout[ElfHeader]:
    names = ElfHeader._fields
    kinds = (half, half, word, address, address, address, word, half, half, half, half, half, half)
    return Layout(name, ElfHeader, Struct(*(field / kind for field, kind in zip(names, kinds, strict=True))))


#: By (64-bit, big-endian).
ELF_HEADERS = {
    (False, False): _elf_header(Int16ul, Int32ul, Int32ul, "ELF header"),
    (False, True): _elf_header(Int16ub, Int32ub, Int32ub, "ELF header"),
    (True, False): _elf_header(Int16ul, Int32ul, Int64ul, "ELF header"),
    (True, True): _elf_header(Int16ub, Int32ub, Int64ub, "ELF header"),
}


def _segments64(word: Construct, address: Construct) -> Layout[Segment64]:
    kinds = (word, word, address, address, address, address, address, address)
    fields = (field / kind for field, kind in zip(Segment64._fields, kinds, strict=True))
    return Layout("ELF program header", Segment64, Struct(*fields))


def _segments32(word: Construct) -> Layout[Segment32]:
    return Layout("ELF program header", Segment32, Struct(*(field / word for field in Segment32._fields)))


SEGMENTS64 = {False: _segments64(Int32ul, Int64ul), True: _segments64(Int32ub, Int64ub)}
SEGMENTS32 = {False: _segments32(Int32ul), True: _segments32(Int32ub)}
