"""VMDK: what is read of each kind, what a descriptor hides, what a cut leaves."""

from __future__ import annotations

import struct

import pytest

from imgtool.formats.vmdk.facts import VmdkFacts
from tests.kit import codes, faults, fixture, images, no_bug, report_of

MARK = b"# Disk DescriptorFile\n"
PLAIN = (
    MARK + b'version=1\nCID=0000abcd\nparentCID=ffffffff\ncreateType="monolithicFlat"\n\n'
    b'# Extent description\nRW 2048 FLAT "disk-flat.vmdk" 0\n\n#DDB\nddb.adapterType = "ide"\n'
)


def facts_of(data: bytes) -> VmdkFacts:
    """The VMDK facts of bytes."""
    report = report_of(data)
    no_bug(report)
    assert isinstance(report.details, VmdkFacts)
    return report.details


def references(data: bytes) -> list[tuple[str, str]]:
    """Kind and value of what bytes refer to."""
    return [(reference.kind, reference.value) for reference in report_of(data).references]


def test_sparse_extent() -> None:
    """Header fields by name; the descriptor at sector 1; the one extent is the file itself."""
    facts = facts_of(fixture("vmdk/monolithic-sparse.vmdk.gz"))
    assert (facts.kind, facts.version, facts.create_type) == ("sparse", 1, "monolithicSparse")
    assert (facts.virtual_size, facts.cluster_size, facts.capacity) == (1024 * 1024, 65536, 2048)
    assert (facts.adapter_type, facts.hardware_version, facts.tools_version) == ("lsilogic", "10", "2147483647")
    assert facts.descriptor is not None
    assert (facts.descriptor.offset, facts.descriptor.room) == (512, 20 * 512)
    assert facts.sparse is not None
    assert facts.sparse.flags == ("newline-test", "redundant-directory")
    assert (facts.sparse.rgd_offset, facts.sparse.gd_offset, facts.sparse.over_head) == (21, 26, 128)
    assert facts.references == ()


def test_stream_with_footer() -> None:
    """The footer's directory, markers and compression; the name of the extent need not be the file's."""
    facts = facts_of(fixture("vmdk/stream-footer.vmdk.gz"))
    assert (facts.footer_state, facts.markers, facts.compressed, facts.compression) == (
        "present",
        True,
        True,
        "deflate",
    )
    assert facts.sparse is not None
    assert facts.footer is not None
    assert (facts.sparse.gd_offset, facts.footer.gd_offset) == (2**64 - 1, 24)
    assert facts.extents[0][:4] == ("RDONLY", 40, "SPARSE", "generated-stream.vmdk")
    assert facts.references == ()


def test_stream_of_qemu_warns_importers() -> None:
    """qemu-img's stream has no footer: a warning, nothing more."""
    report = report_of(fixture("vmdk/stream-qemu.vmdk.gz"))
    assert faults(report) == {"VMD501"}


def test_descriptor_files_refer_to_their_extents() -> None:
    """The size is the sum of the extents, each of them a reference."""
    assert report_of(fixture("vmdk/split-sparse-descriptor.vmdk")).virtual_size == 5 * 1024**3
    assert references(fixture("vmdk/split-flat-descriptor.vmdk")) == [
        ("extent", "image-f001.vmdk"),
        ("extent", "image-f002.vmdk"),
    ]


def test_encoding_is_told_and_bytes_survive() -> None:
    """A descriptor in windows-1252 keeps its bytes; change tracking is a reference."""
    facts = facts_of(fixture("vmdk/vmfs-descriptor.vmdk"))
    assert (facts.encoding, facts.version, facts.create_type) == ("windows-1252", 3, "vmfs")
    assert facts.change_track_path is not None
    assert facts.change_track_path.encode("utf-8", "surrogateescape") == "Büro-ctk.vmdk".encode("cp1252")


@pytest.mark.parametrize("encoding", ["UTF-8", "windows-1252", "GBK", "Shift_JIS", "no such thing"])
def test_any_encoding_is_read(encoding: str) -> None:
    """Whatever the encoding line says, keys are found and names keep their bytes."""
    name = b"\xb2\xe2\xca\xd4-flat.vmdk"
    line = b'encoding="' + encoding.encode() + b'"\n'
    facts = facts_of(PLAIN.replace(b"version=1\n", b"version=1\n" + line).replace(b"disk-flat.vmdk", name))
    assert facts.encoding == encoding
    assert (facts.extents[0].file_name or "").encode("utf-8", "surrogateescape") == name


def test_delta_of_esxi() -> None:
    """A vmfsSparse descriptor: parent by CID and name."""
    report = report_of(fixture("vmdk/vmfs-sparse-descriptor.vmdk"))
    assert isinstance(report.details, VmdkFacts)
    assert (report.details.cid, report.details.parent_cid) == ("fffffffe", "1a2b3c4d")
    assert [(r.kind, r.value) for r in report.references] == [
        ("extent", "web-000001-delta.vmdk"),
        ("parent", "web.vmdk"),
    ]
    assert "VMD101" in codes(report)


