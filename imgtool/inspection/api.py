"""The library calls: `imgtool.inspect` and `imgtool.checksum`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import IO, TYPE_CHECKING

from imgtool.errors import UsageError
from imgtool.findings.core import SEVERITIES, Finding
from imgtool.ingest.digests import algorithm, parse_expected
from imgtool.ingest.ranges import Range, RangeDigests
from imgtool.inspection.checks.general import changed_while_read, digest_differs
from imgtool.inspection.conductor import examine
from imgtool.inspection.integrity import integrity_findings, wanted_ranges
from imgtool.inspection.options import Options
from imgtool.inspection.subject import ExpectedDigest
from imgtool.limits import DEFAULT, Limits
from imgtool.model.report import Report
from imgtool.sources.base import Source
from imgtool.sources.file import FileSource, open_file
from imgtool.sources.stream import seekable, stream_chunks, stream_name

if TYPE_CHECKING:
    from imgtool.ingest.pump import Progress

#: A path, or a binary file object.
Input = str | os.PathLike[str] | IO[bytes]


def inspect(
    path_or_fileobj: Input,
    checksums: Iterable[str] = ("sha256",),
    *,
    expect: Iterable[str] = (),
    depth: int = DEFAULT.depth,
    structures: bool = False,
    device: bool = False,
    limits: Limits = DEFAULT,
    progress: Progress | None = None,
    on_facts: Callable[[Report], None] | None = None,
) -> Report:
    """The report of an image: what it really is, its virtual size in bytes, what is inside, what is wrong.

    `path_or_fileobj`: a path, or a binary file object; one that cannot seek is read once, as a stream.
    `checksums`: digests of the whole file to compute, and in the same pass those that a container states of its
    members; `()` reads headers only. `expect`: digests as
    "ALG:HEX" that the file must have (a finding where it has not). `depth`: nesting of containers that is
    looked into, 0 for this file's own headers. `on_facts` is called with the report before the digests are
    computed, since those can take long. `progress` is told the bytes that went by.

    Whatever is in the file, a Report comes back. Raises NotFoundError, NotRegularError or InputError when
    the input cannot be read, UsageError for an unknown digest and for what is neither a path nor a binary
    file object.
    """
    known_kind(path_or_fileobj)
    expected = tuple(parse_expected(text) for text in expect)
    wanted = tuple(dict.fromkeys([algorithm(name) for name in checksums] + [name for name, _ in expected]))
    options = Options(limits, depth, structures, whole=bool(wanted), verify=bool(wanted))
    then = None if on_facts is None else lambda source, report: on_facts(report)
    return inspect_as(path_or_fileobj, wanted, expected, options, device=device, progress=progress, then=then)


def inspect_as(
    path_or_fileobj: Input,
    wanted: tuple[str, ...],
    expected: tuple[tuple[str, str], ...],
    options: Options,
    *,
    device: bool = False,
    progress: Progress | None = None,
    then: Callable[[Source, Report], None] | None = None,
) -> Report:
    """The report of an input, as `options` say. `wanted` digests are computed and compared with those `expected`.

    `then` is called with the source and its report before digests are computed; not for a stream, which is read
    once. Raises as `inspect` does.
    """
    if not isinstance(path_or_fileobj, (str, os.PathLike)) and not seekable(path_or_fileobj):
        return _inspect_stream(path_or_fileobj, wanted, expected, options, progress)
    with open_input(path_or_fileobj, device) as source:
        report = examine(source, source.name, options)
        if then is not None:
            then(source, report)
        members = RangeDigests(wanted_ranges(report) if options.verify else ())
        sums = _digests(source, wanted, progress, members) if wanted or members else {}
        return _finish(report, source, sums, members.found, expected, options)


def checksum(
    path_or_fileobj: Input,
    algorithms: Iterable[str] | None = None,
    *,
    content: bool = False,
    format: str | None = None,
    follow: bool | str | os.PathLike[str] = False,
    device: bool = False,
    limits: Limits = DEFAULT,
    progress: Progress | None = None,
) -> dict[str, str]:
    """Hex digests of all bytes of a file (or stream), by algorithm, in one pass; sha256 when none is named.

    `content`: of what a guest sees instead, equal for the same disk in any format; `blocks` is a fast tree hash then,
    and what is computed when no algorithm is named. `format`, `follow` are as for `open_disk` and go with it.

    Raises UsageError for an unknown algorithm, InputError when the input cannot be read.
    """
    known_kind(path_or_fileobj)
    if content:
        from imgtool.disks.digest import BLOCKS, content_digests
        from imgtool.disks.open import open_disk

        with open_disk(path_or_fileobj, format=format, follow=follow, device=device, limits=limits) as disk:
            return content_digests(disk, (BLOCKS,) if algorithms is None else algorithms, progress)
    if format is not None or follow is not False:
        raise UsageError("`format` and `follow` are for digests of the content")
    names = tuple(algorithm(name) for name in (("sha256",) if algorithms is None else algorithms))
    if not isinstance(path_or_fileobj, (str, os.PathLike)) and not seekable(path_or_fileobj):
        from imgtool.ingest.pump import Pump, digest_stream

        pump = Pump(names)
        with pump:
            digest_stream(stream_chunks(path_or_fileobj), pump, lambda chunk: None, progress)
        return pump.hexdigests()
    with open_input(path_or_fileobj, device) as source:
        return _digests(source, names, progress)


def known_kind(given: object) -> None:
    """Raises UsageError for what is neither a path nor a binary file object."""
    binary = hasattr(given, "read") and not hasattr(given, "encoding")
    if not binary and not isinstance(given, (str, os.PathLike)):
        raise UsageError(f"a path or a binary file object is needed, not {type(given).__name__}")


def _digests(
    source: Source, names: tuple[str, ...], progress: Progress | None, members: RangeDigests | None = None
) -> dict[str, str]:
    from imgtool.ingest.pump import digest_source

    return digest_source(source, names, progress, members)


def open_input(path_or_fileobj: Input, device: bool = False) -> Source:
    """A path or a seekable binary file object as a Source. Raises InputError."""
    if isinstance(path_or_fileobj, (str, os.PathLike)):
        return open_file(os.fsdecode(path_or_fileobj), device)
    from imgtool.sources.fileobj import FileObjectSource

    return FileObjectSource(path_or_fileobj, stream_name(path_or_fileobj))


def _inspect_stream(
    stream: IO[bytes],
    wanted: tuple[str, ...],
    expected: tuple[tuple[str, str], ...],
    options: Options,
    progress: Progress | None,
) -> Report:
    from imgtool.inspection.streams import examine_stream

    name = stream_name(stream)
    done = examine_stream(stream_chunks(stream), name, options, examine, digests=wanted, progress=progress)
    return _finish(done.report, None, dict(done.digests), done.found, expected, options)


def _finish(
    report: Report,
    source: Source | None,
    sums: dict[str, str],
    members: Mapping[Range, str],
    expected: tuple[tuple[str, str], ...],
    options: Options,
) -> Report:
    limits = options.limits
    found: list[Finding] = [] if options.verify is None else integrity_findings(report, members, limits)
    for name, digits in expected:
        found.extend(digest_differs(ExpectedDigest(name, digits, sums[name]), limits))
    if isinstance(source, FileSource):
        found.extend(changed_while_read(source.changed(), limits))
    if not found and not sums:
        return report
    findings = tuple(sorted((*report.findings, *found), key=lambda one: SEVERITIES.index(one.severity)))
    return replace(report, checksums=sums, findings=findings)
