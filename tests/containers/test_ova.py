"""OVA and OVF: what counts as one, what is told of it, and what the rules say."""

from __future__ import annotations

import io
import tarfile

import pytest

import imgtool
from fixtures.recipes.ova import (
    ONE_DISK,
    ONE_FILE,
    descriptor,
    disk,
    header,
    member,
    packed,
    padded,
    small,
    tar,
)
from imgtool.containers.envelope.facts import EnvelopeFacts
from imgtool.containers.envelope.manifest import parse_manifest
from imgtool.containers.envelope.quantity import quantity, unit_bytes
from imgtool.containers.envelope.reader import disk_format
from imgtool.containers.ova.facts import OvaFacts
from imgtool.limits import DEFAULT
from tests.containers.oversized import OVERSIZED, oversized
from tests.kit import codes, faults, fixture, no_bug, report_of
from tests.test_golden import plain, stream_of


def ova_of(ovf: str, *more: tuple[str, bytes]) -> bytes:
    """An OVA of a descriptor and further members."""
    return packed([("x.ovf", ovf.encode()), *more])


def facts_of(data: bytes) -> OvaFacts:
    """The facts of an OVA."""
    details = report_of(data).details
    assert isinstance(details, OvaFacts)
    return details


def own(report: imgtool.Report) -> set[str]:
    """The errors and warnings of the archive itself: what its disks say is theirs."""
    return {finding.code for finding in report.findings if finding.severity != "note"}


def test_disks_and_the_whole() -> None:
    """vmdk in ova; the size is the sum of the capacities, each listed; the disk has its own report."""
    report = report_of(fixture("ova/small.ova.gz"))
    assert (report.format, report.container_format, report.disk_formats) == ("vmdk", "ova", ("vmdk",))
    assert report.virtual_size == 1 << 20
    assert [(one.path, one.format, one.virtual_size) for one in report.members] == [
        ("small.ovf", None, None),
        ("small.mf", None, None),
        ("disk1.vmdk", "vmdk", 1 << 20),
    ]
    assert own(report) == set()


def test_chunks_properties_and_formats() -> None:
    """A file in chunks is inspected as a whole; a capacity may be a property; other formats are told."""
    report = report_of(fixture("ova/several.ova.gz"))
    assert report.virtual_size == (1 << 20) + 65536 + 3 * (1 << 30)
    whole = next(one for one in report.members if one.path == "data.qcow2")
    assert (whole.format, whole.virtual_size, whole.size) == ("qcow2", 65536, 1552)
    assert [one.format for one in report.members if one.path.startswith("data.qcow2.")] == [None, None]
    assert own(report) == set()


def test_hardware_products_and_networks() -> None:
    """Processors, memory in bytes, operating system, drives, product and networks are listed."""
    facts = facts_of(fixture("ova/small.ova.gz"))
    (system,) = facts.systems
    assert (system.id, system.name, system.os, system.hardware) == (
        "vm",
        "small appliance",
        "Debian 64-bit",
        "vmx-10",
    )
    assert (system.cpus, system.memory, system.drives) == (2, 512 << 20, ("ovf:/disk/vmdisk1",))
    assert [(one.name, one.vendor, one.version) for one in facts.products] == [("Appliance", "Example", "1.2.3")]
    assert facts.networks == ("VM Network",)
    assert facts.label == "Appliance"


def test_an_ordinary_tar_is_raw() -> None:
    """A tar without a descriptor, or with one in some folder only, is no OVA."""
    for data in (
        tar(member("a", b"x"), member("b", b"y")),
        tar(member("a", b"x"), member("doc/x.ovf", b"<x/>")),
        tar(*(member(f"{number}") for number in range(600)), member("late.ovf", b"<x/>")),
    ):
        report = report_of(data)
        assert (report.format, report.container_format) == ("raw", "bare")


def test_a_descriptor_further_on_is_an_error() -> None:
    """A descriptor at the top level that is not first still makes an OVA, with an error."""
    ovf = descriptor("", "")
    report = report_of(tar(member("folder/", kind=b"5"), member("notes", b"x"), member("x.ovf", ovf.encode())))
    assert report.container_format == "ova"
    assert "OVA001" in codes(report)
    report = report_of(tar(member("folder/", kind=b"5"), member("x.ovf", ovf.encode())))
    assert "OVA001" not in codes(report)


