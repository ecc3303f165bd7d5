"""One pass over bytes: a ring of buffers, and digests that share the cores.

The reader fills one buffer while the digests work on those before it; a buffer returns to the ring when
the last digest is done with it, so memory is bounded.
Holes of a sparse file are not read: the digests are given zeros.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from threading import Condition, RLock
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from imgtool.ingest import digests
from imgtool.ingest.ranges import RangeDigests
from imgtool.sources.base import Source
from imgtool.sources.file import FileSource

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor
    from hashlib import _Hash

CHUNK = 256 * 1024  #: bytes of one buffer
RING = 8  #: buffers of a pump; all of them fit the caches of two cores
SMALL = 1024 * 1024  #: bytes that are digested without threads

#: Told how many bytes went by since it was last called.
Progress = Callable[[int], None]


class Slot:
    """A place in the ring: its buffer, and how many digests still hold it."""

    __slots__ = ("_buffer", "holders")

    def __init__(self) -> None:
        self._buffer: memoryview | None = None
        self.holders = 0

    @property
    def buffer(self) -> memoryview:
        """The slot's own memory, made when it is first used."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(CHUNK))
        return self._buffer


class _Consumer:
    """What wants the bytes in order: those that wait for it, and whether a thread is at work for it."""

    __slots__ = ("busy", "queue", "take")

    def __init__(self, take: Callable[[int, memoryview], None]) -> None:
        self.take = take
        self.queue: deque[tuple[int, memoryview, Slot]] = deque()
        self.busy = False


