"""Digests that containers state of their members: verified in the one pass, from files and streams, bit by bit."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import re
import tarfile
from pathlib import Path

import pytest

import imgtool
from fixtures.recipes.docker import (
    LAYOUT,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    blob,
    config,
    described,
    dumped,
    legacy,
    sha256,
)
from fixtures.recipes.ova import ONE_DISK, ONE_FILE, descriptor, disk, member, packed, small, tar
from imgtool.inspection.deep import check
from imgtool.limits import DEFAULT
from tests.kit import codes, deep_codes, fixture, no_bug, report_of
from tests.test_golden import stream_of


def verified(data: bytes) -> set[str]:
    """The codes of an inspection with a checksum; from a stream they are the same."""
    report = report_of(data, checksums=("sha256",))
    no_bug(report)
    assert codes(imgtool.inspect(stream_of(data))) == codes(report)
    return codes(report)


SPELLINGS: list[tuple[str, str]] = [
    ("SHA256({0})= {1}\n", "sha256"),
    ("SHA256 ({0}) = {1}\r\n", "sha256"),
    ("sha256({0})={1}\n", "sha256"),
    ("SHA2-256({0})= {1}\n", "sha256"),
    ("SHA-256({0})= {1}\n", "sha256"),
    ("SHA1({0})= {1}\n", "sha1"),
    ("SHA512({0})= {1}\n", "sha512"),
    ("SHA2-512({0})= {1}\n", "sha512"),
    ("SHA384(./{0})= {1}\n", "sha384"),
]


@pytest.mark.parametrize(
    ("spelling", "algorithm"), SPELLINGS, ids=[one[0].split("(")[0] + one[1] for one in SPELLINGS]
)
def test_every_spelling_is_verified(spelling: str, algorithm: str) -> None:
    """A right digest is silent, a wrong one is found; only SHA-1 is weak."""
    (ovf_name, ovf), _, (vmdk_name, vmdk) = small()
    for wrong in (False, True):
        lines = "".join(
            spelling.format(name, hashlib.new(algorithm, data + b"x" * wrong).hexdigest())
            for name, data in ((ovf_name, ovf), (vmdk_name, vmdk))
        )
        found = verified(packed([(ovf_name, ovf), ("small.mf", lines.encode()), (vmdk_name, vmdk)]))
        weak = {"OVA304"} if algorithm == "sha1" else set()
        assert {code for code in found if code.startswith("OVA")} == weak | ({"OVA306"} if wrong else set())


def test_each_digit_of_a_digest_counts() -> None:
    """Every hex digit of both digests, changed, is found; nothing else is said."""
    data = fixture("ova/small.ova.gz")
    lines = list(re.finditer(rb"\)= ([0-9a-f]{64})\n", data))
    assert len(lines) == 2
    for at in (place for line in lines for place in range(*line.span(1))):
        changed = bytearray(data)
        changed[at] = ord("1") if data[at] != ord("1") else ord("2")
        assert {code for code in deep_codes(bytes(changed)) if code.startswith("OVA")} == {"OVA306"}


def test_each_byte_of_a_member_counts() -> None:
    """Bytes of the disk at random, and its first and last one."""
    data = fixture("ova/small.ova.gz")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        info = archive.getmember("disk1.vmdk")
    places = [0, info.size - 1, *(random.Random(7).randrange(info.size) for _ in range(10))]
    for at in places:
        changed = bytearray(data)
        changed[info.offset_data + at] ^= 0x40
        assert "OVA306" in deep_codes(bytes(changed))


def test_without_a_checksum_a_note_says_so() -> None:
    """Headers only: the file is not read, and the report does not pretend it was."""
    data = fixture("ova/small.ova.gz")
    assert "OVA311" in codes(report_of(data))
    assert "OVA311" not in verified(data)
    assert "DKR305" in codes(report_of(fixture("docker/save-modern.tar")))


def large(last: bool) -> bytes:
    """An OVA of 40 MiB, its manifest before or behind the disks."""
    first = disk("raw", "", "40M", random.Random(3).randbytes(20 << 20))
    ovf = descriptor(
        f'<File ovf:href="a.img" ovf:id="file1" ovf:size="{len(first)}"/>',
        '<Disk ovf:capacity="41943040" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://x/raw"/>',
    ).encode()
    lines = "".join(
        f"SHA256({name})= {hashlib.sha256(data).hexdigest()}\n" for name, data in (("x.ovf", ovf), ("a.img", first))
    )
    members = [("x.ovf", ovf), ("a.img", first)]
    members.insert(2 if last else 1, ("x.mf", lines.encode()))
    return packed(members)


def test_a_stream_larger_than_what_is_kept() -> None:
    """With the manifest before its disk all is verified as it goes by; behind it, a note says what was not."""
    data = large(last=False)
    assert {code for code in codes(imgtool.inspect(stream_of(data))) if code.startswith("OVA")} == set()
    changed = bytearray(data)
    changed[30 << 20] ^= 1
    assert "OVA306" in codes(imgtool.inspect(stream_of(bytes(changed))))
    data = large(last=True)
    assert codes(report_of(data, checksums=("md5",))) & {"OVA306", "OVA311"} == set()
    (told,) = (one for one in imgtool.inspect(stream_of(data)).findings if one.code == "OVA311")
    assert told.message.startswith("1 of 2 ")
    verdict = imgtool.validate(stream_of(data))
    assert verdict.incomplete
    assert verdict.not_run == ("OVA306",)
    assert not imgtool.validate(io.BytesIO(data)).incomplete


def test_an_ova_inside_a_wrapper_is_verified() -> None:
    """The deep check goes into a gzip: the finding carries the path of the member."""
    data = bytearray(fixture("ova/small.ova.gz"))
    data[-70_000] ^= 1
    result = check(io.BytesIO(gzip.compress(bytes(data), 1)))
    assert [one.member for one in result.findings if one.code == "OVA306"] == ["content"]


def test_capacity_may_be_rounded_to_its_unit() -> None:
    """A disk of 1 MiB and one sector has 2 MiB in units of 1 MiB; bytes are exact."""
    image = disk("qcow2", "", str((1 << 20) + 512))
    for capacity, units, differs in (
        ("2", "byte * 2^20", False),
        ("3", "byte * 2^20", True),
        ("1049088", "byte", False),
    ):
        row = f'<Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="{units}" ovf:diskId="vmdisk1" '
        row += 'ovf:fileRef="file1" ovf:format="http://x/qcow2"/>'
        ovf = descriptor(ONE_FILE.format(size=len(image)), row)
        found = verified(packed([("x.ovf", ovf.encode()), ("disk1.vmdk", image)]))
        assert ("OVA308" in found) == differs


def test_compressed_files_say_so() -> None:
    """A gzip'd disk is looked into; the descriptor has to say that it is one."""
    image = gzip.compress(disk("qcow2", "", "1M"))
    for compression, differs in (('ovf:compression="gzip"', False), ("", True), ('ovf:compression="identity"', True)):
        file = f'<File ovf:href="disk1.vmdk" ovf:id="file1" ovf:size="{len(image)}" {compression}/>'
        ovf = descriptor(file, ONE_DISK.replace("vmdk.html#streamOptimized", "qcow2"))
        found = verified(packed([("x.ovf", ovf.encode()), ("disk1.vmdk", image)]))
        assert ("OVA310" in found) == differs
        assert not found & {"OVA308", "OVA309"}


