"""open_disk: what is opened, members of containers, what is refused and how, files closed behind it."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path

import pytest

import imgtool
from imgtool.disks.open import open_disk
from imgtool.errors import InputError, NotFoundError, NotRegularError, UnsupportedError, UsageError
from imgtool.formats.qcow2.facts import Qcow2Facts
from imgtool.limits import DEFAULT
from imgtool.sources.disk import DiskError, EncryptedError
from imgtool.sources.memory import BytesSource
from tests.kit import FIXTURES, fixture, need, report_of, run

OVA = "ova/several.ova.gz"


def written(folder: Path, name: str) -> Path:
    """A fixture as a file."""
    path = folder / Path(name.removesuffix(".gz")).name
    path.write_bytes(fixture(name))
    return path


def files() -> int:
    """Open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def test_a_path_and_a_file_object(tmp_path: Path) -> None:
    """Both; a file object stays open, it is the caller's."""
    path = written(tmp_path, "qcow2/snapshots.qcow2")
    with imgtool.open_disk(path) as disk:
        size, head = disk.size, disk.read_at(0, 100)
    file = io.BytesIO(fixture("qcow2/snapshots.qcow2"))
    with imgtool.open_disk(file) as disk:
        assert (disk.size, disk.read_at(0, 100)) == (size, head)
    assert not file.closed
    with imgtool.open_disk(str(path)) as disk:
        assert disk.name == str(path)


def test_the_format_is_what_the_caller_says() -> None:
    """Not guessed around: raw is raw; what is not there is the caller's mistake."""
    data = fixture("qcow2/plain.qcow2")
    with open_disk(io.BytesIO(data), format="raw") as disk:
        assert disk.read_at(0, len(data)) == data
    with open_disk(io.BytesIO(fixture("vhd/dynamic.vhd")), format="vpc") as disk:
        assert disk.size == report_of(fixture("vhd/dynamic.vhd"), depth=0).virtual_size
    for form in ("vdi", "no-such-format"):
        with pytest.raises(UsageError):
            open_disk(io.BytesIO(data), format=form)


def test_snapshots() -> None:
    """By name; one that is not there, and one where the format has none, are the caller's mistake."""
    data = fixture("qcow2/snapshots.qcow2")
    details = report_of(data, depth=0).details
    assert isinstance(details, Qcow2Facts)
    for name in (snapshot.name for snapshot in details.snapshots):
        with open_disk(io.BytesIO(data), snapshot=name) as disk:
            assert len(disk.read_at(0, disk.size)) == disk.size
    for sample, name in ((data, "no such"), (fixture("vhd/dynamic.vhd"), "x"), (b"raw bytes", "x")):
        with pytest.raises(UsageError):
            open_disk(io.BytesIO(sample), snapshot=name)


def test_snapshots_of_one_name(tmp_path: Path) -> None:
    """The name alone is ambiguous, and the ids are told; an id goes before a name."""
    path = tmp_path / "twice.qcow2"
    run(need("qemu-img"), "create", "-q", "-f", "qcow2", str(path), "1M")
    for name in ("same", "same", "other"):
        run(need("qemu-img"), "snapshot", "-c", name, str(path))
    told = r"several snapshots are called 'same' \(1 \(same\), 2 \(same\)\); name one by its id"
    for few in (DEFAULT, DEFAULT._replace(qcow2_snapshots_listed=1)):
        with pytest.raises(UsageError, match=told):
            open_disk(path, snapshot="same", limits=few)
        for wanted in ("1", "2", "other"):
            open_disk(path, snapshot=wanted, limits=few).close()
    run(need("qemu-img"), "snapshot", "-c", "1", str(path))
    open_disk(path, snapshot="1").close()


def test_members_of_an_ova(tmp_path: Path) -> None:
    """Through a window, nothing is extracted; of several one must be named; the archive is closed with the disk."""
    path = written(tmp_path, OVA)
    report = imgtool.inspect(path, ())
    disks = {one.path: one for one in report.members if one.format is not None}
    assert len(disks) > 1
    before = files()
    with pytest.raises(UsageError, match="several disks"):
        open_disk(path)
    with pytest.raises(UsageError, match="no disk called"):
        open_disk(path, member="no such")
    for name, member in disks.items():
        with open_disk(path, member=name) as disk:
            assert files() > before
            assert disk.size == member.virtual_size
            assert len(disk.read_at(0, disk.size)) == disk.size
        assert files() == before
    assert sorted(os.listdir(tmp_path)) == [path.name]


@pytest.mark.parametrize("format", [None, "qcow2", "raw"])
def test_a_member_of_no_container(format: str | None) -> None:
    """A name for what has no members is a mistake, and said so; nothing is opened instead."""
    with pytest.raises(UsageError, match=r"is no container but (qcow2|raw); leave the member 'x' out"):
        open_disk(FIXTURES / "qcow2" / "plain.qcow2", member="x", format=format)


def test_the_only_member_needs_no_name() -> None:
    """One disk in an archive, or in a wrapper."""
    for name in ("ova/small.ova.gz", "compressed/plain.zst"):
        report = report_of(fixture(name), checksums=("sha256",))
        with open_disk(io.BytesIO(fixture(name))) as disk:
            assert disk.size == report.virtual_size


@pytest.mark.parametrize("name", ["docker/save-modern.tar", "ovf/bare.ovf", "aki/bzimage.img", "ari/newc.cpio"])
def test_what_has_no_disk(name: str) -> None:
    """Containers without one, kernels, ramdisks: unsupported."""
    with pytest.raises(UnsupportedError):
        open_disk(io.BytesIO(fixture(name)))


@pytest.mark.parametrize("name", ["luks/luks1.luks.gz", "dmg/encrypted.dmg.gz"])
def test_what_is_encrypted(name: str) -> None:
    """Said as such."""
    with pytest.raises(EncryptedError, match="encrypted"):
        open_disk(io.BytesIO(fixture(name)))


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    """Nothing there, a folder, a broken header, a wrapper cut short: each its own error, and no file is left open."""
    before = files()
    with pytest.raises(NotFoundError):
        open_disk(tmp_path / "missing")
    with pytest.raises(NotRegularError):
        open_disk(tmp_path)
    broken = tmp_path / "broken.qcow2"
    broken.write_bytes(fixture("qcow2/plain.qcow2")[:50])
    with pytest.raises(DiskError, match="broken qcow2"):
        open_disk(broken)
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(os.urandom(100_000))[:-50_000])
    with pytest.raises(InputError):
        open_disk(cut)
    assert files() == before


def test_a_wrapper_that_holds_itself() -> None:
    """Wrappers around wrappers end at the limit."""
    data = b"the disk".ljust(512)
    for _ in range(9):
        data = gzip.compress(data)
    with pytest.raises(UnsupportedError, match="nested deeper"):
        open_disk(io.BytesIO(data))


def test_the_walk_over_all_tables_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a wrapper whose member is the wrapper itself."""
    from imgtool.inspection import deep

    source = BytesSource(gzip.compress(b"x"))
    asked: list[str] = []

    def itself(*_: object, **__: object) -> list[tuple[str, BytesSource]]:
        asked.append("again")
        return [("itself", source)]

    monkeypatch.setattr(deep, "disk_members", itself)
    deep.check_tables(source, DEFAULT)
    assert len(asked) == DEFAULT.depth
