"""`imgtool.convert` and `imgtool.measure`: what they promise, and that nothing is left of what fails."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

import imgtool
from imgtool.conversion import api, qemu_img
from imgtool.errors import ContentError, ExistsError, OutputError, RejectedError, UnsupportedError, UsageError
from tests.conversion.trap_kit import recorder
from tests.kit import fixture, need, qemu_create, run

MIB = 1 << 20
NATIVE = ("raw", "qcow2", "vhd", "vmdk", "vdi")


def pattern(size: int = 3 * MIB) -> bytes:
    """Bytes with runs of zeros of many lengths, data in between, and a tail."""
    data = bytearray(size)
    for at, length in ((0, 512), (70_000, 9), (MIB - 100, 4_300), (2 * MIB, 65_536), (size - 7, 7)):
        data[at : at + length] = bytes((at + index) % 255 + 1 for index in range(min(length, size - at)))
    return bytes(data)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A raw disk of 3 MiB."""
    path = tmp_path / "disk.img"
    path.write_bytes(pattern())
    return path


def guest(path: Path) -> bytes:
    """What a guest sees of an image."""
    with imgtool.open_disk(path) as opened:
        return opened.read_at(0, opened.size)


def left(folder: Path) -> set[str]:
    """The names in a folder, hidden ones too."""
    return set(os.listdir(folder))


@pytest.mark.parametrize("to", NATIVE)
def test_native_targets_hold_the_guests_bytes(to: str, disk: Path, tmp_path: Path) -> None:
    """The target appears, holds the same bytes, and the answer tells what it is; the source is as it was."""
    before = disk.read_bytes()
    target = tmp_path / f"new.{to}"
    done = imgtool.convert(disk, target, to)
    assert (done.engine, done.format, done.source_format, done.verified) == ("native", to, "raw", True)
    assert done.file_size == target.stat().st_size
    assert guest(target)[: len(before)] == before
    assert disk.read_bytes() == before
    with imgtool.open_disk(target) as opened:
        assert opened.size == done.virtual_size
    assert done.digest == imgtool.checksum(target, content=True)["blocks"]
    assert left(tmp_path) == {"disk.img", target.name}


@pytest.mark.parametrize("to", NATIVE)
def test_measure_is_exact(to: str, disk: Path, tmp_path: Path) -> None:
    """What the native engine would write is told to the byte, and nothing is written."""
    told = imgtool.measure(disk, to)
    assert told.exact
    assert left(tmp_path) == {"disk.img"}
    assert imgtool.convert(disk, tmp_path / "new", to).file_size == told.required


