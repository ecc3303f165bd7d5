"""What comes into the store: one pass over the bytes, then a verdict on what the store has, not on what was offered.

A file is taken without copying where the store can share it; else its bytes go into the store and through the digests
at once. Holes of a sparse file stay holes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from imgtool.catalog.store import Import, Upload
from imgtool.errors import OutputError, RefusedError
from imgtool.findings.core import SEVERITIES, Finding
from imgtool.ingest.pump import Pump, copy_source, digest_source, digest_stream
from imgtool.ingest.ranges import RangeDigests
from imgtool.inspection.api import Input, known_kind, open_input
from imgtool.inspection.checks.general import changed_while_read, digest_differs
from imgtool.inspection.conductor import examine
from imgtool.inspection.integrity import integrity_findings, wanted_ranges
from imgtool.inspection.options import Options
from imgtool.inspection.subject import ExpectedDigest
from imgtool.inspection.validate import verdict_on
from imgtool.limits import DEFAULT, Limits
from imgtool.model.verdict import Claims, Verdict
from imgtool.policy.policy import Policy
from imgtool.sources.base import Source
from imgtool.sources.file import FileSource
from imgtool.sources.stream import seekable, stream_chunks, stream_name
from imgtool.units import human_size

if TYPE_CHECKING:
    from typing import IO

    from imgtool.ingest.pump import Progress


class Asked(NamedTuple):
    """How bytes are taken in. `names`: digests of them; `most`: bytes of an image, None for any; `room`:
    bytes that there is room for; `how`: of a file alone; `quarantine`: why the image is deactivated as soon as it is
    there; `sized`: whether the record's min_disk and min_ram are claims."""

    policy: Policy
    claims: Claims
    names: tuple[str, ...]
    how: Import = "copy"
    most: int | None = None
    room: int | None = None
    limits: Limits = DEFAULT
    quarantine: str | None = None
    sized: bool = True


class _Capped:
    """A sink that refuses more bytes than are allowed."""

    def __init__(self, upload: Upload, asked: Asked) -> None:
        self._upload = upload
        self._most = asked.most
        self._room = asked.room

    def write(self, data: memoryview) -> None:
        """The next bytes. Raises RefusedError, OutputError."""
        self._check(len(data))
        self._upload.write(data)

    def skip(self, length: int) -> None:
        """The next bytes are zeros. Raises RefusedError, OutputError."""
        self._check(length)
        self._upload.skip(length)

    def _check(self, length: int) -> None:
        if self._most is not None and self._upload.size + length > self._most:
            raise RefusedError(f"more than {human_size(self._most)}: larger than an image may be here")
        if self._room is not None and self._upload.size + length > self._room:
            raise RefusedError(f"more than {human_size(self._room)}, which is all that the quotas leave")


def take_in(upload: Upload, given: Input | Source, asked: Asked, progress: Progress | None = None) -> Verdict:
    """Bring an image into the store, uncommitted, and judge it; its digests are in the verdict's report.

    `given`: a path, or a binary file object, which is read to its end, or what was opened already. Raises InputError,
    OutputError, RefusedError for one that is too large.
    """
    if not isinstance(given, Source):
        known_kind(given)
    sink = _Capped(upload, asked)
    if isinstance(given, (str, os.PathLike, Source)) or seekable(given):
        with given if isinstance(given, Source) else open_input(given) as source:
            sums = _file(upload, source, sink, asked, progress)
            changed = source.changed() if isinstance(source, FileSource) else None
            name = source.name
    else:
        sums, changed, name = _stream(given, sink, asked, progress), None, stream_name(given)
    with upload.source() as stored:
        return _judge(stored, name, sums, changed, asked)


def _file(upload: Upload, source: Source, sink: _Capped, asked: Asked, progress: Progress | None) -> dict[str, str]:
    if asked.most is not None and source.size > asked.most:
        raise RefusedError(
            f"{source.name}: {human_size(source.size)}, and an image may have {human_size(asked.most)} here"
        )
    if isinstance(source, FileSource) and upload.take(source.name, source.fd, asked.how):
        with upload.source() as taken:
            return digest_source(taken, asked.names, progress)
    if asked.how == "link":
        raise OutputError(f"{source.name}: cannot be linked into the store, which is on another file system; copy it")
    return copy_source(source, sink, asked.names, progress)


def _stream(stream: IO[bytes], sink: _Capped, asked: Asked, progress: Progress | None) -> dict[str, str]:
    pump = Pump(asked.names)
    with pump:
        digest_stream(stream_chunks(stream), pump, sink.write, progress)
    return pump.hexdigests()


def _judge(stored: Source, name: str, sums: dict[str, str], changed: str | None, asked: Asked) -> Verdict:
    limits = asked.limits
    report = examine(stored, name, Options(limits, max(1, asked.policy.depth)))
    members = RangeDigests()
    members.want(wanted_ranges(report), stored.size, stored.read_at)
    found: list[Finding] = integrity_findings(report, members.found, limits)
    for name_, digits in _expected(asked.claims.expect):
        found.extend(digest_differs(ExpectedDigest(name_, digits, sums[name_]), limits))
    found.extend(changed_while_read(changed, limits))
    findings = tuple(sorted((*report.findings, *found), key=lambda one: SEVERITIES.index(one.severity)))
    return verdict_on(replace(report, checksums=sums, findings=findings), asked.policy, asked.claims, limits)


def _expected(given: Iterable[str]) -> list[tuple[str, str]]:
    pairs = (text.partition(":") for text in given)
    return [(name, digits) for name, _, digits in pairs]
