"""The guest's disk of a qcow2 against qemu-img: bytes as `convert -O raw` gives them, extents as `map` tells them."""

from __future__ import annotations

import itertools
import random
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

import imgtool.disks.open as disks
from tests.kit import need, qemu_create, qemu_info, run
from tests.oracle import disks_kit

pytestmark = pytest.mark.oracle

KIB, MIB = 1024, 1024**2
CLUSTERS = tuple(str(512 << step) for step in range(13))


class Case(NamedTuple):
    """One choice of every option; the first value of each in `VALUES` is the default."""

    compat: str = "1.1"
    cluster_size: str = "65536"
    extended_l2: str = "off"
    compression_type: str = "zlib"
    preallocation: str = "off"
    backing: str = "none"
    data_file: str = "none"
    size: str = "3M"
    fill: str = "writes"
    resized: str = "no"
    snapshots: str = "no"


VALUES: dict[str, tuple[str, ...]] = {
    "compat": ("1.1", "0.10"),
    "cluster_size": ("65536", *CLUSTERS),
    "extended_l2": ("off", "on"),
    "compression_type": ("zlib", "zstd"),
    "preallocation": ("off", "metadata", "falloc", "full"),
    "backing": ("none", "shorter", "longer", "qcow2", "chain"),
    "data_file": ("none", "named", "raw"),
    "size": ("3M", "512", "0", "1000000", "9000000"),
    "fill": ("writes", "empty", "compressed", "converted", "converted-packed", "mixed"),
    "resized": ("no", "grown", "shrunk"),
    "snapshots": ("no", "yes"),
}


def possible(case: Case) -> bool:
    """What qemu-img makes at all."""
    new = (case.compression_type == "zstd", case.extended_l2 == "on", case.data_file != "none")
    if case.compat == "0.10" and any(new):
        return False
    if case.extended_l2 == "on" and int(case.cluster_size) < 16384:
        return False
    packed = case.fill in ("compressed", "converted-packed", "mixed")
    if case.data_file != "none" and (packed or case.snapshots == "yes" or case.backing != "none"):
        return False
    if case.backing != "none" and (case.preallocation != "off" or case.fill.startswith("converted")):
        return False
    if packed and case.preallocation != "off":
        return False
    if case.resized == "grown" and case.extended_l2 == "on" and packed and case.backing != "none":
        return False
    if case.resized == "shrunk" and (case.snapshots == "yes" or case.data_file == "raw"):
        return False
    if case.resized != "no" and case.compat == "0.10" and (case.snapshots == "yes" or case.backing != "none"):
        return False
    return not (case.size in ("0", "512") and (case.resized == "shrunk" or packed or case.preallocation != "off"))


def singly() -> list[Case]:
    """Each value of each option once, the others at their default."""
    cases = [Case()._replace(**{option: value}) for option, values in VALUES.items() for value in values]
    return [case for case in dict.fromkeys(cases) if possible(case)]


def sampled(count: int, seed: int) -> list[Case]:
    """Random choices of all options together."""
    chance = random.Random(seed)
    found: dict[Case, None] = {}
    while len(found) < count:
        case = Case(*(chance.choice(values) for values in VALUES.values()))
        if possible(case):
            found[case] = None
    return list(found)


def paired() -> list[Case]:
    """Every pair of values of two options, the others at their default."""
    cases: dict[Case, None] = {}
    for first, second in itertools.combinations(VALUES, 2):
        for one, other in itertools.product(VALUES[first], VALUES[second]):
            cases[Case()._replace(**{first: one, second: other})] = None
    return [case for case in cases if possible(case)]


def name(case: Case) -> str:
    """What of a case is not the default."""
    return "-".join(value for value, usual in zip(case, Case(), strict=True) if value != usual) or "default"


def qemu_img(*arguments: object) -> bytes:
    """The output of qemu-img."""
    return run(need("qemu-img"), *(str(argument) for argument in arguments))


def size_of(path: Path) -> int:
    """The virtual size."""
    size: int = qemu_info(path, "qcow2")["virtual-size"]
    return size


def scribble(path: Path, case: Case, seed: str, form: str = "qcow2") -> None:
    """Random writes, zeros and discards; none where the case stays empty."""
    if case.fill != "empty" and size_of(path) if form == "qcow2" else True:
        disks_kit.scribble(path, form, (case, seed), count=20, unit=int(case.cluster_size))


