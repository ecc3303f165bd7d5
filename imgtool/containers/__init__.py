"""The registry of containers: plain data, nothing of what it names is imported."""

from __future__ import annotations

from imgtool.detect.registry import Entry, Signature

OVA = Entry(
    name="ova",
    title="Open Virtual Appliance (a tar with an OVF descriptor)",
    family="OVA",
    kind="container",
    signatures=(
        Signature(b"ustar", 257),
        # a tar of before POSIX has no magic: the first digit of the octal checksum, below 0o200000
        *(Signature(digit, 148, "imgtool.containers.ova.probe:old_tar") for digit in (b"0", b"1", b" ")),
    ),
    reader="imgtool.containers.ova.reader:read",
    checks="imgtool.containers.ova.checks:RULES",
    rank=30,
    glance="ova",
    tables="imgtool.containers.integrity:walk",
    table_checks="imgtool.containers.ova.tables:RULES",
)

DOCKER = Entry(
    name="docker",
    title="docker archive or OCI image layout (a tar)",
    family="DKR",
    kind="container",
    signatures=(Signature(b"ustar", 257),),
    reader="imgtool.containers.docker.reader:read",
    checks="imgtool.containers.docker.checks:RULES",
    rank=31,
    glance="docker",
    tables="imgtool.containers.docker.layers:walk",
    table_checks="imgtool.containers.docker.tables:RULES",
    aliases=("oci",),
)

_XML = (b"\xef\xbb\xbf", b"\xff\xfe<\0", b"\xfe\xff\0<", b"<\0?\0", b"\0<\0?")

OVF = Entry(
    name="ovf",
    title="Open Virtualization Format descriptor",
    family="OVF",
    kind="container",
    signatures=(
        Signature(b"", probe="imgtool.containers.envelope.probe:is_envelope", gate="text"),
        *(Signature(mark, probe="imgtool.containers.envelope.probe:is_envelope") for mark in _XML),
    ),
    reader="imgtool.containers.ovf.reader:read",
    checks="imgtool.containers.envelope.checks:RULES",
    rank=33,
    glance="ovf",
    tables="imgtool.containers.ovf.beside:walk",
    table_checks="imgtool.containers.ovf.tables:RULES",
)

AMI_BUNDLE = Entry(
    name="ami",
    title="EC2 bundle manifest (image.manifest.xml)",
    family="AMI",
    kind="container",
    signatures=(
        Signature(b"", probe="imgtool.containers.envelope.probe:is_bundle_manifest", gate="text"),
        *(Signature(mark, probe="imgtool.containers.envelope.probe:is_bundle_manifest") for mark in _XML),
    ),
    reader="imgtool.containers.ami.reader:read",
    checks="imgtool.containers.ami.checks:RULES",
    rank=34,
    glance="ami",
    tables="imgtool.containers.ami.parts:walk",
    table_checks="imgtool.containers.ami.tables:RULES",
)

_WRAPPERS = (b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18")

COMPRESSED = Entry(
    name="compressed",
    title="one compressed file: gzip, xz, lzma, zstd, bzip2, lz4, zip",
    family="ZIP",
    kind="container",
    signatures=(
        *(Signature(magic) for magic in (*_WRAPPERS, b"PK\x03\x04", b"PK\x05\x06")),
        *(Signature(b"BZh%d" % level) for level in range(1, 10)),
        *(
            Signature(bytes((0x50 + number, 0x2A, 0x4D, 0x18)), 0, "imgtool.containers.compressed.probe:is_frame")
            for number in range(16)
        ),
        Signature(b"\x5d\0\0", 0, "imgtool.containers.compressed.probe:is_lzma"),
        Signature(b"PK\x05\x06", 0, "imgtool.containers.compressed.probe:ends_as_zip", "tail"),
    ),
    reader="imgtool.containers.compressed.reader:read",
    checks="imgtool.containers.compressed.checks:RULES",
    rank=35,
    glance="compressed",
)

CONTAINERS: tuple[Entry, ...] = (OVA, DOCKER, OVF, AMI_BUNDLE, COMPRESSED)
