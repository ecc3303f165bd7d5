"""One suite for every Disk: the contract that sources/disk.py states, over whatever the registry can open.

The images are the fixtures of every format that has a disk, and small ones that qemu-img makes of known bytes.
"""

from __future__ import annotations

import functools
import io
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

import imgtool
from imgtool.detect.registry import Entry
from imgtool.disks.open import open_disk
from imgtool.errors import InputError
from imgtool.formats import FORMATS
from imgtool.model.values import Extent
from imgtool.sources.disk import ZEROS, Disk, NotFollowedError, merged
from imgtool.sources.flat import FlatDisk
from imgtool.sources.memory import BytesSource
from tests.kit import fixture, images, need, report_of, run

KIB = 1024

#: Formats that qemu-img writes.
WRITTEN = frozenset({"raw", "qcow2", "vmdk", "vdi", "vpc", "vhdx", "parallels", "qed", "qcow"})

#: Formats without an opener whose bytes lie in the file as they are.
FLAT = frozenset({"raw", "iso"})

READABLE: tuple[Entry, ...] = tuple(entry for entry in FORMATS if entry.disk is not None or entry.name in FLAT)

#: Of those, the ones qemu-img can make.
MADE = tuple(entry for entry in READABLE if entry.qemu in WRITTEN and entry.name != "iso")

#: Whole disks are read up to this size; of larger ones what lies about the edges of extents.
WHOLE = 8 << 20

BYTES = b"".join(
    (
        random.Random(21).randbytes(200_704),
        bytes(1 << 20),
        random.Random(22).randbytes(4_096),
        b"\7" * 65_536,
        bytes(700_416),
        random.Random(23).randbytes(66_048),
    )
)


@functools.cache
def refused(name: str) -> str | None:
    """Why the disk of a fixture cannot be opened; None where it can."""
    try:
        open_disk(io.BytesIO(fixture(name))).close()
    except InputError as error:
        return f"{type(error).__name__}: {error}"
    return None


@functools.cache
def samples() -> tuple[str, ...]:
    """What the suite runs over: fixtures that can be opened, and what qemu-img makes ("made/vdi")."""
    folders = {entry.name for entry in READABLE} | {"volumes"}
    found = [name for name in images() if name.split("/")[0] in folders and "hostile" not in name]
    made = [f"made/{entry.name}" for entry in MADE]
    return (*(name for name in found if refused(name) is None), *made, "flat/window", "flat/empty")


@functools.cache
def made_bytes(form: str, folder: Path) -> bytes:
    """An image of qemu's format `form` whose guest sees BYTES."""
    raw, path = folder / "bytes", folder / f"bytes.{form}"
    raw.write_bytes(BYTES)
    options = ("-o", "force_size=on") if form == "vpc" else ()
    run(need("qemu-img"), "convert", "-f", "raw", "-O", form, *options, str(raw), str(path))
    return path.read_bytes()


