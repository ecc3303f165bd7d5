"""Members of a container, and the facts that every container has. Nothing is extracted by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

from imgtool.model.facts import Facts
from imgtool.model.values import Problem, Reference
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


#: What says a digest: an OVF manifest, the digest of a blob (its descriptor, its name), a layer's diff_id.
ClaimKind = Literal["manifest", "blob", "diff-id"]


class Claim(NamedTuple):
    """A digest that the container says a member has: of `length` bytes from `offset` on, as they are stored.

    `name` is the member's, `by` that of what says so; `expected` in hex, lower case.
    """

    kind: ClaimKind
    name: str
    by: str
    algorithm: str
    expected: str
    offset: int
    length: int


class Inside(NamedTuple):
    """What a member turned out to be, as its own report has it; `virtual_size` in bytes."""

    name: str
    format: str | None
    container_format: str | None
    virtual_size: int | None
    sound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFacts(Facts):
    """Facts of a container. `disk_format` where the container itself says what its disks are.

    `claims`: digests that it says its members have. `beside` opens a file that it refers to, where that was allowed
    (raises InputError). `decoded` and `insides` are added when its members were
    looked into.
    """

    HIDDEN = frozenset({"members", "disk_format", "claims", "insides", "beside"})

    members: tuple[Member, ...] = ()
    members_total: int = 0
    disk_format: str | None = None
    claims: tuple[Claim, ...] = ()
    decoded: tuple[Decoded, ...] = ()
    insides: tuple[Inside, ...] = ()
    beside: Callable[[Reference], Source] | None = None

    def released(self) -> Self:
        """These facts without what only reading and checking them needs: many containers may be nested."""
        return replace(self, members=(), claims=(), insides=())
