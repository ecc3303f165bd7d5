"""What tests of unsafe sources share: images that name other files, and what was given to qemu-img."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from imgtool.conversion.qemu_img import Tool
from tests.conversion.standin import HOSTILE, stand_in
from tests.kit import fixture, images, manifest, need, patched, patches, qemu_create, run

KIB = 1024
MIB = KIB * KIB

_REFERENCE = re.compile(r"[A-Z]{3}1\d\d")

#: Writes down how it was started, one JSON object a line, and is the real program then.
_RECORDS = """
with open({log!r}, "a") as file:
    file.write(json.dumps(record) + "\\n")
os.execv({real!r}, ["qemu-img", *sys.argv[1:]])
"""

#: What qemu-img may be given: flags that are known, open files, and options of letters and digits.
_FILE = r"/proc/self/fd/\d+"
_ARGUMENT = re.compile(
    r"convert|compare|-p|--object|--image-opts|-T|writeback|-t|unsafe|-m|16|-S|4k|-W|-c|-O|-o"
    r"|raw|qcow2|qcow|qed|vpc|vhdx|vdi|vmdk|parallels|luks"
    rf"|{_FILE}|secret,id=secret0,file={_FILE}"
    r"|driver=(raw|qcow2|vmdk|vdi|vhdx|luks),read-only=on,(backing=,)?(key-secret=secret0,)?"
    rf"file\.driver=(file|host_device),file\.filename={_FILE},file\.locking=auto"
    r"|[\w.-]+=[\w.-]+(,[\w.-]+=[\w.-]+)*",
    re.ASCII,
)


class Started(NamedTuple):
    """One start of qemu-img: its arguments, and the inode of each open file."""

    arguments: list[str]
    files: Mapping[str, int]

    @property
    def driver(self) -> str:
        """As what it reads the source."""
        return self.arguments[-2].partition(",")[0].removeprefix("driver=")

    @property
    def source(self) -> int:
        """The inode of what it reads."""
        return self.files[self.arguments[-2].partition("/proc/self/fd/")[2].partition(",")[0]]


class Recorder(NamedTuple):
    """The real qemu-img behind a program that writes down how it is started."""

    tool: Tool
    log: Path

    def started(self) -> list[Started]:
        """Every start so far; nothing that it was given is anything but what it may be given."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        seen = [json.loads(line) for line in lines]
        for one in seen:
            wrong = [text for text in one["argv"] if not _ARGUMENT.fullmatch(text)]
            assert not wrong, wrong
            assert one["cwd"] == "/"
            assert set(one["env"]) <= {"LC_ALL", "MALLOC_ARENA_MAX", "PATH", "LD_LIBRARY_PATH", "LC_CTYPE"}
        return [Started(one["argv"], {fd: inode for fd, (_, inode) in one["fds"].items()}) for one in seen]


def recorder(folder: Path) -> Recorder:
    """A recorder in a new folder."""
    folder.mkdir()
    log = folder / "log.jsonl"
    it = stand_in(folder, _RECORDS.format(log=str(log), real=need("qemu-img")))
    return Recorder(it.tool, log)


def told(codes: list[str] | tuple[str, ...]) -> bool:
    """Whether codes of a sample say that it names, or seems to name, something outside itself."""
    return any(_REFERENCE.fullmatch(code) for code in codes)


def referring() -> dict[str, tuple[bytes, tuple[str, ...]]]:
    """Every sample that names something outside itself, of every format: its bytes and its codes."""
    listed = {entry["file"]: tuple(entry.get("codes", ())) for entry in manifest()["image"]}
    found = {name: (fixture(name), listed[name]) for name in images() if told(listed[name])}
    return found | {one.name: (patched(one), one.raises) for one in patches() if told(one.raises)}


# --- images whose names lead to a trap -----------------------------------------------------------------------------


def _qcow2(folder: Path, trap: str, *, data_file: bool) -> bytes:
    """A qcow2 that says that its backing file, or its data, is the trap."""
    path = folder / "made.qcow2"
    if data_file:
        run(
            need("qemu-img"),
            "create",
            "-q",
            "-f",
            "qcow2",
            "-o",
            f"data_file={folder / 'made.data'}",
            str(path),
            "1M",
        )
        old, new = os.fsencode(folder / "made.data"), os.fsencode(trap)
        assert len(new) <= len(old)
        data = path.read_bytes()
        # the extension's length and its name, padded to eight bytes
        length = len(old).to_bytes(4, "big")
        assert data.count(length + old) == 1
        at = data.index(length + old)
        field = new.ljust(len(old), b"\0")
        return data[:at] + len(new).to_bytes(4, "big") + field + data[at + 4 + len(old) :]
    run(need("qemu-img"), "create", "-q", "-u", "-f", "qcow2", "-b", trap, "-F", "raw", str(path), "1M")
    return path.read_bytes()


