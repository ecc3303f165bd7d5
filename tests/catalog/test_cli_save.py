"""imgtool image save: the data as it was registered, or nothing; on with it after a cut; converted."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from imgtool.catalog.images import New
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from imgtool.disks.open import open_disk
from imgtool.errors import DamagedError, ExistsError, OutputError, RefusedError, RejectedError, UnsupportedError
from imgtool.targets import kept
from imgtool.targets.hidden import lock
from tests.kit import ROOT, fixture
from tests.targets.kit import small_room

GOOD = fixture("qcow2/plain.qcow2")
MIB = 1 << 20


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """A catalog, as its administrator."""
    place = Config(location=str(tmp_path / "catalog"))
    with Catalog.open(identity="root:ops:admin", create=True, config=place) as found:
        yield found


def large(catalog: Catalog, tmp_path: Path, name: str = "large") -> tuple[str, bytes]:
    """An image of 4 MiB with a hole in it: its id, its bytes."""
    content = os.urandom(2 * MIB) + bytes(MIB) + os.urandom(MIB)
    path = tmp_path / "large.img"
    with open(path, "wb") as file:
        file.write(content[: 2 * MIB])
        file.seek(MIB, os.SEEK_CUR)
        file.write(content[3 * MIB :])
    return catalog.create(New(name, "ops", disk_format="raw"), path).id, content


def save(tmp_path: Path, *arguments: str, who: str = "root:ops:admin") -> Result:
    """The command."""
    from imgtool.cli.image.save import app

    with chdir(tmp_path):
        return CliRunner().invoke(app, [*arguments, "--config", "/dev/null", "--catalog", "catalog", "--as", who])


def hidden(folder: Path) -> list[str]:
    """What begins with a dot."""
    return sorted(name for name in os.listdir(folder) if name.startswith("."))


def cut(catalog: Catalog, called: str, target: Path, at: int) -> None:
    """A save that goes on later, and that is cut off after so many bytes."""

    def count(size: int) -> None:
        seen.append(size)
        if sum(seen) >= at:
            raise KeyboardInterrupt

    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        catalog.save(called, target, resume=True, progress=count)


def test_what_is_told(catalog: Catalog, tmp_path: Path) -> None:
    """A line, an object, nothing; the file is what was registered."""
    record = catalog.create(New("web", "ops"), _given(tmp_path))
    done = save(tmp_path, "web", "-o", "out.qcow2")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"out.qcow2: 1.75 KiB of image {record.id}, sha512 as recorded\n"
    assert (tmp_path / "out.qcow2").read_bytes() == GOOD
    again = save(tmp_path, "web", "-o", "out.qcow2")
    assert (again.exit_code, again.stdout) == (5, "")
    assert again.stderr == "imgtool: out.qcow2: exists; --force replaces it\n"
    told = save(tmp_path, record.id, "-o", "out.qcow2", "--force", "--json", "--progress", "json")
    assert json.loads(told.stdout) == record.to_dict()


def _given(tmp_path: Path, content: bytes = GOOD) -> Path:
    path = tmp_path / "given"
    path.write_bytes(content)
    return path


def test_to_a_pipe(catalog: Catalog, tmp_path: Path) -> None:
    """The bytes alone; a reader that goes away ends it quietly; a full device is told; damage is told at the end."""
    identifier, content = large(catalog, tmp_path)
    command = f"{sys.executable} -m imgtool image save large -o - --catalog {tmp_path}/catalog --as root:ops:admin"
    done = subprocess.run(f"{command} | sha512sum", shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == hashlib.sha512(content).hexdigest()
    told = subprocess.run(
        ["bash", "-c", f"{command} | head -c 5 >/dev/null; echo ${{PIPESTATUS[0]}}; {command} >/dev/full; echo $?"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "141\n5\n"
    assert told.stderr == "imgtool: standard output: No space left on device\n"
    damage(catalog, identifier)
    bad = subprocess.run(f"{command} >/dev/null", shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    assert bad.stderr == (
        f"imgtool: image {identifier}: its data in the store is damaged: not the sha512 that was recorded; `imgtool"
        " image verify` says what differs, and what to do\n"
    )


def damage(catalog: Catalog, identifier: str) -> None:
    """Change a byte of the data, behind the catalog's back."""
    blob = Path(catalog.store.place) / "blobs" / f"{identifier}.1"
    blob.chmod(0o600)
    with open(blob, "r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", ""), "the name of the file is empty"),
        (("-o", "x", "--level", "3"), "--level is for converting"),
        (("-o", "x", "--member", "y"), "--member is for converting"),
        (("-o", "x", "--if-unsafe", "allow"), "--if-unsafe is for converting"),
        (("-o", "x", "--to", "raw", "--resume"), "a conversion cannot go on"),
        (("-o", "-", "--to", "raw"), "which a pipe cannot"),
        (("-o", "-", "--resume"), "a pipe has nothing to go on with"),
        (("-o", "-", "--json"), "--json needs a file"),
        (("-o", "x", "--to", "nothing"), "no such format"),
        (("-o", "x", "--to", "raw", "--compress", "zstd"), "raw cannot be compressed"),
    ],
)
def test_what_does_not_go_together(catalog: Catalog, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """Is said, and nothing is written."""
    catalog.create(New("web", "ops"), _given(tmp_path))
    done = save(tmp_path, "web", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not (tmp_path / "x").exists()


def test_deactivated_data_is_for_administrators(catalog: Catalog, tmp_path: Path) -> None:
    """In every way that it could be had."""
    catalog.create(New("web", "lab", visibility="public"), _given(tmp_path))
    catalog.deactivate("web")
    for ways in (("-o", "x"), ("-o", "-"), ("-o", "x", "--to", "raw"), ("-o", "x", "--resume")):
        done = save(tmp_path, "web", *ways, who="ann:lab:member")
        assert (done.exit_code, done.stdout) == (6, "")
        assert done.stderr == "imgtool: image web is deactivated: only an administrator reads its data\n"
    assert hidden(tmp_path) == []
    assert not (tmp_path / "x").exists()
    assert save(tmp_path, "web", "-o", "x", "--to", "raw").exit_code == 0


def test_on_with_it_after_a_cut(catalog: Catalog, tmp_path: Path) -> None:
    """What was written stays, hidden, and only where that was asked for; the file has its name once it is whole."""
    identifier, content = large(catalog, tmp_path)
    out = tmp_path / "out"
    cut(catalog, identifier, out, MIB)
    assert not out.exists()
    assert hidden(tmp_path) == [f".imgtool-save-{identifier}.1"]
    left = tmp_path / hidden(tmp_path)[0]
    assert content.startswith(left.read_bytes())
    assert left.stat().st_size >= MIB
    assert stat.S_IMODE(left.stat().st_mode) == 0o600
    inode = left.stat().st_ino
    catalog.save(identifier, out, resume=True)
    assert out.read_bytes() == content
    assert out.stat().st_ino == inode
    assert out.stat().st_blocks * 512 < 4 * MIB
    assert stat.S_IMODE(out.stat().st_mode) == 0o644
    assert hidden(tmp_path) == []


def test_what_is_there_is_not_trusted(catalog: Catalog, tmp_path: Path) -> None:
    """Other bytes, data in a hole, more than there is: all of it is put right, and what is right is not written."""
    identifier, content = large(catalog, tmp_path)
    out, left = tmp_path / "out", tmp_path / f".imgtool-save-{identifier}.1"
    wrong = bytearray(content)
    wrong[10] ^= 1
    wrong[2 * MIB + 10] = 7
    left.write_bytes(wrong + b"more")
    left.chmod(0o600)
    catalog.save(identifier, out, resume=True)
    assert out.read_bytes() == content


def test_what_others_could_write_is_thrown_away(catalog: Catalog, tmp_path: Path) -> None:
    """Links, second names, files of others, FIFOs: none is written to, and none becomes the target."""
    identifier, content = large(catalog, tmp_path)
    folder, precious = tmp_path / "folder", tmp_path / "precious"
    folder.mkdir()
    left = folder / f".imgtool-save-{identifier}.1"
    precious.write_bytes(b"precious")
    makes = (
        lambda: left.symlink_to(precious),
        lambda: os.link(precious, left),
        lambda: os.mkfifo(left),
        lambda: (left.write_bytes(content), left.chmod(0o666)),
        lambda: (left.write_bytes(content), os.chown(left, 12345, 12345)),
    )
    for number, make in enumerate(makes):
        make()
        inode = os.lstat(left).st_ino
        held = os.open(left, os.O_PATH | os.O_NOFOLLOW)  # so that its inode is not given anew
        catalog.save(identifier, folder / f"out{number}", resume=True)
        made = folder / f"out{number}"
        assert made.read_bytes() == content
        assert (made.stat().st_ino != inode, made.stat().st_uid) == (True, os.geteuid())
        assert hidden(folder) == []
        os.close(held)
    assert precious.read_bytes() == b"precious"
    left.mkdir()
    with pytest.raises(OutputError, match="Is a directory"):
        catalog.save(identifier, folder / "x", resume=True)


def test_one_at_a_time_and_of_one_upload(catalog: Catalog, tmp_path: Path) -> None:
    """What another run holds is left to it; what is of other data of the image goes; other images' stays."""
    identifier, content = large(catalog, tmp_path)
    other, left = "12345678-1234-1234-1234-123456789abc", tmp_path / f".imgtool-save-{identifier}.1"
    with open(left, "w+b") as file:
        os.fchmod(file.fileno(), 0o600)
        assert lock(file.fileno())
        with pytest.raises(OutputError, match="another run writes it"):
            catalog.save(identifier, tmp_path / "out", resume=True)
    stale = [tmp_path / f".imgtool-save-{identifier}.{number}" for number in (2, 11)]
    kept = tmp_path / f".imgtool-save-{other}.1"
    for path in (*stale, kept):
        path.write_bytes(b"old")
    catalog.save(identifier, tmp_path / "out", resume=True)
    assert hidden(tmp_path) == [kept.name]
    assert (tmp_path / "out").read_bytes() == content


def test_a_run_that_ended_between_two_names(catalog: Catalog, tmp_path: Path) -> None:
    """The target is whole then, and the second name goes."""
    identifier, content = large(catalog, tmp_path)
    out, left = tmp_path / "out", tmp_path / f".imgtool-save-{identifier}.1"
    catalog.save(identifier, out)
    os.link(out, left)
    with pytest.raises(ExistsError):
        catalog.save(identifier, out, resume=True)
    assert hidden(tmp_path) == []
    assert out.read_bytes() == content


def test_damaged_data_is_not_kept(catalog: Catalog, tmp_path: Path) -> None:
    """Nor what it was to go on with."""
    identifier, _ = large(catalog, tmp_path)
    cut(catalog, identifier, tmp_path / "out", MIB)
    damage(catalog, identifier)
    with pytest.raises(DamagedError, match="not the sha512 that was recorded"):
        catalog.save(identifier, tmp_path / "out", resume=True)
    assert hidden(tmp_path) == []
    with pytest.raises(DamagedError):
        catalog.save_as(identifier, tmp_path / "out", "qcow2")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("how", "status", "resume"),
    [
        (signal.SIGINT, 130, False),
        (signal.SIGINT, 130, True),
        (signal.SIGTERM, 143, False),
        (signal.SIGKILL, -9, True),
    ],
)
def test_ended_in_the_middle(catalog: Catalog, tmp_path: Path, how: int, status: int, resume: bool) -> None:
    """By a signal: nothing half has the name, and what stays was asked for."""
    identifier, content = large(catalog, tmp_path)
    out = tmp_path / "folder" / "out"
    out.parent.mkdir()
    program = (
        "import os, sys\nfrom imgtool.cli import main\nfrom imgtool.catalog import saving\n"
        "real = saving.copy_source\n"
        "def copy(source, sink, names, progress):\n"
        "    def told(count):\n"
        "        print('some', flush=True)\n        sys.stdin.readline()\n"
        "    return real(source, sink, names, told)\n"
        "saving.copy_source = copy\nmain.main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, "image", "save", identifier, "-o", str(out), "--catalog",
         str(tmp_path / "catalog"), "--as", "root:ops:admin", *(["--resume"] if resume else [])],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    for _ in range(5):
        assert process.stdout.readline() == b"some\n"
        process.stdin.write(b"\n")
        process.stdin.flush()
    process.send_signal(how)
    _, told = process.communicate()
    assert (process.returncode, told) == (status, b"")
    assert os.listdir(out.parent) == ([f".imgtool-save-{identifier}.1"] if resume else [])
    catalog.save(identifier, out, resume=resume)
    assert os.listdir(out.parent) == ["out"]
    assert out.read_bytes() == content


def test_a_full_disk(catalog: Catalog, tmp_path: Path) -> None:
    """Nothing stays but what is to go on; it does once there is room."""
    identifier, content = large(catalog, tmp_path)
    with small_room(tmp_path, 2 * MIB) as room:
        with pytest.raises(OutputError, match="No space left"):
            catalog.save(identifier, room / "out")
        assert os.listdir(room) == []
        with pytest.raises(OutputError, match="No space left"):
            catalog.save(identifier, room / "out", resume=True)
        assert os.listdir(room) == [f".imgtool-save-{identifier}.1"]
        subprocess.run(["mount", "-o", "remount,size=8M", str(room)], check=True)
        catalog.save(identifier, room / "out", resume=True)
        assert (room / "out").read_bytes() == content


def test_not_into_the_catalog_itself(catalog: Catalog, tmp_path: Path) -> None:
    """A target there is refused, by whatever path it is named."""
    record = catalog.create(New("web", "ops"), _given(tmp_path))
    (tmp_path / "link").symlink_to(tmp_path / "catalog" / "blobs")
    for target in ("catalog/blobs/x", f"link/{record.id}.1", "catalog/catalog.db", "./catalog/../catalog/y"):
        for call in (
            lambda path=tmp_path / target: catalog.save("web", path, force=True),
            lambda path=tmp_path / target: catalog.save_as("web", path, "raw", force=True),
        ):
            with pytest.raises(OutputError, match="is in the catalog's own folder"):
                call()
    assert catalog.verify("web")


def test_converted(catalog: Catalog, tmp_path: Path) -> None:
    """The guest's bytes are the same, the format is another; the record's format says how it is read."""
    record = catalog.create(New("web", "ops"), _given(tmp_path))
    seen: list[int] = []
    total: list[int] = []
    told = catalog.save_as("web", tmp_path / "out.vmdk", "vmdk", progress=seen.append, watch=total.append)
    assert (told.path, told.source_format, told.format, told.verified) == (record.id, "qcow2", "vmdk", True)
    assert sum(seen) == total[0] > len(GOOD)
    with open_disk(_given(tmp_path)) as one, open_disk(tmp_path / "out.vmdk", format="vmdk") as other:
        assert one.read_at(0, one.size) == other.read_at(0, one.size)
    with pytest.raises(RejectedError):
        catalog.save_as("web", tmp_path / "x", "raw", policy=_allowing(tmp_path, "vmdk"))
    catalog.create(New("kernel", "ops"), _given(tmp_path, fixture("aki/bzimage.img")))
    with pytest.raises(UnsupportedError):
        catalog.save_as("kernel", tmp_path / "x", "raw")
    assert not (tmp_path / "x").exists()


def _allowing(tmp_path: Path, name: str) -> str:
    path = tmp_path / "policy.toml"
    path.write_text(f'[formats]\ndisk = ["{name}"]\n')
    return str(path)


def test_a_linked_file_that_changes(catalog: Catalog, tmp_path: Path) -> None:
    """Is found on every way out."""
    path = _given(tmp_path, bytes(MIB))
    catalog.create(New("web", "ops", disk_format="raw"), path, how="link")
    path.write_bytes(bytes(MIB - 1) + b"?")
    for number, call in enumerate(
        (
            lambda target: catalog.save("web", target),
            lambda target: catalog.save("web", target, resume=True),
            lambda target: catalog.save_as("web", target, "raw"),
            lambda target: _stream(catalog, target),
        )
    ):
        with pytest.raises(DamagedError):
            call(tmp_path / f"out{number}")
        assert not (tmp_path / f"out{number}").exists() or number == 3
    assert hidden(tmp_path) == []


def _stream(catalog: Catalog, target: Path) -> None:
    with open(target, "wb") as file:
        catalog.save_to("web", file)


def test_data_that_goes_while_it_is_asked_for(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted and scrubbed between the look at the record and the opening: said as that, not as lost data."""
    record = catalog.create(New("web", "ops"), _given(tmp_path))
    plain = catalog.store.open

    def late(key: str) -> Any:
        catalog.delete("web")
        catalog.scrub(delay=0)
        return plain(key)

    monkeypatch.setattr(catalog.store, "open", late)
    with pytest.raises(RefusedError, match="is deleted: there is no data to read"):
        catalog.save(record.id, tmp_path / "out")


def test_a_file_system_with_owners_of_its_own(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every file is somebody else's, and no mode can be changed: nothing is gone on with, all is written."""
    identifier, content = large(catalog, tmp_path)
    cut(catalog, identifier, tmp_path / "out", MIB)
    monkeypatch.setattr(kept.os, "geteuid", lambda: 12345)
    monkeypatch.setattr(kept.os, "fchmod", _not_permitted)
    catalog.save(identifier, tmp_path / "out", resume=True)
    assert (tmp_path / "out").read_bytes() == content
    assert hidden(tmp_path) == []


def _not_permitted(*_: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_folder_that_is_gone(catalog: Catalog, tmp_path: Path) -> None:
    """A name that starts from it leads nowhere, which is told."""
    identifier, _ = large(catalog, tmp_path)
    (tmp_path / "gone").mkdir()
    with chdir(tmp_path):
        os.chdir("gone")
        (tmp_path / "gone").rmdir()
        with pytest.raises(OutputError, match="out: No such file or directory"):
            catalog.save(identifier, "out")


def test_a_name_that_is_no_path(catalog: Catalog, tmp_path: Path) -> None:
    """Is told."""
    identifier, _ = large(catalog, tmp_path)
    for target in (f"{tmp_path}/a\0b", tmp_path / "missing" / "out", tmp_path):
        for resume in (True, False):
            with pytest.raises(OutputError):
                catalog.save(identifier, target, resume=resume)
