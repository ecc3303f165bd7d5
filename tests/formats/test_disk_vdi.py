"""The guest's disk of a VDI where QEMU is silent: parents, zeroed blocks, extra bytes, maps that do not hold."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

import imgtool.disks.open as disks
from imgtool.disks.links import RefusedLinkError
from imgtool.errors import NotFoundError, UsageError
from imgtool.limits import DEFAULT
from imgtool.sources.disk import Disk, DiskError, NotFollowedError
from tests.formats.both_ways import kinds, readable, same_both_ways

FREE, ZERO = 0xFFFFFFFF, 0xFFFFFFFE
BLOCK = 4096
DATA = 2048  #: where the data area begins
ME, MINE, BASE, BASES = (bytes([number]) * 16 for number in (1, 2, 3, 4))
NULL = bytes(16)


def image(
    blocks: list[int | bytes],
    *,
    kind: int = 1,
    size: int | None = None,
    extra: int = 0,
    uuids: tuple[bytes, bytes, bytes, bytes] = (ME, MINE, NULL, NULL),
    count: int | None = None,
    block: int = BLOCK,
) -> bytes:
    """A VDI whose map says `blocks`: numbers as they are, or bytes, which get the next place in the file."""
    body, words = b"", []
    for content in blocks:
        if isinstance(content, bytes):
            words.append(len(body) // (block + extra))
            body += b"x" * extra + content.ljust(block, b"\0")
        else:
            words.append(content)
    size = len(blocks) * block if size is None else size
    head = struct.pack("<64sII", b"<<< made by hand >>>\n", 0xBEDA107F, 0x00010001)
    head += struct.pack("<III256sII", 0x180, kind, 0, b"", 512, DATA) + struct.pack("<IIIII", 0, 0, 0, 512, 0)
    head += struct.pack("<QIIII", size, block, extra, len(blocks) if count is None else count, len(blocks))
    head += b"".join(uuids)
    table = struct.pack(f"<{len(words)}I", *words)
    return (head.ljust(512, b"\0") + table).ljust(DATA, b"\0") + body


def opened(data: bytes) -> Disk:
    """The disk of a VDI in memory."""
    return disks.open_disk(io.BytesIO(data), format="vdi")


def of(letter: bytes) -> bytes:
    """A block of one letter."""
    return letter * BLOCK


def chain(folder: Path, **changes: bytes) -> Path:
    """A base, a differencing image upon it and one upon that, in a folder as VirtualBox names them."""
    uuids = {"base": BASE, "bases": BASES, **changes}
    (folder / "Machine.vdi").write_bytes(
        image([of(b"a"), of(b"b"), of(b"c"), FREE], uuids=(uuids["base"], uuids["bases"], NULL, NULL))
    )
    (folder / "other.vdi").write_bytes(image([of(b"z")], uuids=(b"9" * 16, b"9" * 16, NULL, NULL)))
    (folder / "broken.vdi").write_bytes(b"<<< nothing >>>".ljust(600, b"\0"))
    middle = "{01010101-0101-0101-0101-010101010101}.vdi"
    (folder / middle).write_bytes(
        image([FREE, of(b"B"), ZERO, FREE, FREE], kind=4, uuids=(ME, MINE, BASE, BASES), size=5 * BLOCK - 100)
    )
    top = folder / "top.vdi"
    top.write_bytes(image([FREE, FREE, FREE, of(b"T")], kind=3, uuids=(b"5" * 16, b"6" * 16, ME, MINE)))
    return top


def test_a_chain_by_uuid(tmp_path: Path) -> None:
    """Free blocks show the parent, zeroed ones hide it, what lies past its end is zeros."""
    chain(tmp_path)
    with disks.open_disk(tmp_path / "{01010101-0101-0101-0101-010101010101}.vdi", follow=True) as disk:
        assert disk.read_at(0, 1 << 20) == (of(b"a") + of(b"B") + bytes(3 * BLOCK))[:-100]
        assert [(extent.kind, extent.depth) for extent in disk.extents()] == [
            ("data", 1),
            ("data", 0),
            ("zero", 0),
            ("hole", 1),
            ("hole", 0),
        ]
    with disks.open_disk(tmp_path / "top.vdi", follow=True) as disk:
        assert disk.read_at(0, 1 << 20) == of(b"a") + of(b"B") + bytes(BLOCK) + of(b"T")
        assert [extent.depth for extent in disk.extents()] == [2, 1, 1, 0]


def test_a_parent_below_an_allowed_folder(tmp_path: Path) -> None:
    """VirtualBox keeps snapshots in a folder of their own: the base is found where it is allowed to look."""
    chain(tmp_path)
    snapshots = tmp_path / "Snapshots"
    snapshots.mkdir()
    for name in ("{01010101-0101-0101-0101-010101010101}.vdi", "top.vdi"):
        (tmp_path / name).rename(snapshots / name)
    with disks.open_disk(snapshots / "top.vdi", follow=tmp_path) as disk:
        assert disk.read_at(0, BLOCK) == of(b"a")
    with pytest.raises(NotFoundError, match="no vdi image with its parent's UUID"):
        disks.open_disk(snapshots / "top.vdi", follow=True)


def test_without_permission(tmp_path: Path) -> None:
    """Free blocks are references then, which cannot be read; the others can."""
    with disks.open_disk(chain(tmp_path)) as disk:
        assert kinds(disk) == [(3 * BLOCK, "reference", None), (BLOCK, "data", DATA)]
        assert disk.read_at(3 * BLOCK, BLOCK) == of(b"T")
        with pytest.raises(NotFollowedError):
            disk.read_at(2 * BLOCK, BLOCK + 1)


def test_a_parent_that_was_changed(tmp_path: Path) -> None:
    """A base that was written to since is another disk."""
    top = chain(tmp_path, bases=b"8" * 16)
    with pytest.raises(DiskError, match="last modification"):
        disks.open_disk(top, follow=True)


def test_a_circle(tmp_path: Path) -> None:
    """An image that is its own parent is not found below itself."""
    path = tmp_path / "x.vdi"
    path.write_bytes(image([FREE], kind=4, uuids=(ME, MINE, ME, MINE)))
    with pytest.raises(NotFoundError):
        disks.open_disk(path, follow=True)


def test_a_chain_too_deep(tmp_path: Path) -> None:
    """Chains meet the cap that others meet."""
    with pytest.raises(RefusedLinkError):
        disks.open_disk(chain(tmp_path), follow=True, limits=DEFAULT._replace(chain_depth=1))


@pytest.mark.parametrize("cap", [{"siblings": 0}, {"sibling_names": 0}])
def test_no_endless_search(tmp_path: Path, cap: dict[str, int]) -> None:
    """Only so many names of a folder are read, and only so many files looked into."""
    with pytest.raises(NotFoundError):
        disks.open_disk(chain(tmp_path), follow=True, limits=DEFAULT._replace(**cap))


def test_extra_bytes() -> None:
    """They come before each block's own."""
    disk = opened(image([of(b"a"), FREE, of(b"b"), of(b"c")], extra=512))
    assert kinds(disk) == [
        (BLOCK, "data", DATA + 512),
        (BLOCK, "hole", None),
        (BLOCK, "data", DATA + 1024 + BLOCK),
        (BLOCK, "data", DATA + 1536 + 2 * BLOCK),
    ]
    assert disk.read_at(0, 5 * BLOCK) == of(b"a") + bytes(BLOCK) + of(b"b") + of(b"c")
    same_both_ways(disk)