Opened = Callable[[], Disk]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what is made once."""
    return tmp_path_factory.mktemp("disks")


@pytest.fixture(params=samples())
def opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[Opened]:
    """Opens the sample; closed afterwards."""
    disks: list[Disk] = []
    room, _, rest = request.param.partition("/")

    def opener() -> Disk:
        if request.param == "flat/window":
            disks.append(FlatDisk(BytesSource(b"before" + BYTES + b"behind"), len(BYTES), 6))
        elif request.param == "flat/empty":
            disks.append(FlatDisk(BytesSource(b""), 0))
        elif room == "made":
            entry = next(entry for entry in READABLE if entry.name == rest)
            disks.append(open_disk(io.BytesIO(made_bytes(entry.qemu or "", folder)), format=entry.name))
        else:
            disks.append(open_disk(io.BytesIO(fixture(request.param))))
        return disks[-1]

    yield opener
    for disk in disks:
        disk.close()


def ranges(disk: Disk) -> Iterator[tuple[int, int]]:
    """Ranges to look at: the whole of a small disk, else what lies about the edges of extents."""
    if disk.size <= WHOLE:
        yield 0, disk.size
        return
    for number, extent in enumerate(disk.extents()):
        if number >= 50:
            break
        yield extent.start, min(extent.length, 192 * KIB)
        yield extent.start + max(0, extent.length - 64 * KIB), min(extent.length, 64 * KIB)


def holds(disk: Disk, start: int, length: int) -> bool:
    """Whether nothing of the range lies in a file that was not followed."""
    return all(extent.kind != "reference" for extent in disk.extents(start, length))


def clipped(extents: list[Extent], low: int, high: int) -> list[Extent]:
    """What the extents say of a range."""
    found: list[Extent] = []
    for extent in extents:
        start, end = max(low, extent.start), min(high, extent.start + extent.length)
        if start < end:
            host = extent.host_offset
            place = host + start - extent.start if host is not None and extent.kind != "compressed" else host
            found.append(extent._replace(start=start, length=end - start, host_offset=place))
    return found


def edges(disk: Disk, count: int = 40) -> list[int]:
    """Offsets worth reading at: ends of the disk, edges of extents and close by."""
    known = {0, 1, 511, disk.size // 2, disk.size - 1, disk.size}
    for extent, _ in zip(disk.extents(), range(count), strict=False):
        known |= {extent.start - 1, extent.start, extent.start + 1}
    return sorted(offset for offset in known if 0 <= offset <= disk.size)


def test_every_format_has_samples() -> None:
    """One that can be opened for each format; a fixture that cannot is broken, hostile or encrypted."""
    formats = {report_of(fixture(name), depth=0).format for name in samples() if name in images()}
    assert {entry.name for entry in READABLE} <= formats
    for name in images():
        if name.split("/")[0] in {entry.name for entry in READABLE} and refused(name) is not None:
            report = report_of(fixture(name), depth=0)
            told = report.encrypted or report.broken or "hostile" in name
            assert told, f"{name}: {refused(name)}"


@pytest.mark.parametrize("entry", MADE, ids=lambda entry: entry.name)
def test_known_bytes(entry: Entry, folder: Path) -> None:
    """What qemu-img wrote is what a guest sees; past it zeros, where a format has larger units."""
    with open_disk(io.BytesIO(made_bytes(entry.qemu or "", folder)), format=entry.name) as disk:
        assert disk.size >= len(BYTES)
        assert disk.read_at(0, disk.size) == BYTES.ljust(disk.size, b"\0")


def test_size_and_name(opened: Opened) -> None:
    """The size does not change; there is a name; `allocated` is bytes or unknown."""
    disk = opened()
    size = disk.size
    assert size >= 0
    assert isinstance(disk.name, str)
    list(zip(disk.extents(), range(100), strict=False))
    assert disk.size == size
    assert disk.allocated is None or disk.allocated >= 0


def test_bounds(opened: Opened) -> None:
    """Nothing for no length and past the end; what is over the end is cut; negative is the caller's bug."""
    disk = opened()
    for offset in (0, disk.size // 2, disk.size):
        assert disk.read_at(offset, 0) == b""
    for offset in (disk.size, disk.size + 1, 1 << 63, 1 << 80):
        assert disk.read_at(offset, 4_096) == b""
        assert list(disk.extents(offset)) == []
        assert list(disk.extents(offset, 512)) == []
    start = max(0, disk.size - 700)
    if holds(disk, start, 700):
        assert disk.read_at(start, 1 << 70) == disk.read_at(start, 700)
        assert len(disk.read_at(start, 1 << 70)) == disk.size - start
    for offset, length in ((-1, 10), (0, -1), (-5, -5)):
        with pytest.raises(ValueError, match="negative"):
            disk.read_at(offset, length)
        with pytest.raises(ValueError, match="negative"):
            list(disk.extents(offset, length))


def test_extents_tile(opened: Opened) -> None:
    """In order, without gap or overlap, no two that should be one, nothing empty."""
    disk = opened()
    extents = list(disk.extents())
    assert sum(extent.length for extent in extents) == disk.size
    assert all(extent.length > 0 for extent in extents)
    assert all(one.start + one.length == other.start for one, other in pairwise(extents))
    assert not extents or extents[0].start == 0
    assert list(merged(iter(extents))) == extents
    assert list(disk.extents(0, disk.size)) == list(disk.extents(0, 1 << 80)) == extents


def test_extents_of_a_range(opened: Opened) -> None:
    """What they say of a part is what the whole says of it."""
    disk = opened()
    extents = list(disk.extents())
    chance = random.Random(31)
    places = edges(disk, 12)
    for _ in range(60):
        low = chance.choice(places) if chance.random() < 0.6 else chance.randrange(disk.size + 1)
        high = chance.choice(places) if chance.random() < 0.6 else low + chance.randrange(300_000)
        low, high = min(low, high), min(disk.size, max(low, high))
        assert list(disk.extents(low, high - low)) == clipped(extents, low, high)


def test_extents_are_lazy(opened: Opened) -> None:
    """The first one is there without the others; stopping early is fine."""
    disk = opened()
    extents = disk.extents()
    first = next(extents, None)
    del extents
    assert (first is None) == (disk.size == 0)


def test_extents_agree_with_bytes(opened: Opened) -> None:
    """Zeros and holes read as zeros; references raise NotFollowedError; everything else can be read."""
    disk = opened()
    for low, length in ranges(disk):
        for extent in disk.extents(low, length):
            if extent.kind == "reference":
                with pytest.raises(NotFollowedError):
                    disk.read_at(extent.start, min(extent.length, 4_096))
                with pytest.raises(NotFollowedError):
                    disk.read_at(extent.start + extent.length - 1, 1)
                continue
            data = disk.read_at(extent.start, extent.length)
            assert len(data) == extent.length
            if extent.kind in ZEROS:
                assert data.count(0) == len(data)


def test_any_range_reads_alike(opened: Opened) -> None:
    """However a range is cut, the bytes are the same; their type is bytes."""
    disk = opened()
    chance = random.Random(32)
    for start, length in ranges(disk):
        if not holds(disk, start, length):
            continue
        whole = disk.read_at(start, length)
        assert type(whole) is bytes
        assert len(whole) == length
        cuts = sorted({0, length, *(chance.randrange(length + 1) for _ in range(20))})
        assert b"".join(disk.read_at(start + low, high - low) for low, high in pairwise(cuts)) == whole
    for offset in edges(disk):
        for length in (1, 2, 513, 70_000):
            if holds(disk, offset, length):
                assert disk.read_at(offset, length)[:1] == disk.read_at(offset, 1)


def test_data_extents(opened: Opened) -> None:
    """The runs of a Source: in order, inside the disk, and all that is not known to be zeros."""
    disk = opened()
    runs = list(disk.data_extents())
    assert all(start + length <= other for (start, length), (other, _) in pairwise(runs))
    assert all(length > 0 for _, length in runs)
    rest = [extent for extent in disk.extents() if extent.kind not in ZEROS]
    assert sum(length for _, length in runs) == sum(extent.length for extent in rest)
    assert [start for start, _ in runs][:1] == [extent.start for extent in rest][:1]


def test_concurrent_readers(opened: Opened) -> None:
    """Several threads read and list extents at once; each gets what it would get alone."""
    disk = opened()
    size = min(disk.size, WHOLE)
    chance = random.Random(33)
    wanted = [(chance.randrange(size + 1), chance.randrange(30_000)) for _ in range(60)]
    wanted = [(start, length) for start, length in wanted if holds(disk, start, length)]
    expected = [disk.read_at(start, length) for start, length in wanted]
    head = list(disk.extents(0, size))
    fresh = opened()

    def reads(seed: int) -> bool:
        order = list(range(len(wanted)))
        random.Random(seed).shuffle(order)
        same = all(fresh.read_at(*wanted[index]) == expected[index] for index in order)
        return same and list(fresh.extents(0, size)) == head

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(reads, range(6)))


