"""Members of a container, and the facts that every container has. Nothing is extracted by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

from imgtool.model.facts import Facts
from imgtool.model.values import Problem
from imgtool.sources.base import Source

Role = Literal["disk", "descriptor", "manifest", "certificate", "config", "layer", "content", "file"]


class Member(NamedTuple):
    """One member: `name` as stored, `size` in bytes where the container says it.

    `source` gives its bytes where they lie in the container as they are; `stream` yields them where they
    must be decoded (the caller bounds how much it takes). At most one of the two is there; neither for
    a member without bytes (a folder, a link).
    """

    name: str
    size: int | None
    role: Role = "file"
    offset: int | None = None
    kind: str = "file"
    source: Callable[[], Source] | None = None
    stream: Callable[[], Iterator[bytes]] | None = None


class Decoded(NamedTuple):
    """What came of a member that had to be decoded: `size` bytes came out, `consumed` went in.

    `whole`: its end was reached; `trailing` bytes follow it then, zeros or not. `fault`: why it ended early;
    None where no more was asked for.
    """

    name: str
    size: int
    consumed: int
    whole: bool
    trailing: int | None = None
    trailing_zeros: bool = False
    fault: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFacts(Facts):
    """Facts of a container. `disk_format` where the container itself says what its disks are.

    `decoded` is added when its members were looked into.
    """

    HIDDEN = frozenset({"members", "disk_format"})

    members: tuple[Member, ...] = ()
    members_total: int = 0
    disk_format: str | None = None
    decoded: tuple[Decoded, ...] = ()

    def released(self) -> Self:
        """These facts without what only reading and checking them needs: many containers may be nested."""
        return replace(self, members=())
