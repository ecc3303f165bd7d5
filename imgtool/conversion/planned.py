"""What the rules of a conversion look at: the plan before it, the target after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from imgtool.model.report import Report
from imgtool.model.volumes import Partition
from imgtool.targets.options import Value


class Planned(NamedTuple):
    """A conversion before it begins. Sizes in bytes.

    `report` is of the disk itself, `outer` of the file it is in (the same one where nothing is around it), `member`
    which disk of that. `to` names the target ("ami" for a machine image), `engine` what writes it, with checked
    `options`. `source_size` and `target_size`: of the disk that is read and of what is given to the engine.
    `snapshot`: an internal snapshot is read instead of the current state. `left_out`: partitions that a machine image
    does without. `compressed`: the source is, as far as its first runs tell. `read_as`: the format that the caller
    says the source is of; None where it is what it was found to be.
    """

    report: Report
    outer: Report
    to: str
    engine: str
    options: Mapping[str, Value]
    source_size: int
    target_size: int
    compress: bool = False
    member: str | None = None
    snapshot: str | None = None
    left_out: tuple[Partition, ...] = ()
    compressed: bool = False
    read_as: str | None = None


class Finished(NamedTuple):
    """A conversion whose target is whole and has no name yet. `report`: of the target, inspected again;
    `virtual_size`: bytes that a guest sees of it."""

    planned: Planned
    report: Report
    virtual_size: int
