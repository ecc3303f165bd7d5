"""How an inspection is asked for, and what bounds its nesting."""

from typing import NamedTuple

from imgtool.limits import DEFAULT, Limits


class Options(NamedTuple):
    """`depth`: nesting that is looked into; 0 reads this file's own headers only.

    `structures`: keep the annotated structures. `whole`: decode compressed wrappers to their end (which
    tells their true size); else only their first `limits.wrapper_probe` bytes. `planning`: a dry run over a
    stream that still runs, only to learn which ranges it asks for; nothing is decoded.
    """

    limits: Limits = DEFAULT
    depth: int = DEFAULT.depth
    structures: bool = False
    whole: bool = True
    planning: bool = False


class Budget:
    """Counts the nested reports below one input, so that nesting cannot multiply."""

    __slots__ = ("left",)

    def __init__(self, limits: Limits) -> None:
        self.left = limits.total_reports

    def take(self) -> bool:
        """True when another nested report may be made."""
        self.left -= 1
        return self.left >= 0
