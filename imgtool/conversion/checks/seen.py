"""What the rules of a conversion see of the source: the facts of its format, typed, and words for their messages.

A source that is read as something else than it is ("raw" where it is a qcow2) has no facts: all of its bytes are the
guest's then, and nothing of them is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from imgtool.conversion.planned import Planned
from imgtool.model.facts import Facts
from imgtool.model.report import Report

if TYPE_CHECKING:
    from imgtool.formats.parallels.facts import ParallelsFacts
    from imgtool.formats.qcow2.facts import Qcow2Facts
    from imgtool.formats.vdi.facts import VdiFacts
    from imgtool.formats.vhd.facts import VhdFacts
    from imgtool.formats.vhdx.facts import VhdxFacts
    from imgtool.formats.vmdk.facts import VmdkFacts

#: Names listed in a message.
_SHOWN = 5

#: What a vhd states where the disk is larger than a geometry can tell.
_TOO_LARGE = (65535, 16, 255)


class Chs(NamedTuple):
    """A geometry: cylinders, heads, sectors of a track."""

    cylinders: int
    heads: int
    sectors: int


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def counted(count: int, what: str) -> str:
    """ "1 snapshot", "2 snapshots"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def is_itself(planned: Planned) -> bool:
    """True where the source is read as what it is."""
    return planned.read_as in (None, planned.report.format)


def facts(planned: Planned, format: str) -> Facts | None:
    """The facts of the source where it is of that format."""
    details = planned.report.details
    return details if details is not None and details.format == format and is_itself(planned) else None


def qcow2(planned: Planned) -> Qcow2Facts | None:
    """The facts of a qcow2."""
    found = facts(planned, "qcow2")
    if found is None:
        return None
    from imgtool.formats.qcow2.facts import Qcow2Facts

    return found if isinstance(found, Qcow2Facts) else None


def vmdk(planned: Planned) -> VmdkFacts | None:
    """The facts of a vmdk."""
    found = facts(planned, "vmdk")
    if found is None:
        return None
    from imgtool.formats.vmdk.facts import VmdkFacts

    return found if isinstance(found, VmdkFacts) else None


def vhd(planned: Planned) -> VhdFacts | None:
    """The facts of a vhd."""
    found = facts(planned, "vhd")
    if found is None:
        return None
    from imgtool.formats.vhd.facts import VhdFacts

    return found if isinstance(found, VhdFacts) else None


def vhdx(planned: Planned) -> VhdxFacts | None:
    """The facts of a vhdx."""
    found = facts(planned, "vhdx")
    if found is None:
        return None
    from imgtool.formats.vhdx.facts import VhdxFacts

    return found if isinstance(found, VhdxFacts) else None


def vdi(planned: Planned) -> VdiFacts | None:
    """The facts of a vdi whose header is known."""
    found = facts(planned, "vdi")
    if found is None:
        return None
    from imgtool.formats.vdi.facts import VdiFacts

    return found if isinstance(found, VdiFacts) else None


def parallels(planned: Planned) -> ParallelsFacts | None:
    """The facts of a Parallels disk."""
    found = facts(planned, "parallels")
    if found is None:
        return None
    from imgtool.formats.parallels.facts import ParallelsFacts

    return found if isinstance(found, ParallelsFacts) else None


def geometry(planned: Planned) -> Chs | None:
    """The geometry that the source states; None where it states none, or one of nothing.

    A Parallels header has cylinders and heads, but no sectors (its tracks are the cluster size).
    """
    stated: tuple[int | None, ...] = ()
    if (old := vhd(planned)) is not None:
        stated = () if old.geometry == _TOO_LARGE else old.geometry
    elif (box := vdi(planned)) is not None:
        stated = (box.geometry or box.legacy_geometry)[:3]
    elif (ware := vmdk(planned)) is not None:
        shape = ware.geometry or (ware.cowd.geometry if ware.cowd is not None else None)
        stated = shape or ()
    numbers = [one for one in stated if one]
    return Chs(*numbers) if len(numbers) == 3 else None


def way_in(planned: Planned) -> Iterator[Report]:
    """The reports of what is around the disk, the outermost first; none where nothing is around it."""
    report = planned.outer
    while report is not planned.report:
        yield report
        inside = [one for one in report.members if holds(one, planned.report)]
        if not inside:
            return
        report = inside[0]


def holds(report: Report, wanted: Report) -> bool:
    """True where a report is the wanted one, or has it inside."""
    return report is wanted or any(holds(one, wanted) for one in report.members)