class Pump:
    """Feeds the same bytes to several digests, and to those of `ranges`. Use as a context: leaving it ends the
    threads.

    There is a thread for each core but one, which is the caller's: when the ring is full, the caller works, too.
    So no more threads run than cores are there, whatever the number of digests, and the one that is furthest
    behind is always the next (hashlib lets go of the interpreter's lock).
    """

    def __init__(self, names: Iterable[str], ranges: RangeDigests | None = None) -> None:
        self._hashes = {name: digests.new(name) for name in dict.fromkeys(names)}
        self._consumers = [_Consumer(_updates(each)) for each in self._hashes.values()]
        self._consumers += [_Consumer(ranges.take)] if ranges else []
        self._position = 0
        self._free = [Slot() for _ in range(RING)]
        self._lock = RLock()
        self._changed = Condition(self._lock)
        self._ended = False
        self._error: BaseException | None = None
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Pump:
        from concurrent.futures import ThreadPoolExecutor

        count = min(len(self._consumers), max(1, len(os.sched_getaffinity(0)) - 1))
        if count:
            self._pool = ThreadPoolExecutor(count, thread_name_prefix="digest-")
            for _ in range(count):
                self._pool.submit(self._work, lambda: False).add_done_callback(self._stop_on_error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._work(until=lambda: not any(each.busy or each.queue for each in self._consumers))
        finally:
            with self._changed:  # which a signal may have left held: it can raise just as the lock was taken
                self._ended = True
                self._changed.notify_all()
            with suppress(RuntimeError):
                while kind is not None:
                    self._lock.release()
            if self._pool is not None:
                self._pool.shutdown(wait=kind is None)
        if kind is None and self._error is not None:
            raise self._error

    def slot(self) -> Slot:
        """A free slot; when the whole ring is lent, works for the digests until one comes back."""
        if not self._free:
            self._work(until=lambda: bool(self._free))
        return self._free.pop()

    def send(self, slot: Slot, data: memoryview) -> None:
        """Give `data` to every digest; `slot` comes back when they are done."""
        slot.holders = len(self._consumers)
        with self._changed:
            if not self._consumers:
                self._free.append(slot)
            for each in self._consumers:
                each.queue.append((self._position, data, slot))
            self._changed.notify_all()
        self._position += len(data)

    def hexdigests(self) -> dict[str, str]:
        """Hex digests by algorithm; valid after the context was left."""
        return {name: hashed.hexdigest() for name, hashed in self._hashes.items()}

    def _stop_on_error(self, helper: Future[None]) -> None:
        """What fails in a thread ends the pump, and is raised where the caller next asks."""
        error = helper.exception()
        if error is not None:
            with self._changed:
                self._error = self._error or error
                self._ended = True
                self._changed.notify_all()

    def _work(self, until: Callable[[], bool]) -> None:
        """Take what waits, the longest queue first, until that holds or the pump has ended."""
        done: tuple[_Consumer, Slot] | None = None
        while True:
            with self._changed:
                if done is not None:
                    self._put_back(*done)
                while (each := None if until() or self._ended else self._furthest_behind()) is None:
                    if self._error is not None:
                        raise self._error
                    if self._ended or until():
                        return
                    self._changed.wait()
                each.busy = True
                position, data, slot = each.queue.popleft()
            each.take(position, data)
            done = each, slot

    def _furthest_behind(self) -> _Consumer | None:
        waiting = [each for each in self._consumers if each.queue and not each.busy]
        return max(waiting, key=lambda each: len(each.queue)) if waiting else None

    def _put_back(self, each: _Consumer, slot: Slot) -> None:
        each.busy = False
        slot.holders -= 1
        if not slot.holders:
            self._free.append(slot)
        self._changed.notify_all()


def _updates(hashed: _Hash) -> Callable[[int, memoryview], None]:
    return lambda position, data: hashed.update(data)


def digest_source(
    source: Source, names: Iterable[str], progress: Progress | None = None, ranges: RangeDigests | None = None
) -> dict[str, str]:
    """Hex digests of every byte of `source`, by algorithm, and those of `ranges`, in one pass. Raises InputError."""
    if source.size <= SMALL:
        return _digest_small(source, names, progress, ranges)
    pump = Pump(names, ranges)
    with pump:
        for slot, data in _filled(source, pump):
            pump.send(slot, data)
            if progress is not None:
                progress(len(data))
    return pump.hexdigests()


class Sink(Protocol):
    """What takes the bytes of a source in order."""

    def write(self, data: memoryview) -> None:
        """The next bytes."""

    def skip(self, length: int) -> None:
        """The next bytes are zeros, of a hole."""


def copy_source(source: Source, sink: Sink, names: Iterable[str], progress: Progress | None = None) -> dict[str, str]:
    """Give every byte of `source` to `sink`, and the digests of the same bytes, by algorithm. Raises InputError."""
    pump = Pump(names)
    with pump:
        for slot, data in _filled(source, pump):
            pump.send(slot, data)
            if data.obj is _ZEROS.obj:
                sink.skip(len(data))
            else:
                sink.write(data)
            if progress is not None:
                progress(len(data))
    return pump.hexdigests()


def _digest_small(
    source: Source, names: Iterable[str], progress: Progress | None, ranges: RangeDigests | None
) -> dict[str, str]:
    """Few bytes need no ring and no threads."""
    data = source.read_at(0, source.size)
    sums = {}
    if ranges:
        ranges.take(0, memoryview(data))
    for name in names:
        hashed = digests.new(name)
        hashed.update(data)
        sums[name] = hashed.hexdigest()
    if progress is not None:
        progress(len(data))
    return sums


def _filled(source: Source, pump: Pump) -> Iterator[tuple[Slot, memoryview]]:
    """The bytes of `source` in order, in slots of the ring; holes as zeros that were never read."""
    position = 0
    for start, length in source.data_extents():
        yield from _zeros(start - position, pump)
        position = start
        while position < start + length:
            slot = pump.slot()
            data = _read(source, position, min(CHUNK, start + length - position), slot)
            if not data:
                return
            position += len(data)
            yield slot, data
    yield from _zeros(source.size - position, pump)


def _read(source: Source, offset: int, length: int, slot: Slot) -> memoryview:
    if isinstance(source, FileSource):
        view = slot.buffer[:length]
        return view[: source.read_into(offset, view)]
    return memoryview(source.read_at(offset, length))


_ZEROS = memoryview(bytes(CHUNK))


def _zeros(length: int, pump: Pump) -> Iterator[tuple[Slot, memoryview]]:
    while length > 0:
        piece = min(length, CHUNK)
        yield pump.slot(), _ZEROS[:piece]
        length -= piece


def digest_stream(
    stream: Iterable[memoryview],
    pump: Pump,
    tap: Callable[[memoryview], None],
    progress: Progress | None = None,
) -> int:
    """Pass a stream through `tap` and the digests of `pump` (entered by the caller). Returns its bytes.

    A chunk is copied into the ring, since the stream may reuse its buffer.
    """
    total = 0
    for chunk in stream:
        tap(chunk)
        for start in range(0, len(chunk), CHUNK):
            piece = chunk[start : start + CHUNK]
            slot = pump.slot()
            view = slot.buffer[: len(piece)]
            view[:] = piece
            pump.send(slot, view)
        total += len(chunk)
        if progress is not None:
            progress(len(chunk))
    return total
