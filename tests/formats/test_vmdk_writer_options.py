"""Writing VMDK: options, descriptors, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import imgtool
from imgtool.errors import OutputError, UnsupportedError, UsageError
from imgtool.formats.vmdk.facts import VmdkFacts
from imgtool.formats.vmdk.write.descriptor import chs, content_id, extent_name
from imgtool.formats.vmdk.write.extent import Room
from imgtool.targets.output import CountingOutput, DeviceOutput
from imgtool.targets.writer import Stamp
from tests.formats.vmdk_read import SECTOR, content_digest, words
from tests.kit import faults, report_of
from tests.targets.kit import TIME, MemoryOutput, loop_device, writer_of, written

MIB = 1024 * 1024
GIB = 1024 * MIB

STREAM = "streamOptimized"
SPARSE = "monolithicSparse"

DATA = b"a guest's bytes ".ljust(8 * MIB, b"\0") + b"z" * 512


def made(data: bytes, **options: str) -> bytes:
    """The image that the native engine makes of a disk."""
    return written("vmdk", data, time=TIME, **options)


def facts_of(report: imgtool.Report) -> VmdkFacts:
    """A report's facts, without an error or a warning among its findings, and without references."""
    assert faults(report) == set()
    assert not report.references
    assert isinstance(report.details, VmdkFacts)
    return report.details


def test_the_descriptor_line_by_line() -> None:
    """The text, up to zeros that fill its room."""
    image = made(DATA, toolsversion="2147483647", hwversion="13", adapter_type="lsilogic")
    cid = content_digest(DATA, len(DATA))[:4].hex()
    assert words(image) == (
        "# Disk DescriptorFile\nversion=1\n"
        f'encoding="UTF-8"\nCID={cid}\nparentCID=ffffffff\ncreateType="monolithicSparse"\n\n'
        f'# Extent description\nRW {len(DATA) // SECTOR} SPARSE "memory"\n\n'
        '# The Disk Data Base\n#DDB\n\nddb.adapterType = "lsilogic"\nddb.geometry.cylinders = "8"\n'
        'ddb.geometry.heads = "64"\nddb.geometry.sectors = "32"\nddb.virtualHWVersion = "13"\n'
        'ddb.toolsVersion = "2147483647"\n'
    )


def test_the_descriptor_of_a_stream() -> None:
    """Its type; read-only; no line for tools that nobody named."""
    text = words(made(DATA, subformat=STREAM))
    assert '\ncreateType="streamOptimized"\n' in text
    assert f'\nRDONLY {len(DATA) // SECTOR} SPARSE "memory"\n' in text
    assert 'ddb.adapterType = "ide"\n' in text
    assert 'ddb.virtualHWVersion = "4"\n' in text
    assert "toolsVersion" not in text


def test_the_report_agrees() -> None:
    """Every option is among the facts."""
    for subformat in (SPARSE, STREAM):
        options = {"grain_size": "32K", "adapter_type": "buslogic", "hwversion": "21", "toolsversion": "12345"}
        facts = facts_of(report_of(made(DATA, subformat=subformat, **options)))
        assert facts.virtual_size == len(DATA)
        assert facts.create_type == subformat
        assert facts.compressed == (subformat == STREAM)
        assert facts.cluster_size == 32 * 1024
        assert facts.adapter_type == "buslogic"
        assert facts.hardware_version == "21"
        assert facts.tools_version == "12345"


def test_content_ids() -> None:
    """The digest's first four bytes; never 0 and never the ID of no parent."""
    none, zero = b"\xff" * 4, bytes(4)
    assert content_id(Stamp(bytes(range(1, 33)), TIME)) == 0x01020304
    assert content_id(Stamp(none + zero + b"\xff\xff\xff\xfe" + bytes(20), TIME)) == 0xFFFFFFFE
    assert content_id(Stamp(none * 8, TIME)) == 1


