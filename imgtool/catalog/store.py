"""Where the bytes of images are kept: an interface, and the folder of files that is the default.

Contract of a store:
- A blob's key is an image's id and the number of the upload ("ID.N"), never a name that a user chose; anything else
  is a UsageError before a path is made of it. No key is ever used twice, so no upload overwrites another's blob.
- `begin` claims a key: while the claim is held `alive` says so to every process that shares the store, and a process
  that dies holds it no longer. What it wrote is then found by `claims`, and removed by `discard`.
- A blob appears whole, flushed, at `commit`; before it there is none under its key, whatever happens.
- `delete` of what is not there is no failure, and says so.
- A store has the data of one catalog, by its id: what another has would look to it as if nobody owned it. Nor is a
  place the catalog's that has nothing of what its records have: a disk may not be mounted there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Literal, NamedTuple, Self

from imgtool.catalog.database import FILE, MARK
from imgtool.catalog.held import failing, flush, hold, is_held, names, remove, same
from imgtool.errors import ExistsError, InputError, NotFoundError, OutputError, RefusedError, UsageError
from imgtool.sources.base import Source
from imgtool.sources.file import open_file

Import = Literal["copy", "move", "link"]

#: What tells the keys of all data that a catalog's records have.
Keys = Callable[[], frozenset[str]]

_FICLONE = 0x40049409

_KEY = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.[1-9][0-9]{0,8}")


class Blob(NamedTuple):
    """A blob of the store: its key and its bytes."""

    key: str
    size: int


def blob_key(identifier: str, attempt: int) -> str:
    """The key of the data that an image's upload of that number brings. Raises UsageError."""
    return known_key(f"{identifier}.{attempt}")


def known_key(text: str) -> str:
    """The text where it has the form of a key. Raises UsageError."""
    if not _KEY.fullmatch(text):
        raise UsageError(f"{text!r} is no key of a blob")
    return text