def test_zero_extents_count_and_name_nothing() -> None:
    """ZERO extents take part in the size and are no reference."""
    facts = facts_of(fixture("vmdk/partitioned-device-descriptor.vmdk"))
    assert facts.virtual_size == (63 + 1985 + 4096) * 512
    assert [extent.type for extent in facts.extents] == ["FLAT", "ZERO", "FLAT"]
    assert [reference.value for reference in facts.references] == ["parts-pt.vmdk", "/dev/sda"]


def test_cowd() -> None:
    """Root and child of a COWD extent."""
    root, child = (facts_of(fixture(f"vmdk/cowd-{name}.vmdk.gz")) for name in ("root", "child"))
    assert (root.kind, root.virtual_size, root.cluster_size) == ("cowd", 8 * 1024 * 1024, 512)
    assert root.cowd is not None
    assert root.cowd.geometry == (16, 32, 32)
    assert root.references == ()
    assert child.cowd is not None
    assert child.cowd.parent_generation == 7
    assert [(r.kind, r.value) for r in child.references] == [("parent", "base-disk.vmdk")]


def test_sesparse() -> None:
    """Constant and volatile header of a seSparse extent."""
    facts = facts_of(fixture("vmdk/sesparse.vmdk.gz"))
    assert (facts.kind, facts.virtual_size, facts.cluster_size) == ("sesparse", 16 * 1024 * 1024, 4096)
    assert facts.sesparse is not None
    assert (facts.sesparse.version, facts.sesparse.replay_journal) == ("2.1", 0)


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"\n\n",
        b"   \r\n",
        b"\xef\xbb\xbf",
        b"# a comment\n" * 3,
        b"#\x01\x02\x03\x04\x05\x06\x07\x08\n",
        b" \n#\x01\x00\x02\n",
        b"#" + b"x" * 100_000 + b"\n",
        b"# line\n" * 12_000,
    ],
    ids=["none", "blank", "spaces", "bom", "comments", "control", "nul", "long", "many"],
)
def test_descriptor_is_found_behind(before: bytes) -> None:
    """A descriptor is one behind comments and blank lines of any number, with or without its mark."""
    for body in (PLAIN, PLAIN.removeprefix(MARK)):
        report = report_of(before + body)
        no_bug(report)
        assert report.format == "vmdk"
        hidden = b"\0" in before
        assert hidden or (report.virtual_size, report.references[0].value) == (2048 * 512, "disk-flat.vmdk")
        assert not hidden or "IMG101" in codes(report) or report.broken


@pytest.mark.parametrize("change", [lambda data: data.replace(b"\n", b"\r\n"), lambda data: data + bytes(4096)])
def test_line_ends_and_padding(change: object) -> None:
    """CR LF and a tail of NULs change nothing of the facts."""
    assert callable(change)
    facts = facts_of(change(PLAIN))
    assert (facts.create_type, facts.cid, facts.virtual_size) == ("monolithicFlat", "0000abcd", 2048 * 512)
    assert faults(report_of(change(PLAIN))) == {"IMG101"}


def test_other_text_is_not_a_descriptor() -> None:
    """A settings file that begins like one is raw."""
    for text in (b"version=1\nname=x\n", b"# comment\nversion=2.0\n", b"#!/bin/sh\nversion=1\n", b"\n\n\n"):
        report = report_of(text * 3)
        assert (report.format, report.references) == ("raw", ())


def test_hint_that_only_a_search_finds() -> None:
    """A parent that stands in a comment or a value is a reference all the same."""
    for line in (b'# parentFileNameHint="/etc/shadow"\n', b"ddb.x = 'parentFileNameHint=\"/etc/shadow\"'\n"):
        report = report_of(PLAIN + line)
        assert ("parent", "/etc/shadow") in [(r.kind, r.value) for r in report.references]
        assert {"VMD026", "IMG102"} <= codes(report)


def test_keys_in_any_case_and_quoting() -> None:
    """Keys are compared without case, values with or without quotes; a second one is an error."""
    facts = facts_of(PLAIN.replace(b"CID=0000abcd", b'"cid" = "ABCD"', 1))
    assert facts.cid == "0000abcd"
    assert "VMD022" in codes(report_of(PLAIN + b"PARENTCID = 00000000\n"))
    assert "VMD022" in codes(report_of(PLAIN + b"# CID=1\n"))


def test_extents_that_nobody_may_read() -> None:
    """A disk whose every extent is NOACCESS has no data; one that can be read is enough."""
    line = b'RW 2048 FLAT "disk-flat.vmdk" 0\n'
    assert line in PLAIN
    assert "VMD032" in codes(report_of(PLAIN.replace(line, line.replace(b"RW", b"NOACCESS"))))
    assert "VMD032" not in codes(report_of(PLAIN.replace(line, line + line.replace(b"RW", b"NOACCESS"))))


