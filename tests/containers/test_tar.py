"""The tar reader against Python's own, on archives that tarfile and GNU tar write."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from fixtures.recipes.ova import header, member, padded, tar
from imgtool.containers.tar.archive import Archive, read_archive
from imgtool.containers.tar.numbers import checksum_holds, number
from imgtool.containers.tar.safety import duplicates, link_target, links, name_fault
from imgtool.limits import DEFAULT, Limits
from imgtool.sources.memory import BytesSource
from imgtool.structs.view import View
from tests.kit import need

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def walked(data: bytes, limits: Limits = DEFAULT) -> tuple[Archive | None, View]:
    """The archive in `data`, and the view with its problems."""
    view = View(BytesSource(data), limits)
    return read_archive(view, limits, lambda member: True), view


def members_of(data: bytes) -> Archive:
    """The archive in `data`, which must be read without a problem."""
    archive, view = walked(data)
    assert archive is not None
    assert view.problems == ()
    return archive


def written(form: int) -> bytes:
    """An archive of every kind of member, made by tarfile."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, size in (
            ("a.ovf", 700),
            ("d" * 60 + "/" + "e" * 90 + "/f.img", 512),
            ("empty", 0),
            ("ümlaut ✓", 3),
        ):
            info = tarfile.TarInfo(name)
            info.size = size
            archive.addfile(info, io.BytesIO(bytes(size)))
        for name, kind, link in (
            ("folder", tarfile.DIRTYPE, ""),
            ("soft", tarfile.SYMTYPE, "a.ovf"),
            ("hard", tarfile.LNKTYPE, "a.ovf"),
            ("pipe", tarfile.FIFOTYPE, ""),
            ("null", tarfile.CHRTYPE, ""),
            ("disk", tarfile.BLKTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            archive.addfile(info)
    return buffer.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_members_are_those_that_tarfile_reads(form: str) -> None:
    """Names, kinds, sizes, links and offsets of the data agree, in all three formats."""
    data = written(FORMATS[form])
    with tarfile.open(fileobj=io.BytesIO(data)) as other:
        expected = [(one.name, one.size, one.offset_data, one.linkname) for one in other]
    archive = members_of(data)
    assert [(one.plain_name, one.size, one.offset, one.link) for one in archive.members] == expected
    kinds = ["file"] * 4 + ["folder", "symlink", "hardlink", "fifo", "char-device", "block-device"]
    assert [one.kind for one in archive.members] == kinds
    assert archive.ended
    assert archive.whole


@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_members_are_those_that_gnu_tar_writes(form: str, tmp_path: Path) -> None:
    """GNU tar's own formats, sparse files among them: true sizes, and the data of those that are not sparse."""
    (tmp_path / "a.ovf").write_bytes(b"descriptor")
    with open(tmp_path / "hole.img", "wb") as file:
        for at in range(0, 4 << 20, 128 << 10):
            file.seek(at)
            file.write(b"data")
        file.truncate(4 << 20)
    sparse = () if form in ("v7", "ustar") else ("--sparse",)
    made = tmp_path / "made.tar"
    command = [need("tar"), f"--format={form}", *sparse, "-cf", str(made), "-C", str(tmp_path), "a.ovf", "hole.img"]
    subprocess.run(command, check=True)
    data = made.read_bytes()
    first, second = members_of(data).members
    assert (first.name, data[first.offset : first.offset + first.size]) == ("a.ovf", b"descriptor")
    assert (second.name, second.real_size) == ("hole.img", 4 << 20)
    assert second.kind == ("sparse" if sparse else "file")


def test_large_size_in_base_256(tmp_path: Path) -> None:
    """A member of 9 GiB: GNU tar writes the size in base-256, pax in a record; both are read."""
    with open(tmp_path / "big", "wb") as file:
        file.truncate(9 << 30)
    for form in ("gnu", "posix"):
        run = subprocess.Popen(
            [need("tar"), f"--format={form}", "-cf", "-", "-C", str(tmp_path), "big"], stdout=subprocess.PIPE
        )
        assert run.stdout is not None
        data = run.stdout.read(4096)
        run.stdout.close()
        run.wait()
        archive, view = walked(data)
        assert archive is not None
        assert archive.members[0].size == 9 << 30
        assert [problem.kind for problem in view.problems] == ["truncated"]


def test_numbers() -> None:
    """Octal with its endings, base-256 positive, negative and too large, and what is no number."""
    assert number(b"0000644\0") == 0o644
    assert number(b" 644 \0\0\0") == 0o644
    assert number(b"\0" * 8) == 0
    assert number(b"\x80" + b"\0" * 10 + b"\x05") == 5
    assert number(b"\x80" + b"\xff" * 11) is None
    assert number(b"\xff" * 12) is None
    assert number(b"00000008\0") is None
    assert number(b"-1\0") is None


def test_checksums_signed_and_unsigned() -> None:
    """Old programs summed signed bytes; both sums hold, a third does not."""
    raw = bytearray(header("ü".encode() * 20, 0))
    assert checksum_holds(bytes(raw))
    signed = sum(byte - 256 if byte > 127 else byte for byte in (*raw[:148], *b" " * 8, *raw[156:]))
    raw[148:156] = b"%06o\0 " % signed
    assert checksum_holds(bytes(raw))
    raw[148:156] = b"%06o\0 " % (signed + 1)
    assert not checksum_holds(bytes(raw))


def test_global_pax_header_applies_to_all() -> None:
    """A global record stands for every member until one of its own."""
    record = b"16 linkpath=abc\n"
    data = tar(header(b"g", len(record), b"g") + padded(record), member("a", kind=b"2", link="x"))
    assert [one.link for one in members_of(data).members] == ["abc"]


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (tar(member("a"), header(b"x", 1 << 30, b"x")), ["cap"]),
        (tar(member("a"), header(b"x", 12, b"x") + padded(b"99 path=abc\n"), member("b")), ["malformed"]),
        (tar(member("a"), header(b"x", 12, b"x") + padded(b"12 size=-12\n"), member("b")), ["malformed"]),
        (tar(member("a"), member("b", b"data", kind=b"5")), ["malformed", "malformed"]),
        (tar(member("a"))[:600], ["truncated"]),
        (tar(member("a"))[:512] + b"\1" * 512, ["malformed"]),
    ],
    ids=["pax-huge", "pax-length", "pax-negative", "folder-with-data", "header-cut", "header-broken"],
)
def test_what_does_not_hold_is_a_problem(data: bytes, kinds: list[str]) -> None:
    """The members so far are kept, and the problem says of which kind it is."""
    archive, view = walked(data)
    assert archive is not None
    assert archive.members[0].name == "a"
    assert [problem.kind for problem in view.problems] == kinds


