"""qcow2, 02x: the header extensions. Cost of each: the header alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2.facts import Qcow2Facts
from imgtool.limits import Limits

#: The sizes that the known types may have: (least, most, multiple of), in bytes.
_SIZES = {
    lay.EXT_BITMAPS: (24, 24, 1),
    lay.EXT_CRYPTO_HEADER: (16, 16, 1),
    lay.EXT_BACKING_FORMAT: (1, 15, 1),
    lay.EXT_FEATURE_NAMES: (0, 1 << 21, 48),
}


@rule("QCW020", "qcow2-extension-crosses-its-area", "error")
def crossing(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """A header extension does not end where the extensions end.

    What it checks: every extension ends before the backing file name, or where there is none at the end of
    the first cluster.

    Why it matters: its data is taken from what lies behind, and readers differ in where they stop.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qcow2, section "Header extensions".
    """
    end = facts.extension_area[1]
    for extension in facts.extensions:
        if extension.offset + extension.length > end:
            message = f"extension {extension.name} of {extension.length} bytes ends past the extensions' end at {end}"
            yield crossing.at(message, field=extension.name, offset=extension.offset - 8, length=8)


@rule("QCW021", "qcow2-extension-repeated", "error")
def repeated(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """A known header extension is there more than once.

    What it checks: each known type of extension appears at most once.

    Why it matters: one reader takes the first, another the last: they open different files.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qcow2, section "Header extensions".
    """
    seen: set[int] = set()
    for extension in facts.extensions:
        if extension.type in seen and extension.type in lay.EXTENSION_NAMES:
            message = f"extension {extension.name} is there again"
            yield repeated.at(message, field=extension.name, offset=extension.offset - 8, length=8)
        seen.add(extension.type)


@rule("QCW022", "qcow2-extension-bad-size", "error")
def bad_size(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """A known header extension has a size that it cannot have.

    What it checks: bitmaps 24 bytes, full disk encryption header pointer 16, backing format 1 to 15, feature
    names a multiple of 48.

    Why it matters: the extension means something else than its type says, or hides bytes behind it.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qcow2, section "Header extensions".
    """
    for extension in facts.extensions:
        least, most, step = _SIZES.get(extension.type, (0, extension.length, 1))
        if facts.version == 2 and extension.type == lay.EXT_BITMAPS:
            continue
        if not least <= extension.length <= most or extension.length % step:
            message = f"extension {extension.name} has {extension.length} bytes"
            yield bad_size.at(message, field=extension.name, offset=extension.offset - 8, length=8)


@rule("QCW023", "qcow2-unknown-extension", "note")
def unknown(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """A header extension has a type that no specification names.

    What it checks: every extension is one of the known types.

    Why it matters: readers skip it by rights; what it holds is not inspected.

    What to do: nothing, if you know what wrote it; converting the image leaves it out.

    References: QEMU docs/interop/qcow2, section "Header extensions".
    """
    for extension in facts.extensions:
        if extension.type not in lay.EXTENSION_NAMES:
            message = f"extension of type 0x{extension.type:08x}, {extension.length} bytes"
            yield unknown.at(message, field=extension.name, offset=extension.offset - 8, length=8)


EXTENSIONS = (crossing, repeated, bad_size, unknown)
