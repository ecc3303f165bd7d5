"""Compressed wrappers and ramdisks as the usual tools make them: every option that changes what is stored."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from imgtool.containers.compressed.facts import CompressedFacts
from tests.kit import fixture, need, no_bug, qemu_create, report_of, run

pytestmark = pytest.mark.oracle

MIB = 1024**2

GZIP = [f"gzip {options} -c" for options in ("-1", "-9", "-6 --rsyncable", "-n", "-N")]
XZ = [
    f"xz {options} -c"
    for options in ("-0", "-6", "-9e", "-T2 --block-size=64KiB", "-C none", "-C sha256", "-C crc32")
]
XZ += ["xz --x86 --lzma2=preset=1 -c", "xz --delta=dist=4 --lzma2 -c"]
LZMA = [f"lzma {options} -c" for options in ("-0", "-9")]
BZIP2 = [f"bzip2 {options} -c" for options in ("-1", "-9")]
ZSTD = [
    f"zstd -q {options} -c"
    for options in ("-1", "-19", "--ultra -22", "--fast=5", "--no-check", "--long=27", "--rsyncable -T2")
]
ZSTD += ["zstd -q --no-content-size -c", "pzstd -q -c"]
LZ4 = [
    f"lz4 -q {options} -c"
    for options in ("-1", "-9", "-B4", "-B7 -BD", "-BX", "--no-frame-crc", "--content-size", "-l")
]
ZIP = [
    "zip -q x.zip",
    "zip -q -0 x.zip",
    "zip -q -9 x.zip",
    "zip -q -Z bzip2 x.zip",
    "zip -q -fz x.zip",
    "zip -q -X x.zip",
]
SEVEN = [f"7z a -bso0 -tzip -mm={method} x.zip" for method in ("Copy", "Deflate", "BZip2", "LZMA")]

SINGLE = [*GZIP, *XZ, *LZMA, *BZIP2, *ZSTD, *LZ4]


@pytest.fixture(scope="module", params=["qcow2", "raw"])
def content(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with data in it."""
    path = tmp_path_factory.mktemp("content") / f"disk.{request.param}"
    if request.param == "qcow2":
        return qemu_create(path, "qcow2", "1G", "cluster_size=4k")
    path.write_bytes(bytes(range(256)) * 2048 + bytes(MIB))
    return path


@pytest.mark.parametrize("command", SINGLE)
def test_compressors(command: str, content: Path) -> None:
    """The content is found whole, without a finding; declared sizes are the true ones."""
    need(command.split(maxsplit=1)[0])
    data = run(*command.split(), str(content))
    _same(data, content)


@pytest.mark.parametrize("command", [*ZIP, *SEVEN])
def test_archivers(command: str, content: Path, tmp_path: Path) -> None:
    """The same for zip archives of one file."""
    need(command.split(maxsplit=1)[0])
    source = tmp_path / content.name
    shutil.copy(content, source)
    run("sh", "-c", f"cd '{tmp_path}' && {command} {content.name}")
    _same((tmp_path / "x.zip").read_bytes(), content)


def _same(data: bytes, content: Path) -> None:
    direct = report_of(content.read_bytes())
    for checksums in ((), ("sha256",)):
        report = report_of(data, checksums=checksums)
        no_bug(report)
        assert report.findings == ()
        assert (report.format, report.container_format) == (direct.format, "compressed")
        assert report.virtual_size == direct.virtual_size
        assert report.members[0].size == content.stat().st_size
        assert report.members[0].findings == direct.findings
        assert isinstance(report.details, CompressedFacts)
        assert report.details.declared_size in (None, content.stat().st_size)
        assert report.details.decoded[0].whole


@pytest.mark.parametrize("options", ["-k", "-k -v"])
def test_xz_lists_the_same(options: str, content: Path) -> None:
    """`xz --robot --list` of several streams: streams, blocks and size."""
    one = run("xz", "-T2", "--block-size=128KiB", "-c", str(content))
    data = one + bytes(8) + run("xz", "-0", "-c", str(content))
    path = content.with_suffix(f".{len(options)}.xz")
    path.write_bytes(data)
    totals = run("xz", "--robot", "--list", str(path)).decode().splitlines()[-1].split("\t")
    told = report_of(data).details
    assert isinstance(told, CompressedFacts)
    assert (told.streams, told.blocks, told.declared_size) == (int(totals[1]), int(totals[2]), int(totals[4]))


@pytest.mark.parametrize("form", ["newc", "crc", "odc", "bin"])
@pytest.mark.parametrize(
    "packer", ["cat", "gzip -c", "xz -C crc32 -c", "zstd -q -c", "lz4 -q -l -c", "lzma -c", "bzip2 -c"]
)
def test_ramdisks(form: str, packer: str, tmp_path: Path) -> None:
    """Every cpio format through every compressor that Linux unpacks: ari, with the names that cpio lists."""
    (tmp_path / "root" / "sub folder").mkdir(parents=True)
    for index in range(20):
        (tmp_path / "root" / "sub folder" / f"file-{index}").write_bytes(b"x" * index * 37)
    archive = run("sh", "-c", f"cd '{tmp_path}/root' && find . | LC_ALL=C sort | cpio -o -H {form} --quiet")
    names = run("sh", "-c", "cpio -t --quiet", stdin=archive).decode().splitlines()
    report = report_of(run(*packer.split(), stdin=archive), checksums=("md5",))
    no_bug(report)
    assert report.findings == ()
    assert (report.format, report.container_format, report.virtual_size) == ("ari", "ari", None)
    told = (report.members[0] if report.members else report).to_dict()["details"]
    assert isinstance(told, dict)
    assert told["entries"] == len(names)
    assert told["names"] == names[:16]


@pytest.mark.parametrize("kind", ["kernel", "kernel_noload", "ramdisk", "multi", "script", "firmware", "standalone"])
@pytest.mark.parametrize("comp", ["none", "gzip", "lzma"])
def test_mkimage(kind: str, comp: str, tmp_path: Path) -> None:
    """Kernels and ramdisks by the type of their uImage, as mkimage -l lists them; others are raw."""
    source, target = tmp_path / "data", tmp_path / "image"
    source.write_bytes(fixture("aki/arm-zimage.img"))
    options = ["-A", "arm", "-O", "linux", "-T", kind, "-C", comp, "-n", "a name"]
    run(need("mkimage"), *options, "-d", str(source), str(target))
    report = report_of(target.read_bytes())
    no_bug(report)
    expected = {"kernel": "aki", "kernel_noload": "aki", "multi": "aki", "ramdisk": "ari"}.get(kind, "raw")
    assert report.format == expected
    if expected != "raw":
        assert report.findings == ()
        details = report.to_dict()["details"]
        assert isinstance(details, dict)
        listed = run("mkimage", "-l", str(target)).decode()
        assert f"Image Name:   {details['uimage']['name']}" in listed
        assert f"{details['uimage']['size']} Bytes" in listed