def test_caps() -> None:
    """Members, headers and names stop at their caps."""
    data = tar(*(member(f"{number}") for number in range(20)))
    archive, view = walked(data, DEFAULT._replace(members=10))
    assert archive is not None
    assert (len(archive.members), archive.whole) == (10, False)
    assert [problem.kind for problem in view.problems] == ["cap"]
    record = b"1" * 5000
    long_name = tar(header(b"L", len(record), b"L") + padded(record), member("a"))
    archive, view = walked(long_name)
    assert archive is not None
    assert len(archive.members[0].name) == DEFAULT.tar_name
    assert [problem.kind for problem in view.problems] == ["cap"]
    chain = b"".join(header(b"x", 0, b"x") for _ in range(40))
    assert walked(tar(chain), DEFAULT._replace(tar_headers=32))[1].problems[0].kind == "cap"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("disk.vmdk", None),
        ("./a/b..c", None),
        ("/etc/passwd", "an absolute path"),
        ("a/../../b", "leaves its folder by `..`"),
        ("a\\b", "a backslash"),
        ("C:boot.ini", "a drive"),
        ("a\nb", "control characters"),
        ("", "no name"),
    ],
)
def test_names(name: str, fault: str | None) -> None:
    """What a name must not be."""
    assert name_fault(name) == fault


def test_links_and_duplicates() -> None:
    """A link holds when its target is a member; names that normalise alike are the same."""
    data = tar(
        member("a/f", b"x"),
        member("b/in", kind=b"2", link="../a/f"),
        member("b/out", kind=b"2", link="../../a/f"),
        member("abs", kind=b"2", link="/a/f"),
        member("hard", kind=b"1", link="a/f"),
        member("./a//f", b"y"),
    )
    members = members_of(data).members
    assert [inside for _, inside in links(members)] == [True, False, False, True]
    assert link_target(members[2]) is None
    assert [fault.offset for fault in duplicates(members)] == [members[-1].header_offset]