def test_what_follows_the_end_mark() -> None:
    """Zeros of a record are padding, anything else is told; more zeros than a record has, too."""
    data = fixture("ova/small.ova.gz")
    for tail, told in (
        (bytes(9216), False),
        (bytes((1 << 20) - 1024), False),
        (bytes(512) + b"x", True),
        (bytes(3 << 20), True),
    ):
        assert ("OVA006" in verified(data + tail)) == told


def oci(layers: list[bytes], stored: list[bytes], kind: str = OCI_LAYER) -> bytes:
    """An OCI layout of one image: `layers` as tars, `stored` as they lie there."""
    settings = config(layers)
    manifest = dumped(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": described(OCI_CONFIG, settings),
            "layers": [described(kind, layer) for layer in stored],
        }
    )
    index = dumped({"schemaVersion": 2, "manifests": [described(OCI_MANIFEST, manifest)]})
    return tar(*(blob(data) for data in (manifest, settings, *stored)), member("index.json", index), LAYOUT)


def test_layers_in_every_packing() -> None:
    """gzip (of several members too), zstd, xz, bzip2 and plain layers have their diff_ids; other ones are found."""
    import bz2
    import lzma

    import zstandard

    layer, other = tar(member("etc/a", b"one")), tar(member("etc/a", b"two"))
    for pack in (
        gzip.compress,
        lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]),
        zstandard.ZstdCompressor().compress,
        lzma.compress,
        bz2.compress,
        bytes,
    ):
        assert not deep_codes(oci([layer], [pack(layer)])) & {"DKR302", "DKR303", "DKR304"}
        assert "DKR303" in deep_codes(oci([other], [pack(layer)]))


def names_of(*members: bytes) -> set[str]:
    """What is said of the names in a layer, packed and not."""
    layer = tar(*members)
    found = deep_codes(oci([layer], [gzip.compress(layer)]))
    assert found == deep_codes(oci([layer], [layer]))
    return {code for code in found if code.startswith("DKR")}