def test_the_first_name_tells_even_where_the_header_is_broken() -> None:
    """A first member called .ovf whose header does not hold makes a faulty OVA, not raw bytes; without the magic of
    a header that can be read all the same, a broken one."""
    data = bytearray(fixture("ova/small.ova.gz"))
    data[150] ^= 1
    report = report_of(bytes(data))
    assert (report.container_format, report.broken) == ("ova", False)
    assert "IMG003" in codes(report)
    data = bytearray(fixture("ova/pre-posix.ova.gz"))
    data[150] ^= 1
    report = report_of(bytes(data))
    assert (report.container_format, report.broken) == ("ova", True)
    assert {"IMG003", "IMG004"} <= codes(report)


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (member("x.ovf", descriptor("", "").encode(), kind=b"Z"), "OVA011"),
        (header(b"p", 22, b"x") + padded(b"22 GNU.sparse.major=1\n") + member("x.ovf", b"1\n"), "OVA014"),
        (member("x.ovf", kind=b"2", link="y.xml"), "OVA013"),
        (member("x.ovf", kind=b"6"), "OVA011"),
        (
            header(b"p", 19, b"x") + padded(b"19 path=x.ovf\0.txt\n") + member("z", descriptor("", "").encode()),
            "OVA010",
        ),
    ],
    ids=["unknown-type", "sparse", "link", "fifo", "nul"],
)
def test_no_type_or_name_hides_the_descriptor(first: bytes, code: str) -> None:
    """What some program would take for the descriptor makes the tar an OVA, with an error."""
    report = report_of(tar(first, member("y.xml", descriptor("", "").encode())))
    no_bug(report)
    assert report.container_format == "ova"
    assert code in codes(report)


def test_links() -> None:
    """A link that points at another member is a warning, any other an error."""
    ovf = member("x.ovf", descriptor("", "").encode())
    for target, severity in (("x.ovf", "warning"), ("../x.ovf", "error"), ("/etc/shadow", "error"), ("y", "error")):
        report = report_of(tar(ovf, member("link", kind=b"2", link=target)))
        assert [one.severity for one in report.findings if one.code == "OVA013"] == [severity]


def test_no_disks() -> None:
    """An appliance without disks has no format and no size."""
    report = report_of(ova_of(descriptor("", "", "")))
    assert (report.format, report.container_format, report.virtual_size) == (None, "ova", None)


def test_sizes_of_members_stand_in_for_unknown_capacities() -> None:
    """Where a capacity has no default, what the disk itself says counts."""
    vmdk = disk()
    unknown = ONE_DISK.replace('capacity="1"', 'capacity="${size}"')
    report = report_of(ova_of(descriptor(ONE_FILE.format(size=len(vmdk)), unknown), ("disk1.vmdk", vmdk)))
    assert report.virtual_size == 1 << 20
    (finding,) = [one for one in report.findings if one.code == "OVF003"]
    assert finding.severity == "warning"


def test_disks_that_together_are_too_large() -> None:
    """Each is below the cap, and their sum is over it, by what the descriptor says or by what they are."""
    for unknown in (False, True):
        report = report_of(oversized(unknown=unknown))
        assert report.virtual_size == 2 * OVERSIZED > DEFAULT.virtual_size > OVERSIZED
        assert [one.virtual_size for one in report.members] == [None, OVERSIZED, OVERSIZED]
        (told,) = (one for one in report.findings if one.code == "IMG201")
        assert told.message == f"the virtual size of {2 * OVERSIZED} bytes is over {DEFAULT.virtual_size}"
        assert told.field == "virtual size"
    assert "IMG201" not in codes(report_of(oversized(1)))