@pytest.mark.parametrize(
    ("size", "adapter", "expected"),
    [
        (512, "ide", (1, 16, 63)),
        (40 * GIB, "ide", (83220, 16, 63)),
        (512, "lsilogic", (1, 64, 32)),
        (GIB - 512, "buslogic", (1023, 64, 32)),
        (GIB, "lsilogic", (512, 128, 32)),
        (2 * GIB, "lsilogic", (261, 255, 63)),
        (40 * GIB, "legacyESX", (5221, 255, 63)),
    ],
)
def test_geometry(size: int, adapter: str, expected: tuple[int, int, int]) -> None:
    """Of ATA, and of the firmware of SCSI adapters: 40 GiB are 83220/16/63 and 5221/255/63 in VMware's logs."""
    assert chs(size // SECTOR, adapter) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/b/disk-1.vmdk", "disk-1.vmdk"),
        ("Größe ü.vmdk", "Größe ü.vmdk"),
        ("a" * 255, "a" * 255),
        ('a"b.vmdk', "disk.vmdk"),
        ("a\nRW 1 FLAT x.vmdk", "disk.vmdk"),
        ("CID=1.vmdk", "disk.vmdk"),
        ("createtype.vmdk", "disk.vmdk"),
        ("x parentFileNameHint", "disk.vmdk"),
        ("\udcff.vmdk", "disk.vmdk"),
    ],
)
def test_names_in_the_descriptor(path: str, expected: str) -> None:
    """The file's own name, but none that would say something else there; our rules find nothing either way."""
    assert extent_name(path) == expected
    output = MemoryOutput()
    output.name = path
    writer_of("vmdk", output, MIB).finish(Stamp(bytes(range(32)), TIME))
    facts = facts_of(report_of(bytes(output.data)))
    assert [extent.file_name for extent in facts.extents] == [expected]


def test_options_that_cannot_be() -> None:
    """Each is said before anything is written."""
    for options in (
        {"level": "1"},
        {"level": "0", "subformat": STREAM},
        {"level": "13", "subformat": STREAM},
        {"grain_size": "4K"},
        {"grain_size": "96K"},
        {"grain_size": "2M"},
        {"hwversion": "0"},
        {"hwversion": "4x"},
        {"adapter_type": "nvme"},
        {"subformat": "monolithicFlat"},
        {"toolsversion": '1"\nCID=1'},
        {"toolsversion": "١"},
        {"toolsversion": "12345678901"},
        {"compat6": "on"},
    ):
        output = MemoryOutput()
        with pytest.raises(UsageError):
            writer_of("vmdk", output, MIB, **options)
        assert not output.writes


@pytest.mark.parametrize("subformat", [SPARSE, STREAM])
def test_sizes_that_cannot_be(subformat: str) -> None:
    """None at all, and more than a directory of 32 Mi entries reaches."""
    with pytest.raises(UnsupportedError, match="at least one sector"):
        writer_of("vmdk", CountingOutput(), 0, subformat=subformat)
    most = 1 << 50
    assert writer_of("vmdk", CountingOutput(), most, subformat=subformat).size == most
    with pytest.raises(UnsupportedError, match=f"at most {most} bytes"):
        writer_of("vmdk", CountingOutput(), most + 1, subformat=subformat)
    assert writer_of("vmdk", CountingOutput(), most + 1, subformat=subformat, grain_size="1M").size == most + 512


def test_no_devices(tmp_path: Path) -> None:
    """The image ends where its file ends: a device does not."""
    path = tmp_path / "device"
    path.write_bytes(bytes(4 * MIB))
    for subformat in (SPARSE, STREAM):
        told = pytest.raises(UnsupportedError, match="cannot be written to a device")
        with loop_device(path) as device, DeviceOutput(device) as output, told:
            writer_of("vmdk", output, MIB, subformat=subformat)
    assert not any(path.read_bytes())


def test_no_entry_reaches_beyond_2_tib() -> None:
    """Entries have 32 bits of sectors: the last one may end there, the next is an error that says so."""
    room = Room(CountingOutput("x.vmdk"), (1 << 32) - 256)
    assert room.take(128) == (1 << 32) - 256
    assert room.take(128) == (1 << 32) - 128
    with pytest.raises(OutputError, match=r"x\.vmdk: the file of a vmdk ends at 2 TiB"):
        room.take(1)