def test_a_last_block_that_is_cut() -> None:
    """Of the block that holds the end of the disk only the disk's part need be there."""
    data = image([of(b"a"), of(b"b")], size=BLOCK + 700)
    disk = opened(data[: DATA + BLOCK + 700])
    assert disk.read_at(BLOCK, BLOCK) == b"b" * 700
    same_both_ways(disk)


def test_entries_that_do_not_hold() -> None:
    """A block outside the file is data that cannot be read; its neighbours can."""
    disk = opened(image([of(b"a"), 7, 0xFFFFFFFD, of(b"b"), ZERO]))
    same_both_ways(disk)
    assert kinds(disk) == [
        (BLOCK, "data", DATA),
        (2 * BLOCK, "data", None),
        (BLOCK, "data", DATA + BLOCK),
        (BLOCK, "zero", None),
    ]
    assert [readable(disk, n * BLOCK, BLOCK) for n in range(5)] == [True, False, False, True, True]
    with pytest.raises(DiskError, match="does not hold"):
        disk.read_at(0, 2 * BLOCK)


def test_a_map_too_short() -> None:
    """Blocks that the map does not reach do not hold, however many the disk claims."""
    disk = opened(image([of(b"a")], size=1 << 62))
    assert kinds(disk) == [(BLOCK, "data", DATA), ((1 << 62) - BLOCK, "data", None)]
    assert disk.read_at(1, 10) == b"a" * 10
    assert not readable(disk, 1 << 61, 10)


def test_a_map_that_the_file_cuts() -> None:
    """A count of four thousand million blocks in a file of four."""
    disk = opened(image([FREE] * 384, size=0xFFFFFFFF * BLOCK, count=0xFFFFFFFF)[:1024])
    assert kinds(disk) == [(128 * BLOCK, "hole", None), ((0xFFFFFFFF - 128) * BLOCK, "data", None)]


@pytest.mark.parametrize("block", [0, 256, 1000, 1 << 29])
def test_block_sizes(block: int) -> None:
    """No disk with blocks that no reader has."""
    with pytest.raises(DiskError):
        opened(image([], size=512, block=block))


def test_huge_numbers() -> None:
    """Extra bytes and sizes over their caps."""
    with pytest.raises(DiskError, match="extra"):
        opened(image([FREE], extra=0xFFFFFFFF))
    with pytest.raises(DiskError, match="over the cap"):
        opened(image([FREE], size=1 << 63))


def test_no_snapshots() -> None:
    """There are none inside."""
    with pytest.raises(UsageError):
        disks.open_disk(io.BytesIO(image([FREE])), snapshot="1")