def test_as_a_file(opened: Opened) -> None:
    """`open()` seeks, tells and reads as binary files do; closing it leaves the disk open."""
    disk = opened()
    length = min(disk.size, 5_000)
    with disk.open() as file:
        assert file.readable()
        assert file.seekable()
        assert not file.writable()
        assert file.tell() == 0
        assert file.seek(0, io.SEEK_END) == disk.size
        assert file.read(10) == b""
        assert file.seek(-length, io.SEEK_CUR) == disk.size - length
        with pytest.raises(ValueError, match="negative"):
            file.seek(-1)
        with pytest.raises(ValueError, match="whence"):
            file.seek(0, 9)
        assert file.tell() == disk.size - length
        if holds(disk, disk.size - length, length):
            assert file.read() == disk.read_at(disk.size - length, length)
            assert file.tell() == disk.size
        if holds(disk, 0, length):
            file.seek(0)
            buffer = bytearray(length)
            assert file.readinto(buffer) == length
            assert bytes(buffer) == disk.read_at(0, length)
            assert file.tell() == length
            file.seek(0)
            assert io.BufferedReader(file).read(length) == bytes(buffer)
    assert disk.read_at(disk.size, 1) == b""


def test_closing_twice_is_fine(opened: Opened) -> None:
    """As is leaving it as a context."""
    disk = opened()
    with disk as same:
        assert same is disk
    disk.close()
    disk.close()


@pytest.mark.parametrize("entry", MADE, ids=lambda entry: entry.name)
def test_the_disk_owns_its_file(entry: Entry, folder: Path, tmp_path: Path) -> None:
    """Closing the disk closes the file it was opened on."""
    path = tmp_path / "image"
    path.write_bytes(made_bytes(entry.qemu or "", folder))
    before = open_files(path)
    disk = imgtool.open_disk(path, format=entry.name)
    assert open_files(path) > before
    disk.close()
    assert open_files(path) == before


def open_files(path: Path) -> int:
    """How many descriptors of this process are of the file at `path`."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found += descriptor.readlink() == path
        except FileNotFoundError:  # the one that lists them
            continue
    return found


def test_a_file_is_closed_where_opening_fails(tmp_path: Path) -> None:
    """No descriptor is left behind by an image that cannot be opened."""
    path = tmp_path / "broken.qcow2"
    path.write_bytes(b"QFI\xfb\0\0\0\3" + bytes(40))
    before = open_files(path)
    with pytest.raises(InputError):
        open_disk(path)
    assert open_files(path) == before
