"""U-Boot's legacy image header, 64 bytes, big-endian. Reference: U-Boot include/image.h."""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int8ub, Int32ub, Struct

from imgtool.structs.layout import Layout

MAGIC = b"\x27\x05\x19\x56"

SYSTEMS = {
    0: "invalid",
    1: "openbsd",
    2: "netbsd",
    3: "freebsd",
    5: "linux",
    14: "vxworks",
    17: "u-boot",
    18: "rtems",
}
ARCHITECTURES = {
    1: "alpha",
    2: "arm",
    3: "i386",
    4: "ia64",
    5: "mips",
    6: "mips64",
    7: "ppc",
    8: "s390",
    9: "sh",
    10: "sparc",
    11: "sparc64",
    12: "m68k",
    14: "microblaze",
    15: "nios2",
    21: "openrisc",
    22: "arm64",
    23: "arc",
    24: "x86-64",
    25: "xtensa",
    26: "riscv",
}
TYPES = {
    1: "standalone",
    2: "kernel",
    3: "ramdisk",
    4: "multi",
    5: "firmware",
    6: "script",
    7: "filesystem",
    8: "flat_dt",
    14: "kernel_noload",
}
COMPRESSIONS = {0: "none", 1: "gzip", 2: "bzip2", 3: "lzma", 4: "lzo", 5: "lz4", 6: "zstd"}

KERNEL_TYPES = frozenset({2, 4, 14})
RAMDISK = 3


class UImage(NamedTuple):
    """The header; the data follow. `hcrc` covers the header with itself taken as 0, `dcrc` the data."""

    magic: bytes
    hcrc: int
    time: int
    size: int
    load: int
    ep: int
    dcrc: int
    os: int
    arch: int
    type: int
    comp: int
    name: bytes


UIMAGE = Layout(
    "uImage header",
    UImage,
    Struct(
        "magic" / Bytes(4),
        "hcrc" / Int32ub,
        "time" / Int32ub,
        "size" / Int32ub,
        "load" / Int32ub,
        "ep" / Int32ub,
        "dcrc" / Int32ub,
        "os" / Int8ub,
        "arch" / Int8ub,
        "type" / Int8ub,
        "comp" / Int8ub,
        "name" / Bytes(32),
    ),
    meanings={"os": SYSTEMS, "arch": ARCHITECTURES, "type": TYPES, "comp": COMPRESSIONS},
)
