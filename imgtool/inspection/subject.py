"""What the rules of any image (IMG) look at: everything the conductor saw of one input."""

from typing import TYPE_CHECKING, NamedTuple

from imgtool.detect.registry import Match
from imgtool.disks.recognise import Failure, Reading
from imgtool.model.report import Report
from imgtool.model.values import Facet, Problem, Reference

if TYPE_CHECKING:
    from imgtool.containers.member import Decoded


class ExpectedDigest(NamedTuple):
    """A digest that the caller expects, and the one that was computed (hex)."""

    algorithm: str
    expected: str
    actual: str


class Subject(NamedTuple):
    """One input under inspection; sizes and offsets in bytes. `inside`: disk formats whose marks are in what the
    guest sees, and where of it."""

    path: str
    size: int
    streamed: bool
    matches: tuple[Match, ...]
    readings: tuple[Reading, ...]
    primary: Reading
    facets: tuple[Facet, ...]
    references: tuple[Reference, ...]
    problems: tuple[Problem, ...]
    failures: tuple[Failure, ...]
    too_deep: bool = False
    inside: tuple[tuple[str, int], ...] = ()


class Nested(NamedTuple):
    """Reports of members, what came of those that were decoded, and why some could not be read.

    `too_deep`: a limit kept some from being looked into.
    """

    reports: tuple[Report, ...] = ()
    decoded: tuple["Decoded", ...] = ()
    problems: tuple[Problem, ...] = ()
    too_deep: bool = False


NOTHING_NESTED = Nested()
