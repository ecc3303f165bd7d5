"""What the reader of kernels finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from imgtool.model.facts import Facts
from imgtool.volumes.uimage.reader import UImageFacts

KernelKind = Literal["bzImage", "zImage", "Image", "zboot", "vmlinux", "uImage"]


class X86(NamedTuple):
    """What the x86 setup header says. `setup_size` and `system_size` in bytes; `handover` where EFI enters."""

    protocol: str
    boot_flag: int
    setup_sects: int
    setup_size: int
    system_size: int
    loadflags: tuple[str, ...]
    xloadflags: tuple[str, ...]
    relocatable: bool
    handover: int | None
    version_offset: int | None


class Payload(NamedTuple):
    """A compressed kernel inside the file: where it lies (bytes of the file), and by which method."""

    offset: int
    length: int
    compression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFacts(Facts):
    """Facts of a kernel. `version` is the text it carries; `needs`: bytes of the file that its headers speak of.

    `efi_stub`: the machine of the PE program it also is; `load_address` and `entry_point` where it says them;
    `image_size` is what it takes up in memory, in bytes.
    """

    HIDDEN = frozenset({"needs", "protocol_word"})

    kind: KernelKind
    architecture: str
    version: str | None = None
    efi_stub: str | None = None
    load_address: int | None = None
    entry_point: int | None = None
    image_size: int | None = None
    payload: Payload | None = None
    x86: X86 | None = None
    uimage: UImageFacts | None = None
    xen: bool = False
    needs: int | None = None
    protocol_word: int | None = None
