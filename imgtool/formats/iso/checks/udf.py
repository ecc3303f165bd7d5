"""iso, 04x and 302: UDF's recognition sequence, anchors and descriptor tags."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.iso.facts import IsoFacts
from imgtool.limits import Limits


@rule("ISO040", "iso-udf-recognition-broken", "error")
def recognition_broken(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """The sequence that announces UDF is not whole.

    What it checks: BEA01, NSR02 or NSR03, TEA01 follow each other, in steps of 2,048 bytes (4,096 and more
    on media of such sectors), each of version 1.

    Why it matters: some programs then see a UDF volume and others do not: the same disc with two contents.

    What to do: take a fresh copy of the image, or make it again.

    References: ECMA-167 2/8.3.1 and 2/9.
    """
    if facts.udf is not None and not facts.udf.sound_recognition:
        first = next(entry for entry in facts.descriptors if entry.identifier != "CD001")
        message = f"the recognition sequence is {', '.join(facts.udf.recognition)}"
        yield recognition_broken.at(message, field="recognition sequence", offset=first.offset)


@rule("ISO041", "iso-udf-without-anchor", "error")
def without_anchor(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """UDF is announced and no anchor is there.

    What it checks: an anchor volume descriptor pointer lies at block 256, at the last block, or 256 blocks before it.

    Why it matters: nothing of the volume can be found; the file was most likely cut short.

    What to do: fetch the image again and compare its size and checksum with the publisher's.

    References: ECMA-167 3/8.4.2.1; OSTA UDF 2.60, 2.2.3.
    """
    if facts.udf is not None and not facts.udf.anchors:
        yield without_anchor.at("no anchor at block 256 or at the end of the file", field="anchor")


@rule("ISO042", "iso-udf-volume-missing", "error")
def volume_missing(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """The anchor leads to no UDF volume.

    What it checks: the volume descriptor sequence that the anchor names, or its reserve, has a primary and a
    logical volume descriptor.

    Why it matters: the file system cannot be mounted.

    What to do: take a fresh copy of the image, or make it again.

    References: ECMA-167 3/8.4.2.
    """
    udf = facts.udf
    if udf is None or not udf.anchors:
        return
    missing = [
        name for name, value in (("primary", udf.volume_id), ("logical", udf.logical_volume_id)) if value is None
    ]
    if missing:
        message = f"no {' and no '.join(missing)} volume descriptor in the sequences that the anchor names"
        yield volume_missing.at(message, field="volume descriptor sequence", offset=udf.anchors[0])


@rule("ISO302", "iso-udf-bad-tag", "error")
def bad_tag(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """A UDF descriptor's tag does not hold.

    What it checks: of each anchor and volume descriptor the tag checksum, the CRC of the descriptor, and
    that it lies in the block that the tag says.

    Why it matters: the descriptor was damaged or edited; readers skip it and take the reserve, or give up.

    What to do: take a fresh copy of the image, or make it again.

    References: ECMA-167 3/7.2.
    """
    for entry in facts.udf.bad_tags if facts.udf is not None else ():
        yield bad_tag.at(f"{entry.what}: {entry.fault}", field=entry.what, offset=entry.offset, length=16)


UDF = (recognition_broken, without_anchor, volume_missing, bad_tag)
