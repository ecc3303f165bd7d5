"""qcow2, 1xx: what the image names outside itself. That it names anything is IMG101 and IMG102."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2.facts import Qcow2Facts
from imgtool.limits import Limits

_FORMAT_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@rule("QCW101", "qcow2-backing-name-misplaced", "error")
def name_misplaced(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The name of the backing file lies outside the header cluster, or is too long.

    What it checks: where there is a backing file, its name begins after the header, ends inside the first
    cluster and has at most 1,023 bytes.

    Why it matters: readers cut, refuse or read past it; the name that one shows is not what another opens.

    What to do: take a fresh copy of the image, or write the name again: `qemu-img rebase -u`.

    References: QEMU docs/interop/qcow2, section "Header", backing_file_offset and backing_file_size.
    """
    at, size = facts.backing_file_offset, facts.backing_file_size
    if not at or not size:
        return
    if size > lay.MAX_BACKING_NAME:
        message = f"backing file name of {size} bytes, at most {lay.MAX_BACKING_NAME} are allowed"
        yield name_misplaced.at(message, field="backing_file_size", offset=16, length=4)
    if facts.cluster_size and at + size > facts.cluster_size:
        message = f"backing file name at {at} ends at {at + size}, past the first cluster of {facts.cluster_size}"
        yield name_misplaced.at(message, field="backing_file_offset", offset=8, length=8)
    if at < facts.header_length:
        message = f"backing file name at {at} lies in the header of {facts.header_length} bytes"
        yield name_misplaced.at(message, field="backing_file_offset", offset=8, length=8)


@rule("QCW102", "qcow2-backing-offset-without-size", "warning")
def offset_without_size(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The header says where a backing file's name lies, but gives it no length.

    What it checks: backing_file_offset is 0 where backing_file_size is 0.

    Why it matters: one reader says that there is a backing file, another that there is none.

    What to do: `qemu-img rebase -u -b ""` on a copy.

    References: QEMU docs/interop/qcow2, section "Header", backing_file_offset and backing_file_size.
    """
    if facts.backing_file_offset and not facts.backing_file_size:
        message = f"backing_file_offset is {facts.backing_file_offset} and backing_file_size is 0"
        yield offset_without_size.at(message, field="backing_file_offset", offset=8, length=8)


@rule("QCW103", "qcow2-unsafe-backing-format", "error")
def unsafe_format(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The backing format is not the name of a format.

    What it checks: the backing format extension holds letters, digits, `-`, `_` and `.` only.

    Why it matters: a name with a protocol or options in it can reach files and servers that have nothing to
    do with the image.

    What to do: write it again: `qemu-img rebase -u -b FILE -F FORMAT`.

    References: QEMU docs/interop/qcow2, section "Header extensions".
    """
    name = facts.backing_format
    if name is not None and not _FORMAT_NAME.fullmatch(name):
        place = next((one for one in facts.extensions if one.type == lay.EXT_BACKING_FORMAT), None)
        offset, length = (place.offset, place.length) if place else (None, None)
        yield unsafe_format.at(f"backing format {name!r}", field="backing-format", offset=offset, length=length)


@rule("QCW104", "qcow2-raw-external-data-mismatch", "error")
def raw_external_data(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The image says that its external data file is raw, and cannot mean it.

    What it checks: autoclear feature bit 1 (raw external data) is set only with incompatible bit 2 (external
    data file), and never with a backing file.

    Why it matters: programs would read guest data from a file that does not hold all of it.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qcow2, section "Header", autoclear_features.
    """
    if not facts.data_file_raw:
        return
    if "external-data-file" not in facts.incompatible_features:
        message = "autoclear bit 1 (raw external data) is set without incompatible bit 2 (external data file)"
        yield raw_external_data.at(message, field="autoclear_features", offset=88, length=8)
    if facts.backing_file is not None:
        message = "autoclear bit 1 (raw external data) is set in an image with a backing file"
        yield raw_external_data.at(message, field="autoclear_features", offset=88, length=8)


REFERENCES = (name_misplaced, offset_without_size, unsafe_format, raw_external_data)