class Upload(ABC):
    """A claim on a key, and the bytes that come. Use as a context: what was not committed is thrown away."""

    key: str
    size: int = 0
    linked: bool = False

    @abstractmethod
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data`. Raises OutputError."""

    @abstractmethod
    def skip(self, length: int) -> None:
        """Append bytes that are zero, without the space for them where the store can. Raises OutputError."""

    @abstractmethod
    def take(self, path: str, fd: int, how: Import) -> bool:
        """Take a whole file without reading it, where the store can: `path` opened as `fd`. False where it cannot.

        copy: share its blocks. move: give it a second name, the first is the caller's to remove. link: share the
        file itself. Of both `linked` is true then: who has the first name can change it. Raises OutputError.
        """

    @abstractmethod
    def source(self) -> Source:
        """What came so far, to read."""

    @abstractmethod
    def commit(self) -> None:
        """Make the blob appear, whole and flushed. The claim is held until `close`. Raises OutputError."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the claim, and of what was not committed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BlobStore(ABC):
    """Bytes by their keys. `place`: as it is shown."""

    place: str

    @abstractmethod
    def belong(self, catalog: str, folder: str | None, keys: Keys, *, mark: bool = True) -> None:
        """Make the store the catalog's of that id, where it is nobody's and `mark` says so. `folder`: of the
        catalog's database, if any: what lies there is this catalog's. `keys`: asked for those of its records.

        Raises RefusedError where it is another's, or nobody's and has none of those; OutputError, InputError.
        """

    @abstractmethod
    def begin(self, key: str) -> Upload:
        """Claim a key. Raises RefusedError where another process has it, OutputError."""

    @abstractmethod
    def open(self, key: str) -> Source:
        """A blob to read. Raises NotFoundError, InputError."""

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Bytes of a blob; None where there is none. Raises InputError."""

    @abstractmethod
    def linked(self, key: str) -> bool:
        """True where a blob's bytes have another name, through which others may change them. Raises InputError."""

    @abstractmethod
    def path(self, key: str) -> str | None:
        """The blob's file, to be opened for reading only; None where the store has no files."""

    @abstractmethod
    def delete(self, key: str) -> int | None:
        """Remove a blob: the bytes that it had, None where it is not there. Raises OutputError."""

    @abstractmethod
    def blobs(self) -> Iterator[Blob]:
        """Every blob. Raises InputError."""

    @abstractmethod
    def claims(self) -> Iterator[str]:
        """Keys of uploads that were begun and have left something behind. Raises InputError."""

    @abstractmethod
    def alive(self, key: str) -> bool:
        """True while some process holds the claim on a key."""

    @abstractmethod
    def left(self, key: str) -> int:
        """Bytes that came of an upload so far, and are no blob yet. Raises InputError."""

    @abstractmethod
    def taken(self) -> int | None:
        """Bytes that the store takes of its disk; None where that cannot be told. Raises InputError."""

    @abstractmethod
    def discard(self, key: str) -> int:
        """Remove what a dead upload left under its key, but no blob: the bytes freed.

        Raises OutputError, RefusedError where the upload is alive.
        """


class LocalStore(BlobStore):
    """Files in `blobs/` of a folder; what is on its way lies in `uploads/` beside, with a lock that dies with its
    process."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.place = os.fsdecode(folder)
        self._blobs = os.path.join(self.place, "blobs")
        self._uploads = os.path.join(self.place, "uploads")

    def belong(self, catalog: str, folder: str | None, keys: Keys, *, mark: bool = True) -> None:
        path = os.path.join(self.place, MARK)
        inside = folder is not None and os.path.realpath(folder) == os.path.realpath(self.place)
        if not inside and os.path.lexists(os.path.join(self.place, FILE)):
            raise RefusedError(
                f"{self.place}: is the folder of another catalog; name one of its own by store.location"
            )
        found = self._mark(path)
        if found == catalog:
            return
        if found is not None and not inside:
            raise RefusedError(
                f"{self.place}: holds the data of another catalog; name another folder by store.location, or, where"
                f" this catalog was restored from a backup, remove {path}"
            )
        if found is None and not inside and (wanted := keys()) and wanted.isdisjoint(names(self._blobs)):
            raise RefusedError(
                f"{self.place}: has none of this catalog's data: is its disk mounted? Name the right folder by"
                f" store.location, or, where all of the data is lost, write {catalog} into {path}"
            )
        if not mark:
            return
        from imgtool.targets.output import FileOutput

        with failing(self.place):
            os.makedirs(self.place, mode=0o700, exist_ok=True)
        try:
            with FileOutput(path, force=inside) as output:
                output.write_at(0, catalog.encode())
                output.commit()
        except ExistsError:  # another process was faster: whose is it now?
            self.belong(catalog, folder, keys)

    def _mark(self, path: str) -> str | None:
        """The id of the catalog whose data it has; None where that is not said. Raises InputError."""
        try:
            with open(path, "rb") as file:
                return file.read(64).decode(errors="replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from error

    def begin(self, key: str) -> Upload:
        known_key(key)
        with failing(self.place):
            for folder in (self._blobs, self._uploads):
                if not os.path.isdir(folder):
                    os.makedirs(folder, mode=0o700, exist_ok=True)
                    flush(self.place)
            lock = self._claim(key)
        try:
            return _LocalUpload(key, lock, self._parts(key), os.path.join(self._blobs, key))
        except BaseException:
            with suppress(OutputError):
                remove(self._parts(key)[0], self.place)
            os.close(lock)
            raise

    def _claim(self, key: str) -> int:
        """The lock of a key, held."""
        return hold(self._parts(key)[0], f"image {key.partition('.')[0]}: another upload into it is under way")

    def _parts(self, key: str) -> tuple[str, str]:
        """The lock, and the data that is on its way."""
        return os.path.join(self._uploads, f"{key}.lock"), os.path.join(self._uploads, f"{key}.part")

    def open(self, key: str) -> Source:
        path = os.path.join(self._blobs, known_key(key))
        try:
            source = open_file(path, False)
            if not same(path, source.fd):
                source.close()
                raise InputError(f"{self.place}: {key} is a link, and no data of the store's")
            return source
        except NotFoundError:
            raise NotFoundError(f"{self.place}: the data of image {key.partition('.')[0]} is missing") from None

    def size(self, key: str) -> int | None:
        found = _looked_at(os.path.join(self._blobs, known_key(key)), self.place)
        return None if found is None else found.st_size

    def linked(self, key: str) -> bool:
        found = _looked_at(os.path.join(self._blobs, known_key(key)), self.place)
        return found is not None and found.st_nlink > 1

    def path(self, key: str) -> str | None:
        return os.path.join(self._blobs, known_key(key))

    def delete(self, key: str) -> int | None:
        freed = remove(os.path.join(self._blobs, known_key(key)), self.place)
        if freed is not None:
            with failing(self.place):
                flush(self._blobs)
        return freed

    def blobs(self) -> Iterator[Blob]:
        for name in names(self._blobs):
            size = self.size(name) if _KEY.fullmatch(name) else None
            if size is not None:
                yield Blob(name, size)

    def claims(self) -> Iterator[str]:
        keys = (_KEY.match(name) for name in names(self._uploads))
        yield from dict.fromkeys(found.group() for found in keys if found)

    def alive(self, key: str) -> bool:
        return is_held(self._parts(known_key(key))[0], self.place)

    def left(self, key: str) -> int:
        part = self._parts(known_key(key))[1]
        return sum(one.st_size for path in (part, f"{part}.new") if (one := _looked_at(path, self.place)))

    def taken(self) -> int | None:
        paths = [os.path.join(folder, name) for folder in (self._blobs, self._uploads) for name in names(folder)]
        return sum(one.st_blocks * 512 for path in paths if (one := _looked_at(path, self.place)))

    def discard(self, key: str) -> int:
        with failing(self.place):
            try:
                lock = self._claim(known_key(key))
            except FileNotFoundError:
                return 0
            try:
                path, part = self._parts(key)
                freed = sum(remove(one, self.place) or 0 for one in (part, f"{part}.new"))
                remove(path, self.place)
                return freed
            finally:
                os.close(lock)


class _LocalUpload(Upload):
    def __init__(self, key: str, lock: int, parts: tuple[str, str], target: str) -> None:
        self.key = key
        self._lock_path, self._part = parts
        self._target = target
        self._lock = lock
        self._own = True
        self._fd = -1
        with failing(target):
            if os.path.lexists(target):
                raise RefusedError(f"{key}: that data is in the store already")
            remove(self._part, target)
            self._fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        done = 0
        with failing(self._target):
            while done < len(view):
                done += os.pwrite(self._fd, view[done:], self.size + done)
        self.size += len(view)

    def skip(self, length: int) -> None:
        with failing(self._target):
            os.ftruncate(self._fd, self.size + length)
        self.size += length

    def take(self, path: str, fd: int, how: Import) -> bool:
        with failing(self._target):
            if how == "copy":
                taken = _cloned(fd, self._fd)
            else:
                taken = self._second_name(path, fd, how)
            if taken:
                self.size = os.fstat(self._fd).st_size
            return taken

    def _second_name(self, path: str, fd: int, how: Import) -> bool:
        """Give the file `fd` its name here; what stands at `path` by now may be another."""
        if how == "move" and not (os.fstat(fd).st_nlink == 1 and same(path, fd)):
            return False  # it has a name that would stay, through which others could write
        new = f"{self._part}.new"
        remove(new, self._target)
        try:
            os.link(path, new, follow_symlinks=True)
        except OSError as error:
            if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOENT):
                return False
            raise
        if not same(new, fd):
            os.unlink(new)
            return False
        os.replace(new, self._part)
        named = os.open(self._part, os.O_RDONLY | os.O_CLOEXEC)
        os.close(self._fd)
        self._fd = named
        self._own = False
        self.linked = True
        return True

    def source(self) -> Source:
        return open_file(self._part if os.path.exists(self._part) else self._target, False)

    def commit(self) -> None:
        with failing(self._target):
            if self._own:
                os.fchmod(self._fd, 0o400)
            os.fsync(self._fd)
            os.rename(self._part, self._target)
            flush(os.path.dirname(self._target))

    def close(self) -> None:
        if self._lock < 0:
            return
        try:
            if self._fd >= 0:
                os.close(self._fd)
            with suppress(OutputError):  # what stays is found by `claims`
                remove(f"{self._part}.new", self._target)
                remove(self._part, self._target)
                remove(self._lock_path, self._target)
        finally:
            os.close(self._lock)
            self._lock = -1


def _looked_at(path: str, place: str) -> os.stat_result | None:
    """What stands at a path itself; None where nothing does. Raises InputError."""
    try:
        return os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{place}: {error.strerror}") from error


def _cloned(source: int, target: int) -> bool:
    """Share the blocks of a whole file; False where the file system cannot."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        return False
    return True
