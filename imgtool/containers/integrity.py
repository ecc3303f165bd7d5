"""A container's deep check: the digests that it says its members have, computed in one pass over its bytes.

The same pass serves the file's own digests (`ranges_of` go to the pump as a tap): nothing is read twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from imgtool.containers.member import Claim, ContainerFacts
from imgtool.ingest.pump import digest_source
from imgtool.ingest.ranges import Range, RangeDigests
from imgtool.limits import Limits
from imgtool.model.tables import TableFacts, Totals
from imgtool.model.values import Problem
from imgtool.sources.base import RangeError, Source


class Outcome(NamedTuple):
    """What came of a claim: the digest in hex, None where it was not computed."""

    claim: Claim
    actual: str | None

    @property
    def differs(self) -> bool:
        """True where the digest was computed and is another one."""
        return self.actual is not None and self.actual != self.claim.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrityFacts(TableFacts):
    """Facts of a container's integrity. `facts` are the container's own."""

    facts: ContainerFacts
    outcomes: tuple[Outcome, ...] = ()


def ranges_of(facts: object) -> tuple[Range, ...]:
    """The ranges of which a container says digests; none for anything else."""
    claims = facts.claims if isinstance(facts, ContainerFacts) else ()
    return tuple(_range(claim) for claim in claims)


def _range(claim: Claim) -> Range:
    return Range(claim.offset, claim.length, claim.algorithm)


def outcomes(facts: ContainerFacts, found: Mapping[Range, str]) -> tuple[Outcome, ...]:
    """Each claim with the digest that was found of its range."""
    return tuple(Outcome(claim, found.get(_range(claim))) for claim in facts.claims)


def judged(facts: ContainerFacts, found: Mapping[Range, str], problems: tuple[Problem, ...] = ()) -> IntegrityFacts:
    """The integrity facts, with totals as a deep check has them."""
    told = outcomes(facts, found)
    totals = Totals(corruptions=sum(one.differs for one in told), check_errors=len(problems))
    return IntegrityFacts(facts=facts, totals=totals, problems=problems, outcomes=told)


def walk(source: Source, facts: ContainerFacts, limits: Limits) -> IntegrityFacts:
    """Compute every digest that the container says its members have. Reads the whole file once."""
    found, problems = computed(source, facts)
    return judged(facts, found, problems)


def computed(source: Source, facts: ContainerFacts) -> tuple[Mapping[Range, str], tuple[Problem, ...]]:
    """The digests of all claimed ranges; a part of the source that cannot be read is a problem."""
    tap = RangeDigests(ranges_of(facts))
    problems: tuple[Problem, ...] = ()
    if tap:
        try:
            digest_source(source, (), ranges=tap)
        except RangeError as error:
            problems = (Problem(error.problem, "members", str(error)),)
    return tap.found, problems
