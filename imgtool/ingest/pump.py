"""One pass over bytes: a ring of buffers, and a thread for each digest.

The reader fills one buffer while the digests work on those before it; a buffer returns to the ring when
the last digest is done with it, so memory is bounded and nobody waits for the slowest but the reader.
Holes of a sparse file are not read: the digests are given zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from threading import Lock, Thread
from types import TracebackType

from imgtool.ingest import digests
from imgtool.ingest.ranges import RangeDigests
from imgtool.sources.base import Source
from imgtool.sources.file import FileSource

CHUNK = 1024 * 1024  #: bytes of one buffer
RING = 16  #: buffers of a pump

#: Told how many bytes went by since it was last called.
Progress = Callable[[int], None]


class Slot:
    """A place in the ring: its buffer, and how many digests still hold it."""

    __slots__ = ("_buffer", "_free", "_holders", "_lock")

    def __init__(self, free: SimpleQueue[Slot]) -> None:
        self._buffer: memoryview | None = None
        self._free = free
        self._lock = Lock()
        self._holders = 0

    @property
    def buffer(self) -> memoryview:
        """The slot's own memory, made when it is first used."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(CHUNK))
        return self._buffer

    def lend(self, holders: int) -> None:
        """The next `holders` releases bring the slot back to the ring."""
        self._holders = holders
        if not holders:
            self._free.put(self)

    def release(self) -> None:
        """One holder is done."""
        with self._lock:
            self._holders -= 1
            last = not self._holders
        if last:
            self._free.put(self)


class _Worker(Thread):
    """What wants the bytes in order, in a thread of its own (hashlib lets go of the interpreter's lock)."""

    def __init__(self, name: str, take: Callable[[int, memoryview], None]) -> None:
        super().__init__(name=f"digest-{name}", daemon=True)
        self.queue: SimpleQueue[tuple[int, memoryview, Slot] | None] = SimpleQueue()
        self._take = take

    def run(self) -> None:
        while (item := self.queue.get()) is not None:
            position, data, slot = item
            self._take(position, data)
            slot.release()


class _Digest(_Worker):
    """The digest of everything."""

    def __init__(self, name: str) -> None:
        self.hash = digests.new(name)
        super().__init__(name, lambda position, data: self.hash.update(data))


class Pump:
    """Feeds the same bytes to several digests, and to those of `ranges`. Use as a context: leaving it ends the
    threads."""

    def __init__(self, names: Iterable[str], ranges: RangeDigests | None = None) -> None:
        self._digests = {name: _Digest(name) for name in dict.fromkeys(names)}
        self._workers: list[_Worker] = [*self._digests.values()]
        self._workers += [_Worker("ranges", ranges.take)] if ranges else []
        self._position = 0
        self._free: SimpleQueue[Slot] = SimpleQueue()
        for _ in range(RING):
            self._free.put(Slot(self._free))

    def __enter__(self) -> Pump:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.queue.put(None)
        if kind is None:
            for worker in self._workers:
                worker.join()
        while not self._free.empty():  # slots and their queue hold each other
            self._free.get()

    def slot(self) -> Slot:
        """A free slot; waits for the slowest digest when the whole ring is lent."""
        return self._free.get()

    def send(self, slot: Slot, data: memoryview) -> None:
        """Give `data` to every digest; `slot` comes back when they are done."""
        slot.lend(len(self._workers))
        for worker in self._workers:
            worker.queue.put((self._position, data, slot))
        self._position += len(data)

    def hexdigests(self) -> dict[str, str]:
        """Hex digests by algorithm; valid after the context was left."""
        return {name: worker.hash.hexdigest() for name, worker in self._digests.items()}


def digest_source(
    source: Source, names: Iterable[str], progress: Progress | None = None, ranges: RangeDigests | None = None
) -> dict[str, str]:
    """Hex digests of every byte of `source`, by algorithm, and those of `ranges`, in one pass. Raises InputError."""
    if source.size <= CHUNK:
        return _digest_small(source, names, progress, ranges)
    pump = Pump(names, ranges)
    with pump:
        for slot, data in _filled(source, pump):
            pump.send(slot, data)
            if progress is not None:
                progress(len(data))
    return pump.hexdigests()


def _digest_small(
    source: Source, names: Iterable[str], progress: Progress | None, ranges: RangeDigests | None
) -> dict[str, str]:
    """What fits one buffer needs no ring and no threads."""
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
