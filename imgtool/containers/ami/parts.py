"""The deep check of an EC2 bundle: its parts beside the manifest, where following was allowed.

A part's digest is of the file as it lies there, encrypted: it needs no key.

Reference: Amazon EC2 AMI tools, the manifest of version 2007-10-10.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from imgtool.containers.ami.facts import BundleFacts, Part
from imgtool.errors import InputError
from imgtool.ingest.digests import ALGORITHMS
from imgtool.ingest.pump import digest_source
from imgtool.limits import Limits
from imgtool.model.tables import TableFacts, Totals
from imgtool.model.values import Reference
from imgtool.sources.base import Source


class PartOutcome(NamedTuple):
    """A part: its size and digest in hex (None where its algorithm is not known), or why it could not be read."""

    part: Part
    size: int | None
    actual: str | None
    fault: str | None = None

    @property
    def differs(self) -> bool:
        """True where the digest was computed and is another one."""
        stated = self.part.digest.value if self.part.digest else None
        return self.actual is not None and stated is not None and self.actual != stated.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleIntegrity(TableFacts):
    """Facts of the parts of a bundle. `followed`: they were looked for."""

    facts: BundleFacts
    followed: bool
    parts: tuple[PartOutcome, ...] = ()


def walk(source: Source, facts: BundleFacts, limits: Limits) -> BundleIntegrity:
    """Compare the parts beside a bundle manifest with it. Reads them whole."""
    opener = facts.beside
    if opener is None:
        return BundleIntegrity(facts=facts, totals=Totals(), followed=False)
    parts = tuple(_part(part, opener) for part in facts.parts if part.filename)
    wrong, unread = sum(one.differs for one in parts), sum(one.fault is not None for one in parts)
    totals = Totals(corruptions=wrong, check_errors=unread)
    return BundleIntegrity(facts=facts, totals=totals, followed=True, parts=parts)


def _part(part: Part, opener: Callable[[Reference], Source]) -> PartOutcome:
    named = (part.digest.algorithm or "").lower().replace("-", "") if part.digest else ""
    wanted = (named,) if named in ALGORITHMS else ()
    try:
        with opener(Reference("extent", part.filename or "")) as source:
            return PartOutcome(part, source.size, digest_source(source, wanted)[named] if wanted else None)
    except InputError as error:
        return PartOutcome(part, None, None, str(error))
