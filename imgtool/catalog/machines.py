"""Where the disks of instances are kept: an interface, and the folder of files that is the default.

Contract of a store of instances:
- Files are named by the instance's id and what they are, never by a name that a user chose.
- `hold` claims an instance: who makes, runs, flattens or removes its disks holds it, and nobody else does. A process
  that dies holds it no longer; a program that was given the claim's `fd` holds it as long as it runs.
- A disk appears whole, flushed, by `overlay` and `empty`; before it there is none. A snapshot on its way lies beside,
  and goes with the claim.
- What lies under a blob is only ever named, never opened, here.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Literal, NamedTuple, Self

from imgtool.catalog import records
from imgtool.catalog.held import failing, flush, hold, is_held, names, remove
from imgtool.catalog.store import known_key
from imgtool.catalog.swap import signature
from imgtool.errors import InputError, OutputError, RefusedError
from imgtool.targets.output import FileOutput

Disk = Literal["root", "ephemeral", "swap"]

#: Each disk of an instance, and how its file's name ends.
DISKS: dict[Disk, str] = {"root": "root.qcow2", "ephemeral": "ephemeral.raw", "swap": "swap.raw"}

_AN_ID = "an instance's id"
_RUNS = b"running"  #: what stands in a lock that a machine holds
_SNAPSHOT = "snapshot.qcow2"
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


class Files(NamedTuple):
    """What is there of an instance: bytes of all its files, and of a snapshot on its way among them."""

    id: str
    size: int
    snapshot: int


class Claim(ABC):
    """An instance that is held, and its disks. Use as a context. `fd`: what a program is given to hold it, too."""

    fd: int

    @abstractmethod
    def overlay(self, size: int, blob: str, driver: str) -> None:
        """Make the root disk of so many bytes over a blob; `driver`: what QEMU calls its format.

        Raises OutputError, UnsupportedError for a size that no disk has."""

    @abstractmethod
    def empty(self, disk: Disk, size: int) -> None:
        """Make another disk of so many bytes; of a swap disk its signature, too. Raises OutputError."""

    @abstractmethod
    def run(self) -> None:
        """Say that what holds it is a machine that runs. Raises OutputError."""

    @abstractmethod
    def snapshot(self) -> str:
        """Where a snapshot is made; what lies there from before is removed. Raises OutputError."""

    @abstractmethod
    def drop_snapshot(self) -> int:
        """Remove a snapshot that is on its way: the bytes that it had. Raises OutputError."""

    @abstractmethod
    def remove(self) -> int:
        """Remove all disks: the bytes that they had. Raises OutputError."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class InstanceStore(ABC):
    """Disks of instances by their ids. `place`: as it is shown."""

    place: str

    @abstractmethod
    def hold(self, identifier: str) -> Claim:
        """Claim an instance. Raises RefusedError where another process has it, OutputError, UsageError."""

    @abstractmethod
    def held(self, identifier: str) -> bool:
        """True while some process holds an instance. Raises InputError."""

    @abstractmethod
    def running(self, identifier: str) -> bool:
        """True while a machine that runs holds an instance. Raises InputError."""

    @abstractmethod
    def path(self, identifier: str, disk: Disk) -> str:
        """The file of a disk."""

    @abstractmethod
    def backing(self, blob: str) -> str:
        """What a root disk calls the blob below it."""

    @abstractmethod
    def missing(self, identifier: str, wanted: tuple[Disk, ...]) -> tuple[Disk, ...]:
        """Which of these disks are not there. Raises InputError."""

    @abstractmethod
    def kept(self) -> Iterator[Files]:
        """Every instance of which anything is there. Raises InputError."""


