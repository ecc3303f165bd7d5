"""The deep check of a bare OVF descriptor: the files beside it, where following was allowed, and their manifest.

The manifest is called as the descriptor is, with `.mf`.

Reference: DSP0243 2.1.1, clauses 6.3 and 7.1.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from imgtool.containers.envelope.facts import EnvelopeFacts, OvfFile
from imgtool.containers.envelope.manifest import ManifestEntry, packaged_name, parse_manifest
from imgtool.errors import InputError, NotFoundError
from imgtool.ingest.pump import digest_source
from imgtool.limits import Limits
from imgtool.model.tables import TableFacts, Totals
from imgtool.model.values import Reference
from imgtool.sources.base import Source

_Opener = Callable[[Reference], Source]


class FileOutcome(NamedTuple):
    """A file of References: its size beside the descriptor (of all chunks), or why it could not be opened."""

    file: OvfFile
    size: int | None
    fault: str | None = None


class DigestOutcome(NamedTuple):
    """A line of the manifest: the digest of the file, None where that could not be read."""

    entry: ManifestEntry
    actual: str | None
    fault: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideFacts(TableFacts):
    """Facts of the files beside a descriptor. `followed`: they were looked for."""

    facts: EnvelopeFacts
    followed: bool
    files: tuple[FileOutcome, ...] = ()
    manifest: str | None = None
    digests: tuple[DigestOutcome, ...] = ()


def walk(source: Source, facts: EnvelopeFacts, limits: Limits) -> BesideFacts:
    """Compare the files beside a descriptor with it and with its manifest. Reads what the manifest lists whole."""
    opener = facts.beside
    if opener is None:
        return BesideFacts(facts=facts, totals=Totals(), followed=False)
    files = tuple(_file(file, opener, limits) for file in facts.files)
    manifest, entries = _manifest(source.name, opener, limits)
    known, own = {file.href for file in facts.files}, os.path.basename(source.name)
    digests = tuple(
        _own_digest(entry, source) if packaged_name(entry) == own else _digest(entry, opener)
        for entry in dict.fromkeys(entries)
        if packaged_name(entry) == own or _is_known(entry, known)
    )
    wrong = sum(one.actual not in (None, one.entry.digest) for one in digests)
    totals = Totals(corruptions=wrong, check_errors=sum(one.fault is not None for one in files))
    return BesideFacts(facts=facts, totals=totals, followed=True, files=files, manifest=manifest, digests=digests)


def _is_known(entry: ManifestEntry, known: set[str]) -> bool:
    """A file of References, or a chunk of one: nothing else that a manifest names is opened."""
    name = packaged_name(entry)
    stem, _, number = name.rpartition(".")
    return name in known or (stem in known and len(number) == 9 and number.isdigit())


def _file(file: OvfFile, opener: _Opener, limits: Limits) -> FileOutcome:
    try:
        with opener(Reference("href", file.href)) as source:
            return FileOutcome(file, source.size)
    except NotFoundError as error:
        chunks = list(_chunks(file, opener, limits))
        return FileOutcome(file, sum(chunks)) if chunks else FileOutcome(file, None, str(error))
    except InputError as error:
        return FileOutcome(file, None, str(error))


def _chunks(file: OvfFile, opener: _Opener, limits: Limits) -> Iterator[int]:
    """The sizes of a file's chunks (`name.000000000` and on)."""
    for number in range(limits.ovf_chunks):
        try:
            with opener(Reference("href", f"{file.href}.{number:09d}")) as source:
                yield source.size
        except InputError:
            return


def _manifest(descriptor: str, opener: _Opener, limits: Limits) -> tuple[str | None, tuple[ManifestEntry, ...]]:
    """The name of the manifest beside a descriptor and its entries; None where there is none that can be read."""
    name = os.path.splitext(os.path.basename(descriptor))[0] + ".mf"
    try:
        with opener(Reference("sidecar", name)) as source:
            data = source.read_at(0, min(source.size, limits.ovf_manifest))
    except InputError:
        return None, ()
    return name, parse_manifest(data, limits).entries


def _own_digest(entry: ManifestEntry, source: Source) -> DigestOutcome:
    return DigestOutcome(entry, digest_source(source, (entry.algorithm,))[entry.algorithm])


def _digest(entry: ManifestEntry, opener: _Opener) -> DigestOutcome:
    try:
        with opener(Reference("href", packaged_name(entry))) as source:
            return DigestOutcome(entry, digest_source(source, (entry.algorithm,))[entry.algorithm])
    except InputError as error:
        return DigestOutcome(entry, None, str(error))
