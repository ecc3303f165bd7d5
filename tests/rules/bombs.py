"""Small files that ask for much: of each, what rejects it (one of these codes), and how it is made."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

from fixtures.recipes import docker, ova
from tests.kit import images

MIB = 1 << 20


def deflated(mebibytes: int) -> bytes:
    """A gzip member of so many MiB of zeros: one MiB of them, again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    once = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    end = zlib.compressobj(9, zlib.DEFLATED, -15)
    tail = end.flush()
    head = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"
    return head + once * mebibytes + tail + struct.pack("<II", 0, (mebibytes * MIB) & 0xFFFFFFFF)


def run_lengths(blocks: int) -> bytes:
    """A zstd frame of blocks that repeat one byte 131,072 times, of 4 bytes each; then a block that is none."""
    head = b"\x28\xb5\x2f\xfd\x00\x60"
    block = (131_072 << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    return head + block * blocks + b"\xff\xff\xff"


def matryoshka(pack: Callable[[bytes], bytes], times: int) -> bytes:
    """A wrapper in a wrapper in a wrapper."""
    data = b"QFI\xfb" + bytes(1000)
    for _ in range(times):
        data = pack(data)
    return data


def claimed_index() -> bytes:
    """An xz whose index claims records without end."""
    data = bytearray(lzma.compress(b"x" * 1000))
    at = len(data) - 12
    data[at + 4 : at + 8] = b"\xff\xff\xff\x7f"
    crc = zlib.crc32(bytes(data[at + 4 : at + 10]))
    data[at : at + 4] = struct.pack("<I", crc)
    return bytes(data)


def wide_window() -> bytes:
    """A zstd frame whose window is larger than any memory."""
    return b"\x28\xb5\x2f\xfd\x00" + bytes((31 << 3,)) + b"\x01\0\0"


def zip_of_many() -> bytes:
    """An archive of 20,000 empty files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}", b"")
    return packed.getvalue()


def overlapping_zip() -> bytes:
    """A directory that claims a member much larger than the archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("disk.img", bytes(MIB))
    data = packed.getvalue()
    at = data.rfind(b"PK\x01\x02")
    return data[: at + 20] + struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0) + data[at + 28 :]


def tar_of_many() -> bytes:
    """An OVA of 20,000 members."""
    first = ova.member("x.ovf", ova.descriptor("", "").encode())
    return ova.tar(first, *(ova.member(f"{number}") for number in range(20_000)))


def sparse_member() -> bytes:
    """An OVA with a sparse member that unpacks to 8 EiB."""
    member = ova.header(b"disk.vmdk", 512, kind=b"S")
    return ova.tar(ova.member("x.ovf", ova.descriptor("", "").encode()), member + bytes(512))


SPACE = 'xmlns="http://schemas.dmtf.org/ovf/envelope/1"'


def entities() -> bytes:
    """A billion laughs."""
    laughs = "".join(f'<!ENTITY a{number} "' + f"&a{number - 1};" * 10 + '">' for number in range(1, 10))
    text = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{laughs}]>'
    return f"{text}<Envelope {SPACE}>&a9;</Envelope>".encode()


def nested_xml(depth: int) -> bytes:
    """Elements within elements."""
    return f"<Envelope {SPACE}>{'<a>' * depth}{'</a>' * depth}</Envelope>".encode()


def many_attributes(count: int) -> bytes:
    """One element with attributes without end."""
    attributes = " ".join(f'b{number}=""' for number in range(count))
    return f"<Envelope {SPACE}><a {attributes}/></Envelope>".encode()


def nested_json(depth: int) -> bytes:
    """A docker archive whose manifest is lists within lists."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in (("manifest.json", b"[" * depth + b"]" * depth), ("repositories", b"{}")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def many_layers() -> bytes:
    """A docker archive that lists a layer 100,000 times."""
    layer = "0" * 64 + "/layer.tar"
    manifest = json.dumps([{"Config": "c.json", "Layers": [layer] * 100_000}]).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in (("manifest.json", manifest[:MIB]), (layer, b""), ("c.json", docker.config([]))):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


#: Name → how it is made, and the codes of which one must come.
BOMBS: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "gzip of 256 MiB": (lambda: deflated(256), {"ZIP302"}),
    "zstd of repetitions": (lambda: run_lengths(10_000), {"IMG003"}),
    "gzip in gzip": (lambda: matryoshka(gzip.compress, 40), {"IMG202"}),
    "xz in xz": (lambda: matryoshka(lzma.compress, 40), {"IMG202"}),
    "xz index": (claimed_index, {"IMG003"}),
    "zstd window": (wide_window, {"ZIP202"}),
    "zip of many": (zip_of_many, {"ZIP004"}),
    "zip that overlaps": (overlapping_zip, {"ZIP003"}),
    "tar of many": (tar_of_many, {"IMG201"}),
    "tar, sparse": (sparse_member, {"OVA014"}),
    "entities": (entities, {"OVF001"}),
    "deep XML": (lambda: nested_xml(100_000), {"IMG201"}),
    "wide XML": (lambda: many_attributes(100_000), {"IMG201"}),
    "deep JSON": (lambda: nested_json(100_000), {"DKR001"}),
    "many layers": (many_layers, {"DKR001"}),
}

#: Wrappers of zeros: what stops them, and the code, where the caps are lower than by default.
ZEROS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: gzip.compress(bytes(64 * MIB)),
    "bzip2": lambda: bz2.compress(bytes(64 * MIB)),
    "xz": lambda: lzma.compress(bytes(64 * MIB)),
    "lzma": lambda: lzma.compress(bytes(64 * MIB), format=lzma.FORMAT_ALONE),
}

#: Of these, what only warns: bytes behind a volume, a layer that unpacks to much but not over a cap.
WARNED = {"iso/hostile-data-behind.iso.gz", "docker/hostile-layer-bomb.tar.gz"}

#: Fixtures that claim what they have not.
HOSTILE = [name for name in images() if "hostile" in name]
