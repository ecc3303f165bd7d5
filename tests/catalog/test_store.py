"""The store of blobs: whole or not there, by keys alone, one upload a key."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from imgtool.catalog import held
from imgtool.catalog.store import Blob, LocalStore, blob_key, known_key
from imgtool.errors import InputError, NotFoundError, OutputError, RefusedError, UsageError
from tests.catalog.made import ID
from tests.kit import ROOT

KEY = f"{ID}.1"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "store")


def put(store: LocalStore, content: bytes = b"image", key: str = KEY) -> None:
    """A blob."""
    with store.begin(key) as upload:
        upload.write(content)
        upload.commit()


def content(store: LocalStore, key: str = KEY) -> bytes:
    """What a blob has."""
    with store.open(key) as source:
        return source.read_at(0, source.size)


def left(store: LocalStore) -> list[str]:
    """The files of a store."""
    return sorted(os.path.relpath(path, store.place) for path in Path(store.place).rglob("*") if path.is_file())


def test_written_and_read(store: LocalStore) -> None:
    """In pieces, with a hole; nothing is left beside."""
    with store.begin(KEY) as upload:
        upload.write(b"abc")
        upload.skip(1 << 20)
        upload.write(bytearray(b"def"))
        assert upload.size == (1 << 20) + 6
        with upload.source() as source:
            assert source.read_at(0, 4) == b"abc\0"
        assert store.size(KEY) is None
        upload.commit()
        with upload.source() as source:
            assert source.size == upload.size
    assert content(store) == b"abc" + bytes(1 << 20) + b"def"
    assert left(store) == [f"blobs/{KEY}"]
    assert list(store.blobs()) == [Blob(KEY, (1 << 20) + 6)]
    found = os.stat(store.path(KEY) or "")
    assert stat.S_IMODE(found.st_mode) == 0o400
    assert found.st_blocks * 512 < 1 << 20


def test_what_is_not_committed_is_gone(store: LocalStore) -> None:
    """Also after a failure."""
    with store.begin(KEY) as upload:
        upload.write(b"x" * 1000)
    assert left(store) == []

    def fail() -> None:
        with store.begin(KEY) as upload:
            upload.write(b"x" * 1000)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert left(store) == []
    with pytest.raises(NotFoundError, match=f"the data of image {ID} is missing"):
        store.open(KEY)
    assert (list(store.blobs()), list(store.claims()), store.size(KEY)) == ([], [], None)


def test_deleting(store: LocalStore) -> None:
    """Tells what was freed; once."""
    put(store, b"x" * 1000)
    assert store.delete(KEY) == 1000
    assert store.delete(KEY) is None
    assert left(store) == []


@pytest.mark.parametrize(
    "bad",
    ["", "..", ID, f"{ID}.0", f"{ID}.01", f"{KEY}/../../x", f"../{KEY}", f"{KEY}\n", KEY.upper(), f"{KEY}.part"],
)
def test_keys_are_no_paths(store: LocalStore, bad: str) -> None:
    """What is no id and number never becomes a path."""
    for call in (
        store.begin,
        store.open,
        store.size,
        store.path,
        store.delete,
        store.alive,
        store.discard,
        known_key,
    ):
        with pytest.raises(UsageError, match="is no key of a blob"):
            call(bad)
    assert not os.path.exists(store.place)


def test_keys() -> None:
    """An image's id, and the number of the upload."""
    assert blob_key(ID, 12) == f"{ID}.12"
    with pytest.raises(UsageError):
        blob_key("../x", 1)


def test_one_upload_a_key(store: LocalStore) -> None:
    """A second one is refused while the first is alive, and for ever once there is a blob."""
    with store.begin(KEY) as upload:
        assert store.alive(KEY)
        assert list(store.claims()) == [KEY]
        with pytest.raises(RefusedError, match="another upload into it is under way"):
            store.begin(KEY)
        with pytest.raises(RefusedError):
            store.discard(KEY)
        upload.write(b"first")
        upload.commit()
        assert store.alive(KEY)
    assert not store.alive(KEY)
    with pytest.raises(RefusedError, match="in the store already"):
        store.begin(KEY)
    assert content(store) == b"first"
    assert left(store) == [f"blobs/{KEY}"]


