"""How the data of images goes out: to a file, to a stream, or converted on the way. It is verified on every way.

The digest is over every byte that the store gave: in the same pass as a file or a stream is written, and before a
conversion, which then reads the very file that was digested, as it was. A target has its name only afterwards.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any

from imgtool.catalog.damage import algorithm_of
from imgtool.catalog.data import SHA512, opened
from imgtool.errors import DamagedError, InputError, OutputError, UnsupportedError
from imgtool.ingest.pump import copy_source, digest_source
from imgtool.model.image import ImageRecord
from imgtool.sources.file import FileSource
from imgtool.targets.hidden import sweep_named
from imgtool.targets.kept import KeptOutput, open_kept
from imgtool.targets.output import Output, open_output

if TYPE_CHECKING:
    from imgtool.catalog.images import Kept
    from imgtool.catalog.service import Catalog
    from imgtool.conversion.api import Job
    from imgtool.ingest.pump import Progress
    from imgtool.model.conversion import Conversion
    from imgtool.sources.base import Source

#: Told the bytes that will go by, before the first of them does.
Watch = Callable[[int], None]

#: The name of what a save leaves that goes on later: of the image, and of the upload that brought its data.
_LEFT = ".imgtool-save-"


def save(
    catalog: Catalog,
    called: str,
    target: str,
    force: bool,
    resume: bool,
    progress: Progress | None,
    watch: Watch | None,
) -> ImageRecord:
    """See `Catalog.save`."""
    kept, source = opened(catalog, called)
    with source:
        outside(catalog, target)
        if watch is not None:
            watch(source.size)
        if resume:
            _go_on(kept, source, target, force, progress)
            return kept.record
        with open_output(target, force=force) as output:
            sink = _At(output)
            sums = copy_source(source, sink, _names(kept.record), progress)
            output.truncate(sink.position)
            _right(kept.record, sink.position, sums)
            output.commit()
    return kept.record


def _go_on(kept: Kept, source: Source, target: str, force: bool, progress: Progress | None) -> None:
    """Write what an earlier run did not, and compare what it did."""
    record, name = kept.record, f"{_LEFT}{kept.blob}"
    ours = re.compile(rf"(?!{re.escape(name)}$){re.escape(_LEFT + record.id)}[.][0-9]+")
    with open_kept(target, name, force=force) as output:
        sweep_named(os.path.dirname(target) or ".", ours)  # of data that the image had before
        sink = _Over(output)
        sums = copy_source(source, sink, _names(record), progress)
        output.truncate(sink.position)
        try:
            _right(record, sink.position, sums)
        except DamagedError:
            output.discard()
            raise
        output.commit()


def save_to(
    catalog: Catalog, called: str, stream: IO[bytes], progress: Progress | None, watch: Watch | None
) -> ImageRecord:
    """See `Catalog.save_to`."""
    kept, source = opened(catalog, called)
    with source:
        if watch is not None:
            watch(source.size)
        sink = _Onto(stream)
        sums = copy_source(source, sink, _names(kept.record), progress)
        _right(kept.record, sink.position, sums)
    return kept.record


def save_as(
    catalog: Catalog,
    called: str,
    target: str,
    to: str,
    *,
    progress: Progress | None,
    watch: Watch | None,
    **how: Any,
) -> Conversion:
    """See `Catalog.save_as`. `how`: as `request_of` has it."""
    from imgtool.conversion.api import request_of, run_request

    kept, source = opened(catalog, called)
    with source:
        outside(catalog, target)
        path = catalog.store.path(str(kept.blob))
        if path is None:
            raise UnsupportedError(f"image {kept.record.id}: its store has no files, which is what conversions read")
        request = request_of(path, target, to, format=_format(kept.record), **how)

        def verified(job: Job) -> None:
            if watch is not None:
                watch(job.source.size + job.work)
            if isinstance(source, FileSource) and not os.path.sameopenfile(job.source.fd, source.fd):
                raise InputError(f"{path}: was replaced while it was opened; try again")
            _right(kept.record, job.source.size, digest_source(job.source, _names(kept.record), progress))

        return run_request(request, progress=progress, on_job=verified)._replace(path=kept.record.id)


def _format(record: ImageRecord) -> str | None:
    """What the data is read as, whatever its guest made it look like; None where what is in it decides."""
    if record.container_format not in ("bare", "ami"):
        return None
    return "raw" if record.disk_format == "ami" else record.disk_format


def outside(catalog: Catalog, target: str) -> None:
    """Raises OutputError for a target that lies in the catalog itself."""
    try:
        real = os.path.realpath(target)
    except ValueError as error:
        raise OutputError(f"{target!r}: {error}") from error
    except OSError as error:  # the current folder is gone
        raise OutputError(f"{target}: {error.strerror}") from error
    for place in (catalog.store.place, catalog.database.folder):
        if place is not None and real.startswith(os.path.join(os.path.realpath(place), "")):
            raise OutputError(f"{target}: is in the catalog's own folder; name a place elsewhere")


def _names(record: ImageRecord) -> tuple[str, ...]:
    return (SHA512 if record.os_hash_algo is None else algorithm_of(record),)


def _right(record: ImageRecord, size: int, sums: Mapping[str, str]) -> None:
    name = _names(record)[0]
    if size != record.size or sums[name] != record.os_hash_value:
        raise DamagedError(
            f"image {record.id}: its data in the store is damaged: not the {name} that was recorded; `imgtool image"
            " verify` says what differs, and what to do"
        )


class _At:
    """A sink that writes at places of an output, and leaves holes out where that reads as zeros."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.position = 0

    def write(self, data: memoryview) -> None:
        """The next bytes. Raises OutputError."""
        self._output.write_at(self.position, data)
        self.position += len(data)

    def skip(self, length: int) -> None:
        """The next bytes are zeros. Raises OutputError."""
        if not self._output.known_zeros:
            self._output.write_zeros(self.position, length)
        self.position += length


class _Over:
    """A sink that writes only what is not there already, which it looks at."""

    def __init__(self, output: KeptOutput) -> None:
        self._output = output
        self.position = 0

    def write(self, data: memoryview) -> None:
        """The next bytes. Raises OutputError."""
        if self._there(len(data)) != bytes(data):
            self._output.write_at(self.position, data)
        self.position += len(data)

    def skip(self, length: int) -> None:
        """The next bytes are zeros. Raises OutputError."""
        there = self._there(length)
        if there.count(0) != len(there):
            self._output.write_zeros(self.position, length)
        self.position += length

    def _there(self, length: int) -> bytes:
        return self._output.there(self.position, length) if self.position < self._output.found else b""


class _Onto:
    """A sink that writes to a stream, zeros too."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.position = 0

    def write(self, data: memoryview) -> None:
        """The next bytes. What the stream raises is the caller's to name."""
        view = data
        while view:
            view = view[self._stream.write(view) :]
        self.position += len(data)

    def skip(self, length: int) -> None:
        """The next bytes are zeros."""
        self.write(memoryview(bytes(length)))