def test_compressed_file() -> None:
    """A file that the descriptor says is compressed keeps its own report, of the disk inside."""
    import gzip

    packed_disk = gzip.compress(disk(), mtime=0)
    file = f'<File ovf:href="disk1.vmdk.gz" ovf:id="file1" ovf:size="{len(packed_disk)}" ovf:compression="gzip"/>'
    report = report_of(ova_of(descriptor(file, ONE_DISK), ("disk1.vmdk.gz", packed_disk)))
    assert report.virtual_size == 1 << 20
    assert facts_of(ova_of(descriptor(file, ONE_DISK), ("disk1.vmdk.gz", packed_disk))).files[0].compression == "gzip"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_that_tarfile_writes(form: int) -> None:
    """The three formats that Python writes make sound OVAs."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in small():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1.5 if form == tarfile.PAX_FORMAT else 1
            archive.addfile(info, io.BytesIO(data))
    report = report_of(buffer.getvalue())
    assert (report.format, report.container_format, report.virtual_size) == ("vmdk", "ova", 1 << 20)
    assert own(report) == set()


def test_order() -> None:
    """Manifest and certificate behind the descriptor or last; files as the references list them."""
    (ovf, mf, vmdk) = small()
    signed = ("small.cert", b"-----BEGIN CERTIFICATE-----\n")
    good = [
        [ovf, mf, vmdk],
        [ovf, vmdk, mf],
        [ovf, mf, signed, vmdk],
        [ovf, vmdk, mf, signed],
        [ovf, mf, vmdk, signed],
    ]
    for members in good:
        assert "OVA004" not in codes(report_of(packed(members)))
    for members in ([ovf, signed, mf, vmdk], [ovf, ("a.txt", b""), mf, vmdk]):
        assert "OVA004" in codes(report_of(packed(members)))


def test_manifest_spellings() -> None:
    """Every spelling of a digest line in use."""
    digest = "AB" * 32
    lines = (
        f"SHA256(a b.vmdk)= {digest}",
        f"SHA256 (a b.vmdk) = {digest}",
        f"SHA2-256(a b.vmdk)= {digest}",
        f"sha256(a b.vmdk)={digest}".replace("sha", "SHA"),
        f"SHA-256(a b.vmdk)= {digest}",
        "SHA1(x)= " + "0" * 40,
        "SHA512(x)= " + "0" * 128,
        "SHA2-512(x)= " + "0" * 128,
    )
    manifest = parse_manifest("\r\n".join(lines).encode(), DEFAULT)
    assert manifest.strange == ()
    assert [entry.algorithm for entry in manifest.entries] == ["sha256"] * 5 + ["sha1", "sha512", "sha512"]
    assert manifest.entries[0].name == "a b.vmdk"
    assert manifest.entries[0].digest == digest.lower()
    strange = parse_manifest(b"SHA256(a)= 00\n" + b"x" * 200 + b"\nMD5 a\n\n", DEFAULT).strange
    assert [len(line) for line in strange] == [13, 80, 5]


@pytest.mark.parametrize(
    ("units", "size"),
    [
        (None, 1),
        ("byte", 1),
        ("byte * 2^30", 1 << 30),
        ("byte*2^20", 1 << 20),
        ("byte * 1024 * 1024", 1 << 20),
        ("byte * 10^9", 10**9),
        ("MegaBytes", 1 << 20),
        ("GB", 1 << 30),
        ("bit", None),
        ("byte * 2^999", None),
        ("byte * 2^-1", None),
        ("byte / 2", None),
        ("byte * 9223372036854775807 * 3", None),
        ("", None),
    ],
)
def test_units(units: str | None, size: int | None) -> None:
    """Programmatic units and the words that came before them."""
    assert unit_bytes(units) == size


def test_quantities() -> None:
    """Numbers, properties, and what is neither."""
    assert quantity("3", "byte * 2^30", {}) == 3 << 30
    assert quantity("${a.b}", None, {"a.b": "77"}) == 77
    for value in (None, "", "-1", "1.5", "٣", "9" * 30, "${c}", "9223372036854775808"):
        assert quantity(value, None, {}) is None
    assert quantity("9223372036854775807", "byte * 2^1", {}) is None


@pytest.mark.parametrize(
    ("uri", "form"),
    [
        ("http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized", "vmdk"),
        ("http://www.vmware.com/specifications/vmdk.html#sparse", "vmdk"),
        ("http://www.gnome.org/~markmc/qcow-image-format.html", "qcow2"),
        ("http://technet.microsoft.com/en-us/library/bb676673.aspx", "vhd"),
        ("http://www.microsoft.com/Windows/VirtualServer/", "vhd"),
        ("http://www.ecma-international.org/publications/standards/Ecma-119.htm", "iso"),
        ("http://example.org/", None),
        (None, None),
    ],
)
def test_format_uris(uri: str | None, form: str | None) -> None:
    """The URIs that exporters write."""
    assert disk_format(uri) == form


@pytest.mark.parametrize("name", ["ovf/bare.ovf", "ovf/utf-16.ovf"])
def test_bare_descriptor(name: str) -> None:
    """A descriptor alone: vmdk in ovf, its disk a reference."""
    report = report_of(fixture(name))
    assert (report.format, report.container_format, report.virtual_size) == ("vmdk", "ovf", 1 << 20)
    assert [(one.kind, one.value) for one in report.references] == [("href", "disk1.vmdk")]
    assert faults(report) == {"IMG101"}


def test_descriptor_of_before_the_standard() -> None:
    """VMware's 0.9: sections by xsi:type, attributes in the namespace, elements without."""
    details = report_of(fixture("ovf/vmware-0.9.ovf")).details
    assert isinstance(details, EnvelopeFacts)
    assert (details.ovf_version, details.virtual_size, details.networks) == ("0.9", 4 << 30, ("Bridged",))
    assert [(one.id, one.os) for one in details.systems] == [("old", "Linux")]