def test_the_same_input_gives_the_same_bytes(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids and times come from the content and SOURCE_DATE_EPOCH; another time is another file where one is kept."""
    for number in range(3):
        (tmp_path / str(number)).mkdir()
    for to in NATIVE:
        made = [tmp_path / str(number) / f"new.{to}" for number in range(3)]  # a vmdk says how it is called
        imgtool.convert(disk, made[0], to, threads=1)
        imgtool.convert(disk, made[1], to, threads=5)
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        imgtool.convert(disk, made[2], to)
        monkeypatch.delenv("SOURCE_DATE_EPOCH")
        assert made[0].read_bytes() == made[1].read_bytes()
        assert (made[0].read_bytes() != made[2].read_bytes()) == (to == "vhd")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "tomorrow")
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        imgtool.convert(disk, tmp_path / "x.vhd", "vhd")


def test_align_lets_the_disk_grow(disk: Path, tmp_path: Path) -> None:
    """To a multiple, with zeros, and not where it is one already."""
    odd = tmp_path / "odd.img"
    odd.write_bytes(pattern(MIB + 513))
    for to in NATIVE:
        done = imgtool.convert(odd, tmp_path / f"odd.{to}", to, align="1MiB")
        assert done.virtual_size == 2 * MIB
        assert guest(tmp_path / f"odd.{to}") == pattern(MIB + 513) + bytes(MIB - 513)
    assert imgtool.convert(disk, tmp_path / "even.vhd", "vhd", align=MIB).virtual_size == 3 * MIB


def test_targets_that_are_there(disk: Path, tmp_path: Path) -> None:
    """A target that exists is kept without `force`, replaced with it; one that is the source never."""
    target = tmp_path / "new.qcow2"
    target.write_bytes(b"precious")
    with pytest.raises(ExistsError, match="--force"):
        imgtool.convert(disk, target, "qcow2")
    assert target.read_bytes() == b"precious"
    assert imgtool.convert(disk, target, "qcow2", force=True).file_size == target.stat().st_size
    os.link(disk, tmp_path / "same.img")
    os.symlink(disk, tmp_path / "link.img")
    for name in ("disk.img", "same.img", "link.img"):
        with pytest.raises(OutputError, match="is the source itself"):
            imgtool.convert(disk, tmp_path / name, "raw", force=True)
    assert disk.read_bytes() == pattern()
    with pytest.raises(OutputError):
        imgtool.convert(disk, tmp_path, "raw", force=True)
    with pytest.raises(OutputError):
        imgtool.convert(disk, tmp_path / "nowhere" / "new.raw", "raw")
    assert left(tmp_path) == {"disk.img", "same.img", "link.img", "new.qcow2"}


def test_what_reads_back_wrong_is_thrown_away(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target whose guest bytes differ never gets its name."""
    from imgtool.formats.vdi import writer

    real = writer.open_writer

    def broken(output: Any, size: int, options: Any) -> Any:
        made = real(output, size, options)
        write = output.write_at
        output.write_at = lambda offset, data: write(offset, data if len(data) < 4096 else b"\xff" + bytes(data)[1:])
        return made

    monkeypatch.setattr(writer, "open_writer", broken)
    from imgtool.detect.match import resolve

    resolve.cache_clear()
    try:
        with pytest.raises(ContentError, match="not those that were read"):
            imgtool.convert(disk, tmp_path / "new.vdi", "vdi")
    finally:
        monkeypatch.undo()
        resolve.cache_clear()
    assert left(tmp_path) == {"disk.img"}


def test_a_source_that_changes_while_it_is_read(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept."""
    real = api.make

    def make(*arguments: Any, **names: Any) -> Any:
        made = real(*arguments, **names)
        os.utime(disk, ns=(1, 1))
        return made

    monkeypatch.setattr(api, "make", make)
    with pytest.raises(imgtool.InputError, match="changed while it was read"):
        imgtool.convert(disk, tmp_path / "new.qcow2", "qcow2")
    assert left(tmp_path) == {"disk.img"}


def test_what_the_policy_rejects_is_not_converted(tmp_path: Path) -> None:
    """A source with a backing file: refused, with the code; followed by permission only; allowed by its code."""
    base = tmp_path / "base.raw"
    base.write_bytes(pattern())
    child = tmp_path / "child.qcow2"
    run(need("qemu-img"), "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", str(child))
    with pytest.raises(RejectedError, match="IMG101") as caught:
        imgtool.convert(child, tmp_path / "new.raw", "raw")
    assert {finding.code for finding in caught.value.findings} >= {"IMG101"}  # type: ignore[attr-defined] # Findings
    with pytest.raises(imgtool.NotFollowedError):
        imgtool.convert(child, tmp_path / "new.raw", "raw", if_unsafe="allow")
    assert left(tmp_path) == {"base.raw", "child.qcow2"}
    done = imgtool.convert(child, tmp_path / "new.raw", "raw", follow=True)
    assert guest(tmp_path / "new.raw") == pattern()
    assert done.verified


def test_a_raw_result_that_is_another_format(tmp_path: Path) -> None:
    """A guest that wrote a qcow2 header into its disk does not become a file that a probe takes for a qcow2."""
    inner = qemu_create(tmp_path / "inner.qcow2", "qcow2", "1M").read_bytes()
    disk = tmp_path / "guest.raw"
    disk.write_bytes(inner + bytes(MIB))
    run(need("qemu-img"), "convert", "-f", "raw", "-O", "vmdk", str(disk), str(tmp_path / "guest.vmdk"))
    with pytest.raises(RejectedError, match="not kept"):
        imgtool.convert(tmp_path / "guest.vmdk", tmp_path / "new.raw", "raw", if_unsafe="allow:IMG003")
    assert not (tmp_path / "new.raw").exists()


def test_options_are_checked_before_work(disk: Path, tmp_path: Path) -> None:
    """Unknown ones with what is near, values out of range, formats that nobody writes."""
    for to, options, words in (
        ("qcow2", {"cluster_sise": "64K"}, "did you mean 'cluster_size'"),
        ("qcow2", {"cluster_size": "3000"}, "power of two"),
        ("raw", {"preallocation": "some"}, "off, falloc, full"),
        ("vdi", {"block_size": "x"}, "not a size"),
    ):
        with pytest.raises(UsageError, match=words):
            imgtool.convert(disk, tmp_path / "new", to, options=options, engine="native")
    for to, names in (
        ("floppy", {}),
        ("raw", {"engine": "best"}),
        ("raw", {"verify": "maybe"}),
        ("raw", {"if_unsafe": "perhaps"}),
        ("raw", {"compress": "zlib"}),
        ("vmdk", {"compress": "zlib"}),
    ):
        with pytest.raises(UsageError):
            imgtool.convert(disk, tmp_path / "new", to, **names)  # type: ignore[arg-type] # strings, all of them
    with pytest.raises(UsageError, match="read, not written; one of raw, "):
        imgtool.convert(disk, tmp_path / "new", "dmg")
    assert left(tmp_path) == {"disk.img"}


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads(disk: Path, tmp_path: Path, threads: int) -> None:
    """Fewer than one is a mistake."""
    with pytest.raises(UsageError, match=f"threads: {threads} is less than 1"):
        imgtool.convert(disk, tmp_path / "out", "qcow2", threads=threads)
    with pytest.raises(UsageError, match=f"threads: {threads} is less than 1"):
        imgtool.measure(disk, "qcow2", threads=threads)
    assert not (tmp_path / "out").exists()


def test_members_are_converted_in_place(disk: Path, tmp_path: Path) -> None:
    """A wrapped image and the disks of a tar appliance; nothing is extracted beside the target."""
    import gzip

    run(
        need("qemu-img"),
        "convert",
        "-O",
        "vmdk",
        "-o",
        "subformat=streamOptimized",
        str(disk),
        str(tmp_path / "a.vmdk"),
    )
    packed = tmp_path / "a.vmdk.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.vmdk").read_bytes()))
    done = imgtool.convert(packed, tmp_path / "new.qcow2", "qcow2")
    assert (done.source_format, done.container) == ("vmdk", "compressed")
    assert guest(tmp_path / "new.qcow2") == pattern()
    assert left(tmp_path) == {"disk.img", "a.vmdk", "a.vmdk.gz", "new.qcow2"}


def linux_disk(folder: Path, starts: list[int]) -> Path:
    """A disk with MBR partitions of 8 MiB that hold ext4, at these MiB."""
    path = folder / "linux.img"
    path.write_bytes(bytes(64 * MIB))
    lines = "".join(f"{start * 2048},16384,83\n" for start in starts)
    run(need("sfdisk"), "-q", str(path), stdin=f"label: dos\n{lines}".encode())
    part = folder / "part"
    part.write_bytes(bytes(8 * MIB))
    run(need("mkfs.ext4"), "-q", "-L", "root", str(part))
    with open(path, "r+b") as file:
        for start in starts:
            file.seek(start * MIB)
            file.write(part.read_bytes())
    part.unlink()
    return path


def test_machine_image_is_the_root_file_system(tmp_path: Path) -> None:
    """The one Linux partition, raw and unpartitioned, whatever format the disk has; two of them are an error."""
    path = linux_disk(tmp_path, [1])
    imgtool.convert(path, tmp_path / "linux.qcow2", "qcow2")
    done = imgtool.convert(tmp_path / "linux.qcow2", tmp_path / "root.ami", "ami")
    assert (done.format, done.virtual_size) == ("ami", 8 * MIB)
    assert (tmp_path / "root.ami").read_bytes() == path.read_bytes()[MIB : 9 * MIB]
    assert "ami" in imgtool.inspect(tmp_path / "root.ami", ()).disk_formats
    assert imgtool.convert(tmp_path / "root.ami", tmp_path / "again.ami", "ami").virtual_size == 8 * MIB
    with pytest.raises(UnsupportedError, match="2 partitions hold one"):
        imgtool.convert(linux_disk(tmp_path, [1, 16]), tmp_path / "two.ami", "ami")
    (tmp_path / "none.img").write_bytes(bytes(MIB))
    with pytest.raises(UnsupportedError, match="there is none"):
        imgtool.convert(tmp_path / "none.img", tmp_path / "none.ami", "ami")
    assert not (tmp_path / "two.ami").exists()


def test_progress_counts_what_goes_by(disk: Path, tmp_path: Path) -> None:
    """Read and read back: twice the disk; once where nothing is compared."""
    told: list[int] = []
    imgtool.convert(disk, tmp_path / "a.qcow2", "qcow2", progress=told.append)
    assert sum(told) == 6 * MIB
    told.clear()
    imgtool.convert(disk, tmp_path / "b.qcow2", "qcow2", verify="none", progress=told.append)
    assert sum(told) == 3 * MIB


def test_appliance_with_two_disks(disk: Path, tmp_path: Path) -> None:
    """One is named; without a name it is an error that lists them."""
    vmdk = tmp_path / "a.vmdk"
    run(need("qemu-img"), "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", str(disk), str(vmdk))
    appliance = tmp_path / "two.ova"
    descriptor = _ovf(vmdk.stat().st_size)
    with tarfile.open(appliance, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in (("two.ovf", descriptor), ("a.vmdk", vmdk.read_bytes()), ("b.vmdk", vmdk.read_bytes())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with pytest.raises(UsageError, match=r"a\.vmdk, b\.vmdk"):
        imgtool.convert(appliance, tmp_path / "new.qcow2", "qcow2")
    done = imgtool.convert(appliance, tmp_path / "new.qcow2", "qcow2", member="b.vmdk")
    assert (done.container, done.member, done.source_format) == ("ova", "b.vmdk", "vmdk")
    assert guest(tmp_path / "new.qcow2") == pattern()


def _ovf(size: int) -> bytes:
    """A small OVF descriptor of two disks."""
    files = "".join(f'<File ovf:id="f{n}" ovf:href="{n}.vmdk" ovf:size="{size}"/>' for n in "ab")
    disks = "".join(
        f'<Disk ovf:diskId="d{n}" ovf:fileRef="f{n}" ovf:capacity="{3 * MIB}" '
        'ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>'
        for n in "ab"
    )
    return (
        '<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" '
        f'xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"><References>{files}</References>'
        f'<DiskSection><Info>disks</Info>{disks}</DiskSection><VirtualSystem ovf:id="vm"><Info>vm</Info>'
        "</VirtualSystem></Envelope>"
    ).encode()


@pytest.mark.parametrize(
    ("to", "options"),
    [
        ("qcow2", {"encrypt.format": "luks", "encrypt.iter-time": "10"}),
        ("qcow2", {"encrypt.format": "luks", "encrypt.iter-time": "10", "cluster_size": "4K"}),
        ("vhd", {"force_size": "off"}),
        ("vhd", {"force_size": "off", "subformat": "fixed"}),
    ],
)
def test_estimates_of_what_is_added(to: str, options: dict[str, str], tmp_path: Path) -> None:
    """A LUKS header within the file, and the sectors that fill up a geometry."""
    path, secret = tmp_path / "five.raw", tmp_path / "secret"
    path.write_bytes(os.urandom(5 * 1024 * 1024))
    secret.write_text("open, sesame")
    told = imgtool.measure(path, to, options=options)
    secrets = {"secret_file": os.fspath(secret)} if to == "qcow2" else {}
    done = imgtool.convert(path, tmp_path / "new", to, options=options, **secrets)
    assert (told.virtual_size, told.required) == (done.virtual_size, done.file_size)


@pytest.mark.parametrize(
    ("name", "driver"),
    [
        ("vhdx/data.vhdx.gz", "vhdx"),
        ("vhdx/log-adds-blocks.vhdx.gz", "raw"),
        ("vhdx/log-resizes.vhdx.gz", "raw"),
        ("vhdx/sectors-4096.vhdx.gz", "raw"),
        ("vdi/data.vdi.gz", "vdi"),
        ("2M", "raw"),
    ],
)
def test_what_qemu_img_does_not_read(name: str, driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log to replay, sectors of 4096 bytes, blocks of 2 MiB: we read them for it; others it reads itself."""
    qemu = recorder(tmp_path / "qemu")
    monkeypatch.setattr(qemu_img, "find", lambda *_: qemu.tool)
    source = tmp_path / "source"
    if name == "2M":
        (tmp_path / "raw").write_bytes(pattern(5 * MIB))
        imgtool.convert(tmp_path / "raw", source, "vdi", options={"block_size": "2M"})
    else:
        source.write_bytes(fixture(name))
    done = imgtool.convert(source, tmp_path / "new", "vhdx")
    assert (done.engine, done.verified) == ("qemu-img", True)
    assert [one.driver for one in qemu.started()] == [driver]
    assert imgtool.compare(source, tmp_path / "new").identical
