"""`imgtool.convert` over source × content × target, both engines: the same guest's bytes by qemu-img and by our own
digest, sound files, the options that were asked, and the size that was measured."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import imgtool
from imgtool.conversion.qemu_options import TARGETS as DRIVERS
from imgtool.disks.digest import block_digest
from imgtool.errors import RejectedError, UnsupportedError
from imgtool.model.conversion import Conversion
from tests.kit import fixture, need, qemu_info, run
from tests.oracle.matrix_kit import FOREIGN, LUKS, MATRIX, SOURCES, STREAM, Case, Source, Target, guest, named, sample

pytestmark = pytest.mark.oracle

#: Formats that `qemu-img check` knows and counts right.
CHECKED = {"qcow2", "vhdx", "vdi", "vmdk", "parallels"}

#: Makes a source with a content, or finds the one that was made: its path.
Images = Callable[[Source, str], Path]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    """Sources, each made once; nothing that converts them changes them."""
    folder = tmp_path_factory.mktemp("sources")
    guests: dict[str, Path] = {}
    made: dict[str, Path] = {}
    states: dict[Path, tuple[int, int]] = {}

    def image(source: Source, content: str) -> Path:
        place = folder / f"{source.name}-{content}"
        if place.name not in made:
            place.mkdir()
            if content not in guests:
                guests[content] = guest(folder / content, content)
            os.link(guests[content], place / "disk.raw")
            made[place.name] = source.build(place)
            states.update({path: _state(path) for path in place.iterdir()})
        return made[place.name]

    yield image
    assert {path: _state(path) for path in states} == states


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def agrees(images: Images, folder: Path, case: Case) -> None:
    """Fail where a conversion is not what it must be."""
    source, content, target = case
    image = images(source, content)
    raw, path = image.with_name("disk.raw"), folder / "new"
    words: dict[str, Any] = {"engine": target.engine, "options": target.options, **source.words, **target.words}
    secret: dict[str, Any] = {}
    if target.to == "luks":
        (folder / "secret").write_text("open, sesame")
        secret = {"secret_file": os.fspath(folder / "secret")}
    told = imgtool.measure(image, target.to, **words)
    try:
        done = imgtool.convert(image, path, target.to, **words, **secret)
    except RejectedError as error:  # by chance qemu-img puts a disc's mark where a probe looks for it in a file
        if source.form != "iso" or "IMG001" not in str(error):
            raise
        assert set(os.listdir(folder)) <= {"secret"}
        words["if_unsafe"] = "allow:CNV302,IMG013"
        done = imgtool.convert(image, path, target.to, **words, **secret)
    native = target.engine == "native"
    assert done.verified
    assert (done.engine, done.format) == ("native" if native else "qemu-img", target.to)
    assert (told.engine, told.exact, told.virtual_size) == (done.engine, native, done.virtual_size)
    assert done.file_size == path.stat().st_size
    if native:
        assert told.required == done.file_size
    assert set(os.listdir(folder)) <= {"new", "secret"}
    if target.to == "luks":
        same_behind_passphrase(raw, path, folder / "secret")
    else:
        same_guest(raw, path, target, done)
    as_asked(path, target, done)
    path.unlink()


def same_guest(raw: Path, path: Path, target: Target, done: Conversion) -> None:
    """Fail unless the target holds the guest's bytes, and zeros behind them, and its tables hold."""
    driver = DRIVERS[target.to]
    same = run(need("qemu-img"), "compare", "-f", "raw", "-F", driver, str(raw), str(path))
    assert b"Images are identical." in same
    if target.to in CHECKED:
        checked = subprocess.run([need("qemu-img"), "check", "-f", driver, str(path)], capture_output=True)
        assert checked.returncode == 0, checked
        assert b"No errors were found" in checked.stdout
    with imgtool.open_disk(path, format=target.to) as disk:
        size, digest = disk.size, block_digest(disk)
    assert size == done.virtual_size
    assert digest == done.digest == padded_digest(raw, size)


def padded_digest(raw: Path, size: int) -> str:
    """The digest of a raw file with zeros up to `size`."""
    longer = raw.with_name(f"disk-{size}")
    try:
        longer.write_bytes(raw.read_bytes().ljust(size, b"\0"))
        assert longer.stat().st_size == size
        with imgtool.open_disk(longer, format="raw") as disk:
            return block_digest(disk)
    finally:
        longer.unlink()


def same_behind_passphrase(raw: Path, path: Path, secret: Path) -> None:
    """The same for a luks: qemu-img reads it."""
    words = ["--object", f"secret,id=s,file={secret}", "--image-opts", f"driver=raw,file.filename={raw}"]
    same = run(need("qemu-img"), "compare", *words, f"driver=luks,key-secret=s,file.filename={path}")
    assert b"Images are identical." in same


def as_asked(path: Path, target: Target, done: Conversion) -> None:
    """Fail where `qemu-img info` tells of another size or other options, or 7-Zip finds fault with a stream."""
    info = qemu_info(path, DRIVERS[target.to])
    assert info["virtual-size"] == -(-done.virtual_size // 512) * 512
    for place, expected in target.told.items():
        value: Any = info
        for part in place.split("/"):
            value = value[int(part) if part.isdigit() else part]
        assert value == expected, place
    if (target.engine, target.options.get("subformat")) == ("native", STREAM):
        listed = run(need("7z"), "l", "-slt", str(path)).decode()
        assert '\nMethod = "streamOptimized" zlib Marker\n' in listed
        assert f"\nSize = {done.virtual_size}\n" in listed
        assert "\nEverything is Ok\n" in run(need("7z"), "t", str(path)).decode()


@pytest.mark.parametrize("case", sample(47), ids=named)
def test_sample(images: Images, tmp_path: Path, case: Case) -> None:
    """All pairs of a source's format, a content and a target's format; each source and each target."""
    agrees(images, tmp_path, case)


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=named)
def test_matrix(images: Images, tmp_path: Path, case: Case) -> None:
    """All of it."""
    agrees(images, tmp_path, case)


@pytest.mark.parametrize(
    "target",
    [one for one in FOREIGN if "compress" not in one.words and STREAM not in one.options.values()],
    ids=lambda target: target.name,
)
def test_estimates(images: Images, tmp_path: Path, target: Target) -> None:
    """A full disk into what qemu-img writes and does not compress: told within 1 %."""
    image = images(SOURCES[0], "random")
    words: dict[str, Any] = {"engine": target.engine, "options": target.options, **target.words}
    told = imgtool.measure(image, target.to, **words)
    done = imgtool.convert(image, tmp_path / "new", target.to, **words)
    assert not told.exact
    assert abs(told.required - done.file_size) <= done.file_size / 100


@pytest.mark.full
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_encrypted(images: Images, tmp_path: Path, source: Source) -> None:
    """Every source into a luks."""
    agrees(images, tmp_path, (source, "odd", LUKS))


@pytest.mark.parametrize("name", ["dmg/zlib.dmg", "bochs/growing.bochs", "cloop/plain.cloop"])
def test_formats_that_are_told_and_not_read(name: str, tmp_path: Path) -> None:
    """A clear failure, and nothing is left."""
    path = tmp_path / "image"
    path.write_bytes(fixture(name))
    with pytest.raises(UnsupportedError, match="cannot be read"):
        imgtool.convert(path, tmp_path / "new", "raw", if_unsafe="allow")
    assert os.listdir(tmp_path) == ["image"]