class LocalInstances(InstanceStore):
    """Files in `instances/` of a store's folder, beside its `blobs/`."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.place = os.fsdecode(folder)
        self._folder = os.path.join(self.place, "instances")

    def hold(self, identifier: str) -> Claim:
        identifier = records.uuid(_AN_ID, identifier)
        with failing(self.place):
            if not os.path.isdir(self._folder):
                os.makedirs(self._folder, mode=0o700, exist_ok=True)
                flush(self.place)
            lock = self._lock(identifier)
            fd = hold(lock, f"instance {identifier}: it runs, or another process is at it")
            try:
                os.ftruncate(fd, 0)
            except BaseException:
                os.close(fd)
                raise
        return _LocalClaim(self, self._folder, identifier, fd)

    def _lock(self, identifier: str) -> str:
        return os.path.join(self._folder, f"{identifier}.lock")

    def held(self, identifier: str) -> bool:
        return is_held(self._lock(records.uuid(_AN_ID, identifier)), self.place)

    def missing(self, identifier: str, wanted: tuple[Disk, ...]) -> tuple[Disk, ...]:
        there = set(names(self._folder))
        return tuple(disk for disk in wanted if f"{identifier}.{DISKS[disk]}" not in there)

    def running(self, identifier: str) -> bool:
        return self.held(identifier) and self._size(f"{identifier}.lock") == len(_RUNS)

    def path(self, identifier: str, disk: Disk) -> str:
        return os.path.join(self._folder, f"{records.uuid(_AN_ID, identifier)}.{DISKS[disk]}")

    def backing(self, blob: str) -> str:
        return f"../blobs/{known_key(blob)}"

    def kept(self) -> Iterator[Files]:
        found: dict[str, Files] = {}
        for name in names(self._folder):
            mine = _ID.search(name)
            if mine is not None:
                one = found.get(mine.group(), Files(mine.group(), 0, 0))
                size = self._size(name)
                found[one.id] = Files(one.id, one.size + size, one.snapshot + (size if _SNAPSHOT in name else 0))
        yield from found.values()

    def _size(self, name: str) -> int:
        try:
            return os.stat(os.path.join(self._folder, name), follow_symlinks=False).st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise InputError(f"{self._folder}: {error.strerror}") from error


class _LocalClaim(Claim):
    def __init__(self, store: LocalInstances, folder: str, identifier: str, fd: int) -> None:
        self._store = store
        self._folder = folder
        self._id = identifier
        self._runs = False
        self.fd = fd

    def _file(self, ending: str) -> str:
        return os.path.join(self._folder, f"{self._id}.{ending}")

    def overlay(self, size: int, blob: str, driver: str) -> None:
        from imgtool.formats.qcow2.write.overlay import write_overlay

        with FileOutput(self._file(DISKS["root"])) as output:
            write_overlay(output, size, self._store.backing(blob), driver)
            self._appear(output)

    def empty(self, disk: Disk, size: int) -> None:
        with FileOutput(self._file(DISKS[disk])) as output:
            output.truncate(size)
            if disk == "swap":
                output.write_at(0, signature(size))
            self._appear(output)

    def _appear(self, output: FileOutput) -> None:
        with failing(output.name):
            os.fchmod(output.fd, 0o600)
        output.commit()

    def run(self) -> None:
        self._runs = True
        with failing(self._folder):
            os.pwrite(self.fd, _RUNS, 0)

    def snapshot(self) -> str:
        self.drop_snapshot()
        return self._file(_SNAPSHOT)

    def drop_snapshot(self) -> int:
        path = self._file(_SNAPSHOT)
        return remove(path, path) or 0

    def remove(self) -> int:
        mine = [name for name in names(self._folder) if self._id in name and not name.endswith(".lock")]
        freed = sum(remove(os.path.join(self._folder, name), self._folder) or 0 for name in mine)
        with failing(self._folder):
            flush(self._folder)
        return freed

    def close(self) -> None:
        if self.fd < 0:
            return
        try:
            with suppress(OutputError):  # what stays is found by `kept`
                self.drop_snapshot()
                if not self._runs:
                    remove(self._file("lock"), self._folder)
        finally:
            os.close(self.fd)
            self.fd = -1
        if self._runs:
            self._unlock()

    def _unlock(self) -> None:
        """Remove the lock that a machine was given, unless that lives on and holds it."""
        with suppress(OSError, RefusedError):
            fd = hold(self._file("lock"), f"instance {self._id}: it runs still")
            try:
                os.unlink(self._file("lock"))
            finally:
                os.close(fd)