def _backed(folder: Path, form: str, trap: str) -> bytes:
    path = folder / f"made.{form}"
    run(need("qemu-img"), "create", "-q", "-u", "-f", form, "-b", trap, "-F", "raw", str(path), "1M")
    return path.read_bytes()


def _vmdk(trap: str, kind: str = "FLAT", tail: str = " 0") -> bytes:
    """A text descriptor whose extent is the trap."""
    return (
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
        f'createType="monolithicFlat"\nRW 2048 {kind} "{trap}"{tail}\n'
        'ddb.adapterType = "ide"\nddb.geometry.cylinders = "2"\nddb.geometry.heads = "16"\n'
        'ddb.geometry.sectors = "63"\n'
    ).encode()


def _sparse(folder: Path, change: Callable[[bytearray], object]) -> bytes:
    """A monolithicSparse vmdk that was tampered with."""
    data = bytearray(qemu_create(folder / "made.vmdk", "vmdk", "1M").read_bytes())
    change(data)
    return bytes(data)


def trapped(folder: Path, trap: Path) -> dict[str, bytes]:
    """Images that lead to the trap, by every way that some reader goes, and polyglots that hide such an image."""
    name = str(trap)
    json_name = "json:" + json.dumps({"driver": "raw", "file": {"driver": "file", "filename": name}})
    backed, footer = _qcow2(folder, name, data_file=False), fixture("vhd/fixed.vhd.gz")[-512:]
    plain = qemu_create(folder / "plain.qcow2", "qcow2", "1M").read_bytes()
    text = _vmdk(name).ljust(KIB, b"\0")

    def capacity_zero(data: bytearray) -> None:
        """The extents of the descriptor count then, not the file's own grains."""
        data[12:20] = bytes(8)
        data[512 : 512 + KIB] = text

    def descriptor(data: bytearray) -> None:
        data[512 : 512 + KIB] = text

    found = {
        "backing": backed,
        "backing-json": _qcow2(folder, json_name, data_file=False),
        "backing-nbd": _qcow2(folder, f"nbd+unix:///?socket={name}", data_file=False),
        "data-file": _qcow2(folder, name, data_file=True),
        "backing-vmdk": _sparse(folder, lambda data: _parent(data, name)),
        "qed": _backed(folder, "qed", name),
        "qcow": _backed(folder, "qcow", name),
        "flat": _vmdk(name),
        "sparse": _vmdk(name, "SPARSE", ""),
        "vmfs": _vmdk(name, "VMFS", ""),
        "comments": b"# nothing\n" * 400 + _vmdk(name),
        "capacity-zero": _sparse(folder, capacity_zero),
        "flat-inside-sparse": _sparse(folder, descriptor),
        "qcow2-and-vhd": backed.ljust(MIB, b"\0") + footer,
        "text-and-vhd": _vmdk(name).ljust(MIB, b"\0") + footer,
        "text-and-iso": _iso(_vmdk(name)),
        "qcow2-and-iso": _iso(backed[: 32 * KIB]),
        "text-and-mbr": _mbr(_vmdk(name)),
        "raw-qcow2-tail": bytes(MIB) + backed,
        "plain-and-more": plain + backed,
    }
    return {key: value + bytes(-len(value) % 512) for key, value in found.items()}


def _parent(data: bytearray, name: str) -> None:
    """A parent, as a sparse vmdk's own descriptor names it."""
    text = bytes(data[512 : 512 + 20 * 512]).rstrip(b"\0")
    text = re.sub(rb"parentCID=\w+", b"parentCID=12345678", text)
    text = re.sub(rb"(createType=)", f'parentFileNameHint="{name}"\n'.encode() + rb"\1", text)
    data[512 : 512 + len(text)] = text


def _iso(head: bytes) -> bytes:
    """An ISO 9660 file system with something else in its system area."""
    image = bytearray(fixture("iso/plain.iso.gz"))
    image[: len(head)] = head
    return bytes(image)


def _mbr(head: bytes) -> bytes:
    """A disk with a partition table at the end of its first sector."""
    disk = bytearray(head[:440].ljust(MIB, b"\0"))
    disk[446:462] = bytes([0, 0, 2, 0, 0x83, 0, 0, 0]) + (1).to_bytes(4, "little") + (2047).to_bytes(4, "little")
    disk[510:512] = b"\x55\xaa"
    return bytes(disk)


def hostile(folder: Path, data: bytes) -> list[str]:
    """Files of every hostile name in a folder."""
    for name in HOSTILE:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(data)
    return [os.fsdecode(name) for name in HOSTILE]


def json_lines(data: bytes) -> list[dict[str, Any]]:
    """JSON Lines."""
    return [json.loads(line) for line in data.splitlines()]