def pack(path: Path, case: Case, size: int) -> None:
    """Compressed writes of whole clusters, each at most once; the last one may be cut by the disk's end."""
    chance = random.Random(repr(case))
    unit = int(case.cluster_size)
    clusters = range(-(-size // unit))
    commands: list[str] = []
    for cluster in sorted(chance.sample(clusters, min(len(clusters), 40))):
        length = min(unit, size - cluster * unit)
        commands += ["-c", f"write -c -P {chance.randrange(1, 256)} {cluster * unit} {length}"]
    run(need("qemu-io"), "-f", "qcow2", *commands, str(path))


def made(case: Case, folder: Path) -> Path:
    """The image of a case, with its backing and data files beside it."""
    path = folder / "image.qcow2"
    names = ("compat", "cluster_size", "extended_l2", "compression_type", "preallocation")
    options = [f"{option}={getattr(case, option)}" for option in names]
    if case.data_file != "none":
        options += [f"data_file={folder / 'data.raw'}", f"data_file_raw={'on' if case.data_file == 'raw' else 'off'}"]
    if case.fill.startswith("converted"):
        packed = ("-c",) if case.fill == "converted-packed" else ()
        disks_kit.convert(text_and_noise(case, folder), "raw", path, "qcow2", *options, extra=packed)
    else:
        qemu_create(path, "qcow2", case.size, *options, extra=backed(case, folder))
    size = size_of(path)
    if case.fill in ("compressed", "mixed"):
        pack(path, case, size)
    if case.fill in ("writes", "mixed"):
        scribble(path, case, "first")
    if case.snapshots == "yes":
        qemu_img("snapshot", "-c", "before", path)
        scribble(path, case, "second")
    if case.resized != "no":
        after = size * 3 + 512 if case.resized == "grown" else size // 1024 * 512
        qemu_img("resize", "-q", "-f", "qcow2", *(("--shrink",) if after < size else ()), path, after)
        scribble(path, case, "third")
    if case.snapshots == "yes":
        qemu_img("snapshot", "-c", "behind", path)
    return path


def text_and_noise(case: Case, folder: Path) -> Path:
    """A raw image of the case's size: text, noise and holes."""
    chance = random.Random(repr(case))
    raw = qemu_create(folder / "source.raw", "raw", case.size)
    size = raw.stat().st_size
    with open(raw, "r+b") as file:
        for _ in range(12):
            file.seek(chance.randrange(max(1, size)) // 4096 * 4096)
            text = b"".join(b"line %d of the guest's file\n" % chance.randrange(1000) for _ in range(4000))
            file.write(chance.choice((text, chance.randbytes(100_000)))[: max(0, size - file.tell())])
    return raw


def backed(case: Case, folder: Path) -> tuple[str, ...]:
    """The arguments that name a backing file, which is made."""
    if case.backing == "none":
        return ()
    form = "raw" if case.backing in ("shorter", "longer") else "qcow2"
    size = {"shorter": 777 * KIB, "longer": 20 * MIB, "qcow2": 2 * MIB + 512, "chain": 5 * MIB}[case.backing]
    base = folder / f"base.{form}"
    more: tuple[str, ...] = ()
    if case.backing == "chain":
        root = qemu_create(folder / "root.raw", "raw", 1 * MIB)
        scribble(root, case, "root", "raw")
        more = ("-b", str(root), "-F", "raw")
    qemu_create(base, form, size, extra=more)
    scribble(base, case, "base", form)
    return "-b", str(base), "-F", form


def agrees(case: Case, folder: Path) -> None:
    """Bytes and extents of a case are qemu-img's, and those of its snapshots as they are after going back to them."""
    path = made(case, folder)
    disks_kit.check(path, "qcow2", follow=True)
    for tag in ("before", "behind") if case.snapshots == "yes" else ():
        copy = folder / f"{tag}.qcow2"
        shutil.copyfile(path, copy)
        qemu_img("snapshot", "-a", tag, copy)
        with disks.open_disk(path, follow=True, snapshot=tag) as disk:
            assert disk.size == size_of(copy)
            disks_kit.same_bytes(disk, disks_kit.guest(copy, "qcow2"), pairs=200)
            disks_kit.same_map(disk, copy, "qcow2")


@pytest.mark.parametrize("case", [*singly(), *sampled(30, seed=3)], ids=name)
def test_as_qemu_img(case: Case, tmp_path: Path) -> None:
    """Each option once, and random choices of all of them."""
    agrees(case, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("case", [*paired(), *sampled(400, seed=4)], ids=name)
def test_as_qemu_img_all(case: Case, tmp_path: Path) -> None:
    """Every pair of options, and many random choices."""
    agrees(case, tmp_path)