@pytest.mark.parametrize(
    ("data", "container"),
    [
        (b"\xef\xbb\xbf" + descriptor("", "").encode(), "ovf"),
        (b"<!-- <Envelope> -->\n" + descriptor("", "")[39:].encode(), "ovf"),
        (descriptor("", "").encode("utf-16-le"), "ovf"),
        (b"<Envelope xmlns='http://schemas.xmlsoap.org/soap/envelope/'/>", "bare"),
        (b"<a><Envelope xmlns='http://schemas.dmtf.org/ovf/envelope/1'/></a>", "bare"),
        (b"text http://schemas.dmtf.org/ovf/envelope/1 <Envelope>", "bare"),
        (b"<?" * 30_000, "bare"),
        (b"<!--" * 15_000, "bare"),
    ],
)
def test_what_counts_as_a_descriptor(data: bytes, container: str) -> None:
    """The root element decides, after a byte order mark, a declaration and comments."""
    assert report_of(data).container_format == container


@pytest.mark.parametrize("name", ["ova/small.ova.gz", "ova/extended-headers.ova.gz", "ovf/bare.ovf"])
def test_cut_anywhere_it_is_never_raw(name: str) -> None:
    """Cut behind its mark, the report is the container's and something is found, or the cut is harmless."""
    data = fixture(name)
    mark = {"ovf/bare.ovf": 600, "ova/extended-headers.ova.gz": 1536}.get(name, 512)
    for cut in sorted({*range(mark, len(data), 1511), *range(mark, min(len(data), 4096), 97), len(data) - 1024}):
        report = report_of(data[:cut])
        no_bug(report)
        assert report.container_format == name.partition("/")[0], cut
        if cut < len(data) - 1023:
            assert own(report), cut


def test_a_large_archive_from_a_pipe() -> None:
    """Disks beyond the kept head: their headers and ends are found as the stream goes by."""
    limits = DEFAULT._replace(stream_head=256 * 1024, stream_tail=64 * 1024)
    vmdk, qcow2, vhd = disk(), disk("qcow2", ""), disk("vpc", "subformat=fixed", "3M")
    files = ONE_FILE.format(size=3 << 20) + '<File ovf:href="b.qcow2" ovf:id="b"/><File ovf:href="c.vhd" ovf:id="c"/>'
    disks = (
        ONE_DISK
        + '<Disk ovf:capacity="1048576" ovf:diskId="b" ovf:fileRef="b" ovf:format="x#qcow2"/>'
        + '<Disk ovf:capacity="3145728" ovf:diskId="c" ovf:fileRef="c" ovf:format="x#vhd"/>'
    )
    members = (("disk1.vmdk", vmdk.ljust(3 << 20, b"\0")), ("b.qcow2", qcow2.ljust(2 << 20, b"\0")), ("c.vhd", vhd))
    data = ova_of(descriptor(files, disks), *members)
    streamed = imgtool.inspect(stream_of(data), checksums=(), limits=limits)
    whole = report_of(data)
    assert [one.format for one in streamed.members] == [None, "vmdk", "qcow2", "vhd"]
    first, second = plain(streamed), plain(whole)
    first.pop("path")
    second.pop("path")
    assert first == second


def test_nested_reports_are_bounded() -> None:
    """Of very many images only the first are looked into, and the report says so."""
    data = tar(
        member("x.ovf", descriptor("", "").encode()), *(member(f"{one}.img", b"x" * 512) for one in range(300))
    )
    report = report_of(data)
    assert len(report.members) == 257
    assert "IMG202" in codes(report)
    listed = tar(member("x.ovf", descriptor("", "").encode()), *(member(f"{one}.txt", b"x") for one in range(300)))
    report = report_of(listed)
    assert len(report.members) == 301
    assert "IMG202" not in codes(report)


def test_many_files_of_one_name_are_read_once() -> None:
    """A thousand files that all name the same chunks do not multiply the work."""
    files = '<File ovf:href="d" ovf:id="x" ovf:chunkSize="1"/>' * 1000
    chunks = b"".join(header(b"d.%09d" % one, 1) + padded(b"x") for one in range(2000))
    report = report_of(tar(member("x.ovf", descriptor(files, "").encode()), chunks))
    assert isinstance(report.details, OvaFacts)
    assert "OVF004" in codes(report)