def test_names_inside_layers() -> None:
    """Links anywhere, devices, FIFOs, whiteouts and the root itself are ordinary; `..` and absolute names are not."""
    ordinary = (
        member("./", kind=b"5"),
        member("/", kind=b"5"),
        member("etc/mtab", kind=b"2", link="../../../proc/mounts"),
        member("etc/abs", kind=b"2", link="/etc/shadow"),
        member("bin/x", kind=b"1", link="/bin/y"),
        member("dev/sda", kind=b"4"),
        member("run/fifo", kind=b"6"),
        member("etc/.wh..wh..opq"),
        member("etc/..x/y..", b"z"),
    )
    assert names_of(*ordinary) == set()
    for name in ("../etc/passwd", "a/../../b", "/etc/passwd", "a/.."):
        assert names_of(*ordinary, member(name, b"x")) == {"DKR015"}


def test_a_layer_that_is_no_tar() -> None:
    """Garbage in a layer, and a layer cut within a member, cannot be unpacked."""
    whole = tar(member("a", b"x" * 5000))
    assert names_of(b"garbage" * 200) == {"DKR304"}
    cut = whole[:2000]
    for stored in (cut, gzip.compress(cut)):
        assert "DKR304" in deep_codes(oci([cut], [stored]))
    for without_end in (whole[:-1024], whole[: 512 + 5000]):  # some tools pad neither the archive nor its last member
        for stored in (without_end, gzip.compress(without_end)):
            assert "DKR304" not in deep_codes(oci([without_end], [stored]))


def test_other_artifacts_keep_what_they_like() -> None:
    """A blob that is no layer of an image need not be a tar."""
    text = b'{"_type": "https://in-toto.io/Statement/v0.1"}'
    assert not deep_codes(oci([text], [text], "application/vnd.in-toto+json")) & {"DKR303", "DKR304"}


def test_encrypted_layers_are_left_alone() -> None:
    """Without the key there is nothing to compare a diff_id with."""
    layer = tar(member("a"))
    found = deep_codes(oci([layer], [b"\x8f" * 500], OCI_LAYER + "+encrypted"))
    assert not found & {"DKR303", "DKR304"}


def test_each_blob_is_verified() -> None:
    """One bit in the manifest, the configuration and each layer."""
    layers = [tar(member("a", b"x")), tar(member("b", b"y"))]
    data = oci(layers, layers)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        blobs = [info for info in archive.getmembers() if info.name.startswith("blobs/")]
    assert len(blobs) == 4
    for info in blobs:
        changed = bytearray(data)
        changed[info.offset_data + info.size - 1] ^= 2
        found = deep_codes(bytes(changed))
        assert found & {"DKR302", "IMG004"}, info.name  # a manifest that is no JSON any more is broken


def test_a_configuration_named_by_its_digest() -> None:
    """`docker save` of old names it `HEX.json`: that is a claim; other names are none."""
    data = legacy()
    assert not verified(data) & {"DKR302"}
    assert "DKR302" in verified(data.replace(b'"/bin/sh"', b'"/bin/zh"'))
    named = legacy(config_name="config.json").replace(sha256(b"").encode(), b"")
    assert "DKR302" not in verified(named)


def test_many_entries_are_capped() -> None:
    """A layer of more entries than are read is told; nothing runs on."""
    layer = tar(*(member(f"f{number}") for number in range(50)))
    limits = DEFAULT._replace(docker_entries=20)
    result = check(io.BytesIO(oci([layer], [gzip.compress(layer)])), limits=limits)
    assert "DKR202" in {one.code for one in result.findings}
    limits = DEFAULT._replace(docker_unpacked=4096)
    result = check(io.BytesIO(oci([layer], [gzip.compress(layer)])), limits=limits)
    assert "DKR202" in {one.code for one in result.findings}


@pytest.mark.parametrize("form", ["gnu", "ustar", "posix"])
def test_layers_by_gnu_tar(form: str, tmp_path: Path) -> None:
    """Layers that GNU tar makes, with long names, holes, links and attributes, are sound."""
    from tests.kit import need, run

    root = tmp_path / "root"
    (root / "d" / ("n" * (90 if form == "ustar" else 120))).mkdir(parents=True)
    (root / "d" / "file").write_bytes(b"x" * 70_000)
    (root / "d" / "link").symlink_to("/" + "t" * 90)
    with open(root / "sparse", "wb") as file:
        file.truncate(1 << 20)
        file.seek(5000)
        file.write(b"y")
    extra = ("--sparse",) if form != "ustar" else ()
    run(need("tar"), f"--format={form}", *extra, "-cf", str(tmp_path / "layer"), "-C", str(root), ".")
    layer = (tmp_path / "layer").read_bytes()
    found = deep_codes(oci([layer, layer], [gzip.compress(layer), layer]))
    assert not {code for code in found if code.startswith("DKR")}
