"""How an inspection is asked for, and what bounds its nesting."""

from typing import NamedTuple

from imgtool.limits import DEFAULT, Limits


class Options(NamedTuple):
    """`depth`: nesting that is looked into; 0 reads this file's own headers only.

    `structures`: keep the annotated structures. `whole`: decode compressed wrappers to their end (which tells their
    true size); else only their first `limits.wrapper_probe` bytes. `verify`: compare the digests that a container
    states of its members, and say which were not; None leaves both to the deep check. `planning`: a dry run over a
    stream that still runs, only to learn which ranges it asks for; nothing is decoded.
    """

    limits: Limits = DEFAULT
    depth: int = DEFAULT.depth
    structures: bool = False
    whole: bool = True
    verify: bool | None = True
    planning: bool = False


class Budget:
    """What may be spent below one input at every depth together, so that nesting cannot multiply.

    `left` counts nested reports, `listed` members that are only named, `output` decoded bytes: when
    everything is decoded, as many as the input of `size` bytes may inflate to; else a few probes.
    """

    __slots__ = ("left", "listed", "output")

    def __init__(self, options: Options, size: int) -> None:
        limits = options.limits
        self.left = limits.total_reports
        self.listed = limits.members
        inflated = min(limits.wrapper_output, max(limits.wrapper_ratio_floor, size * limits.wrapper_ratio))
        self.output = inflated if options.whole else 4 * limits.wrapper_probe

    def take(self) -> bool:
        """True when another nested report may be made."""
        self.left -= 1
        return self.left >= 0

    def name(self) -> bool:
        """True when another member may be listed that is not looked into."""
        self.listed -= 1
        return self.listed >= 0

    def spend(self, output: int) -> bool:
        """True when `output` more decoded bytes were within the budget."""
        self.output -= output
        return self.output >= 0