def test_descriptor_of_a_header_of_capacity_0() -> None:
    """It is a descriptor file: its extents are references, its size their sum."""
    report = report_of(fixture("vmdk/hostile-capacity-zero.vmdk.gz"))
    assert isinstance(report.details, VmdkFacts)
    assert (report.details.kind, report.virtual_size) == ("descriptor", 2048 * 512)
    assert [r.value for r in report.references] == ["/etc/passwd"]


def test_two_descriptors_are_both_read() -> None:
    """The one where the header says, and the one at sector 1: the references of both."""
    report = report_of(fixture("vmdk/hostile-two-descriptors.vmdk.gz"))
    assert isinstance(report.details, VmdkFacts)
    assert report.details.parent_cid == "ffffffff"
    assert report.details.descriptor is not None
    assert report.details.descriptor.offset == 21 * 512
    assert report.details.descriptor_at_sector_1 is not None
    assert [r.value for r in report.references] == ["/etc/shadow"]


def test_too_many_lines_are_a_cap() -> None:
    """Lines and values over their caps are said so; nothing is allocated for them."""
    assert "IMG201" in codes(report_of(PLAIN + b"\n" * 200_000))
    assert "VMD202" in codes(report_of(PLAIN + b"".join(b'ddb.k%d = "v"\n' % i for i in range(1100))))
    report = report_of(PLAIN + b" " * (1024 * 1024 + 1))
    assert {"VMD020"} <= codes(report)


def test_lone_extents_are_named() -> None:
    """A sparse, a COWD and a seSparse extent without their descriptor are told as what they are."""
    for name in ("split-sparse-extent", "cowd-root", "cowd-child", "sesparse"):
        assert "VMD009" in codes(report_of(fixture(f"vmdk/{name}.vmdk.gz")))


@pytest.mark.parametrize("name", [name for name in images() if name.startswith("vmdk/")])
def test_annotated_fields(name: str) -> None:
    """Every structure that was read is shown, its fields inside the file."""
    data = fixture(name)
    report = report_of(data, structures=True)
    assert report.structures
    for structure in report.structures:
        assert 0 <= structure.offset <= len(data)
        assert all(field.offset + field.length <= len(data) for field in structure.fields)


@pytest.mark.parametrize("name", ["monolithic-sparse", "stream-footer", "stream-qemu", "cowd-root", "sesparse"])
def test_truncations_of_binary_kinds(name: str) -> None:
    """A cut before the end of the metadata is broken or truncated, never raw; the header's size stays.

    A cut among the grains of an image without a footer is not told by headers.
    """
    data = fixture(f"vmdk/{name}.vmdk.gz")
    whole = report_of(data)
    metadata = {"monolithic-sparse": 65536, "stream-footer": len(data), "stream-qemu": 65536, "cowd-root": 2064}
    header = 2048 if name == "cowd-root" else 512
    end = metadata.get(name, 72 * 512)
    for cut in [8, 79, 511, 512, 513, 1024, 2048, 10752, 13312, 14336 - 512, end - 512, end - 1]:
        if cut >= end:
            continue
        report = report_of(data[:cut])
        no_bug(report)
        assert report.format == "vmdk", cut
        assert report.broken or "IMG002" in codes(report), cut
        if cut >= header:
            assert report.virtual_size == whole.virtual_size, cut


def test_truncations_of_descriptors() -> None:
    """A cut descriptor is broken until its createType is there, and lists fewer extents after that.

    A cut inside the first line leaves no trace, and one among the extents none either.
    """
    data = fixture("vmdk/split-sparse-descriptor.vmdk")
    for cut in range(len(MARK), len(data)):
        report = report_of(data[:cut])
        no_bug(report)
        assert report.format == "vmdk"
        extents = data[:cut].count(b'vmdk"')
        assert report.broken or extents or codes(report) & {"VMD030", "VMD032"}


def test_sizes_near_the_edges() -> None:
    """Capacities that overflow 63 bits are errors; nothing is divided, allocated or looped by them."""
    data = bytearray(fixture("vmdk/monolithic-sparse.vmdk.gz"))
    for capacity in (2**54 + 1, 2**63, 2**64 - 1):
        data[12:20] = struct.pack("<Q", capacity)
        report = report_of(bytes(data))
        assert report.virtual_size == capacity * 512
        assert "VMD201" in codes(report)


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (b"", False),
        (b"\n", False),  # CID=00c324a1 written over CID=0c324a10 … by a writer that leaves the old end
        (b'"ide"\n', False),
        (b" \n", True),
        (b"x", True),
        (b'= "ide"\n', True),  # eight bytes: no content ID shrinks that far
    ],
)
def test_the_end_of_the_old_text_is_no_fault(left: bytes, told: bool) -> None:
    """What a shorter content ID leaves behind the text is the text's own end; anything else is told."""
    found = codes(report_of(PLAIN + b"\0" + left + bytes(600)))
    assert ("VMD027" in found) is told
