"""Decoded bytes at any place: a Source over a compressed stream.

Where decoding can begin are marks: at every stream, frame or member, at every block of an index, and for deflate at
copies of its decoder. A read goes on with a decoder that is under way before it, or begins at the nearest mark; what
was decoded last is kept. Where a method has no marks within (bzip2, one xz block, one zstd frame) going back means
to begin again. Memory is bounded by the caps `wrapper_kept`, `wrapper_marks`, `wrapper_runs` and by what the decoders
need.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from threading import Lock
from typing import NamedTuple

from imgtool.codecs.decode import Block, Decoding, check_caps, parts
from imgtool.codecs.feed import CHUNK, CodecError, Feed
from imgtool.codecs.machines import Inflater, gzip_follows, inflate, xz_block
from imgtool.limits import Limits
from imgtool.sources.base import Source, check_range
from imgtool.sources.disk import DiskError

_WINDOW_BITS = {"gzip": 31, "deflate": -15}


class _Mark(NamedTuple):
    """Where decoding can begin: `output` bytes come before, `position` is the place in the source (or the number of
    a block), `state` a decoder to go on with."""

    output: int
    position: int
    state: Inflater | None = None


class _Run:
    """A decoder under way. `base` is where `data` begins in the output, a multiple of CHUNK; `at` where it ends."""

    __slots__ = ("at", "base", "checked", "data", "parts", "steps")

    def __init__(self, mark: _Mark) -> None:
        self.at = mark.output
        self.base = -(-mark.output // CHUNK) * CHUNK
        self.data = bytearray()
        self.parts: Iterator[bytes] = iter(())
        self.steps = 0
        self.checked: int | None = 0 if mark.output == 0 else None

    def take(self, part: bytes) -> None:
        """The next bytes; those before `base` are passed over."""
        start, self.at = self.at, self.at + len(part)
        self.data += part if start >= self.base else part[self.base - start :]


class SeekableDecoding(Source):
    """The output of `decoding` (nothing of it was asked for yet) as a Source. Owns nothing.

    `size`: the bytes that come out, where it is known; else everything is decoded once to know. Raises DiskError,
    then and when reading, where the compressed data do not hold.
    """

    __slots__ = (
        "_blocks",
        "_declared",
        "_decoding",
        "_fault",
        "_feed",
        "_interval",
        "_kept",
        "_limits",
        "_lock",
        "_marks",
        "_runs",
    )

    def __init__(self, decoding: Decoding, name: str, limits: Limits, size: int | None = None) -> None:
        self.name = name
        self._decoding = decoding
        self._feed = decoding.feed
        self._limits = limits
        self._lock = Lock()
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._runs: list[_Run] = []
        self._interval = limits.wrapper_mark
        self._fault: tuple[int, str] | None = None
        self._blocks: tuple[Block, ...] = decoding.blocks() if decoding.blocks is not None else ()
        self._marks = [_Mark(block.output, index) for index, block in enumerate(self._blocks)]
        if self._blocks:
            size = self._blocks[-1].output + self._blocks[-1].size
        else:
            self._marks = [_Mark(0, self._feed.position)]
        self._declared = size
        self.size = self._whole() if size is None else size

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length)
        end = min(offset + length, self.size)
        found: list[bytes] = []
        while offset < end:
            index, within = divmod(offset, CHUNK)
            with self._lock:
                chunk = self._chunk(index)
            found.append(chunk[within : within + end - offset])
            offset += len(found[-1])
        return found[0] if len(found) == 1 else b"".join(found)

    def _whole(self) -> int:
        """Decode everything once, to know the size and all marks."""
        run = self._begin(0)
        while self._advance(run) is not None:
            pass
        return run.at

    def _chunk(self, index: int) -> bytes:
        """The bytes from `index` * CHUNK on, as many as a chunk has or as there are."""
        kept = self._kept.get(index)
        if kept is not None:
            self._kept.move_to_end(index)
            return kept
        if self._fault is not None and index >= self._fault[0]:
            raise DiskError(self._fault[1])
        run = self._begin(index)
        while (made := self._advance(run)) is not None:
            if made == index:
                return self._kept[index]
        if index in self._kept:
            return self._kept[index]
        raise self._failed(run, f"only {run.at} bytes come out")

    def _begin(self, index: int) -> _Run:
        """The run to reach a chunk with: one under way before it, or a new one from the nearest mark."""
        start = index * CHUNK
        number = bisect_right(self._marks, start, key=lambda mark: -(-mark.output // CHUNK) * CHUNK) - 1
        mark = self._marks[max(0, number)]
        near = max((run for run in self._runs if run.base <= start), key=lambda run: run.at, default=None)
        if near is not None and near.at >= mark.output:
            self._runs.remove(near)
            self._runs.append(near)
            return near
        run = _Run(mark)
        run.parts = self._parts(run, mark)
        self._runs.append(run)
        del self._runs[: -self._limits.wrapper_runs]
        return run

    def _advance(self, run: _Run) -> int | None:
        """Decode until one more chunk is there, and keep it; its number. None at the end of the data."""
        try:
            while len(run.data) < CHUNK:
                part = next(run.parts, None)
                if part is None:
                    self._ended(run)
                    return None
                run.take(part)
                if self._declared is not None and run.at > self._declared:
                    raise CodecError("malformed", f"more than the declared {self._declared} bytes come out")
        except CodecError as error:
            raise self._failed(run, error.message) from None
        except BaseException:
            self._runs.remove(run)
            raise
        index = run.base // CHUNK
        self._keep(index, bytes(memoryview(run.data)[:CHUNK]))
        del run.data[:CHUNK]
        run.base += CHUNK
        return index

    def _ended(self, run: _Run) -> None:
        if self._declared is not None and run.at != self._declared:
            raise CodecError("truncated", f"{run.at} bytes come out, {self._declared} are declared")
        expected = self._decoding.expected
        if (
            expected is not None
            and run.checked is not None
            and (run.at, run.checked) != (expected.size, expected.crc32)
        ):
            message = f"{run.at} bytes of CRC-32 {run.checked:08x} came out, "
            raise CodecError("malformed", message + f"{expected.size} of {expected.crc32:08x} are declared")
        self._runs.remove(run)
        if run.data:
            self._keep(run.base // CHUNK, bytes(run.data))

    def _failed(self, run: _Run, why: str) -> DiskError:
        self._runs = [other for other in self._runs if other is not run]
        message = f"{self.name}: {self._decoding.method}: {why.removeprefix(f'{self._decoding.method}: ')}"
        if self._fault is None or run.base // CHUNK < self._fault[0]:
            self._fault = (run.base // CHUNK, message)
        return DiskError(message)

    def _keep(self, index: int, chunk: bytes) -> None:
        self._kept[index] = chunk
        self._kept.move_to_end(index)
        while len(self._kept) > max(1, self._limits.wrapper_kept // CHUNK):
            self._kept.popitem(last=False)

    def _parts(self, run: _Run, mark: _Mark) -> Iterator[bytes]:
        """What comes out from a mark on, under the caps; its CRC-32 where that is to be checked."""
        decoding, first = self._decoding, self._feed
        for feed, part in self._decoded(run, mark):
            run.steps += 1
            made, used = run.at + len(part), feed.position - first.start
            check_caps(decoding.method, self._limits, made, used, run.steps, feed.position)
            if decoding.expected is not None and run.checked is not None:
                from zlib_ng import zlib_ng

                run.checked = zlib_ng.crc32(part, run.checked)
            yield part

    def _decoded(self, run: _Run, mark: _Mark) -> Iterator[tuple[Feed, bytes]]:
        method, source = self._decoding.method, self._feed.source
        if self._blocks:
            for block in self._blocks[mark.position :]:
                feed = Feed(source, block.position, block.position + block.length, block.prefix)
                for part in xz_block(feed, self._limits, block.size):
                    yield feed, part
            return
        feed = self._feed.again(None if mark.output == 0 else mark.position)
        if method not in _WINDOW_BITS:
            for part in parts(method, feed, self._limits, lambda: self._mark(run.at, feed.position)):
                yield feed, part
            return
        state = mark.state.copy() if mark.state is not None else None
        first = True
        while first or (method == "gzip" and gzip_follows(feed)):
            for part in inflate(
                feed, method, _WINDOW_BITS[method], state, lambda machine: self._mark(run.at, feed.position, machine)
            ):
                yield feed, part
            first, state = False, None

    def _mark(self, output: int, position: int, machine: Inflater | None = None) -> None:
        """Remember that decoding can begin here, where the last mark is far enough away; every other one is
        forgotten when there are too many."""
        if output < self._marks[-1].output + self._interval:
            return
        self._marks.append(_Mark(output, position, machine.copy() if machine is not None else None))
        if len(self._marks) > self._limits.wrapper_marks:
            del self._marks[1::2]
            self._interval *= 2