def test_what_a_killed_process_leaves(store: LocalStore) -> None:
    """Its claim ends with it; what it wrote is found, and can be removed or taken over."""
    program = (
        "import sys\nfrom imgtool.catalog.store import LocalStore\n"
        "upload = LocalStore(sys.argv[1]).begin(sys.argv[2])\nupload.write(b'half')\n"
        "print('at it', flush=True)\nsys.stdin.read()\n"
    )
    for then in ("discard", "begin"):
        process = subprocess.Popen(
            [sys.executable, "-c", program, store.place, KEY], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"at it\n"
        assert store.alive(KEY)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not store.alive(KEY)
        assert list(store.claims()) == [KEY]
        if then == "discard":
            assert store.discard(KEY) == 4
            assert left(store) == []
        else:
            put(store, b"anew")
            assert content(store) == b"anew"


@pytest.mark.parametrize("how", ["move", "link"])
def test_taking_a_file_itself(store: LocalStore, tmp_path: Path, how: str) -> None:
    """Nothing is read or written: the blob is the same file, and that it has two names is said, while it has."""
    given = tmp_path / "given.img"
    given.write_bytes(b"content")
    given.chmod(0o640)
    with open(given, "rb") as file, store.begin(KEY) as upload:
        assert upload.take(str(given), file.fileno(), how)  # type: ignore[arg-type] # it is one of the ways
        assert (upload.size, upload.linked) == (7, True)
        with upload.source() as source:
            assert source.read_at(0, 7) == b"content"
        upload.commit()
    assert os.path.samefile(given, store.path(KEY) or "")
    assert stat.S_IMODE(given.stat().st_mode) == 0o640
    assert store.linked(KEY)
    given.rename(tmp_path / "elsewhere")
    assert store.linked(KEY)
    (tmp_path / "elsewhere").unlink()
    assert not store.linked(KEY)
    assert left(store) == [f"blobs/{KEY}"]


def test_a_taken_file_stays_where_the_upload_fails(store: LocalStore, tmp_path: Path) -> None:
    """Its own name is not the store's to remove."""
    given = tmp_path / "given.img"
    given.write_bytes(b"content")
    with open(given, "rb") as file, store.begin(KEY) as upload:
        assert upload.take(str(given), file.fileno(), "move")
    assert given.read_bytes() == b"content"
    assert left(store) == []


def test_files_that_cannot_be_taken(store: LocalStore, tmp_path: Path) -> None:
    """One with other names is not moved, one that was replaced not taken; another file system's is copied."""
    given, other = tmp_path / "given.img", tmp_path / "other.img"
    given.write_bytes(b"content")
    other.hardlink_to(given)
    with open(given, "rb") as file, store.begin(KEY) as upload:
        assert not upload.take(str(given), file.fileno(), "move")
        given.unlink()
        assert not upload.take(str(given), file.fileno(), "link")
        given.write_bytes(b"another")
        assert not upload.take(str(given), file.fileno(), "link")
        assert upload.size == 0
        upload.write(b"copied")
        upload.commit()
    assert content(store) == b"copied"
    far = Path("/dev/shm") / f"imgtool-{os.getpid()}"
    far.write_bytes(b"far")
    try:
        with open(far, "rb") as file, store.begin(f"{ID}.2") as upload:
            assert not upload.take(str(far), file.fileno(), "link")
            assert not upload.take(str(far), file.fileno(), "copy")
    finally:
        far.unlink()


def test_strangers_in_the_folders(store: LocalStore) -> None:
    """Files of others are neither listed nor touched."""
    put(store)
    for name in ("blobs/notes.txt", "uploads/x.lock", f"blobs/{KEY}.bak"):
        Path(store.place, name).touch()
    assert list(store.blobs()) == [Blob(KEY, 5)]
    assert list(store.claims()) == []


def test_links_in_the_folders_are_not_followed(store: LocalStore, tmp_path: Path) -> None:
    """Neither a claim nor an upload writes through one that was put there."""
    put(store)
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    Path(store.place, "uploads", f"{ID}.2.lock").symlink_to(victim)
    with pytest.raises(OutputError):
        store.begin(f"{ID}.2")
    Path(store.place, "uploads", f"{ID}.3.part").symlink_to(victim)
    put(store, b"new", f"{ID}.3")
    assert content(store, f"{ID}.3") == b"new"
    assert victim.read_bytes() == b"precious"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A failure to write, with the place."""
    (tmp_path / "file").touch()
    store = LocalStore(tmp_path / "file")
    with pytest.raises(OutputError, match="the store cannot be written"):
        store.begin(KEY)


def test_no_space(tmp_path: Path) -> None:
    """It is told, and nothing stays."""
    full = tmp_path / "full"
    full.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(full)], check=False)
    if mounted.returncode != 0:  # without the right to mount, the limit of the process does the same
        full.rmdir()
        full.mkdir()
        program = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
    else:
        program = ""
    program += (
        "import signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from imgtool.catalog.store import LocalStore\nfrom imgtool.errors import OutputError\n"
        "store = LocalStore(sys.argv[1])\n"
        "try:\n"
        "    with store.begin(sys.argv[2]) as upload:\n        upload.write(bytes(1 << 20))\n"
        "except OutputError as error:\n    print(error)\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, str(full), KEY], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.rstrip().endswith(("No space left on device", "File too large"))
        assert left(LocalStore(full)) == []
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(full)], check=True)


def test_a_link_is_no_blob(store: LocalStore, tmp_path: Path) -> None:
    """What it leads to is not read, nor removed."""
    put(store)
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    path = Path(store.path(KEY) or "")
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(InputError, match="is a link, and no data of the store's"):
        store.open(KEY)
    store.delete(KEY)
    assert secret.read_bytes() == b"secret"


def test_looking_refuses_no_upload(store: LocalStore) -> None:
    """However long one takes to look whether a claim is held: the upload waits for it."""
    put(store, key=f"{ID}.9")
    path = Path(store.place) / "uploads" / f"{KEY}.lock"
    path.touch()
    with open(path, "rb") as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        timer = threading.Timer(0.8, fcntl.flock, (looker, fcntl.LOCK_UN))
        timer.start()
        put(store)
        timer.join()
    assert content(store) == b"image"


def test_a_fifo_holds_nobody_up(store: LocalStore) -> None:
    """Neither as a claim nor as a blob."""
    put(store, key=f"{ID}.9")
    os.mkfifo(Path(store.place) / "uploads" / f"{KEY}.lock")
    os.mkfifo(Path(store.place) / "blobs" / KEY)
    assert not store.alive(KEY)
    with pytest.raises(InputError, match="a FIFO"):
        store.open(KEY)


def test_locks_that_a_file_system_has_not(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are told, and nothing is claimed."""

    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    put(store, key=f"{ID}.9")
    (Path(store.place) / "uploads" / f"{KEY}.lock").touch()
    monkeypatch.setattr(held.fcntl, "flock", none)
    with pytest.raises(OutputError, match="No locks available"):
        store.begin(KEY)
    with pytest.raises(InputError, match="cannot tell whether a file is held"):
        store.alive(KEY)


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_what_the_store_makes_is_its_owners(store: LocalStore, mask: int) -> None:
    """Whatever the umask."""
    before = os.umask(mask)
    try:
        with store.begin(KEY) as upload:
            upload.write(b"image")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in Path(store.place).rglob("*")}
            upload.commit()
    finally:
        os.umask(before)
    assert modes == {"blobs": 0o700, "uploads": 0o700, f"{KEY}.lock": 0o600, f"{KEY}.part": 0o600}
    assert stat.S_IMODE(os.stat(store.path(KEY) or "").st_mode) == 0o400
