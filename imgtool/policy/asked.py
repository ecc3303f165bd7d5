"""What the rules of a policy look at: a report, the policy, and what the caller claims."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from imgtool.model.report import Report
from imgtool.model.verdict import Claims
from imgtool.policy.names import MACHINE, disk_format
from imgtool.policy.policy import Policy


class Asked(NamedTuple):
    """One report to judge."""

    report: Report
    policy: Policy
    claims: Claims


class Claimed(NamedTuple):
    """The pair of formats that is claimed; one of the three machine formats stands for both."""

    disk: str | None
    container: str | None


def claimed(claims: Claims) -> Claimed:
    """What is claimed of an image: disk format and container format."""
    disk, container = claims.disk_format, claims.container_format
    if container is None and disk in MACHINE:
        return Claimed(disk, disk)
    if disk is None and container in MACHINE:
        return Claimed(container, container)
    return Claimed(disk, container)


def honest_formats(report: Report) -> tuple[str, ...]:
    """Every disk format that the content satisfies, as imgtool names them; best first."""
    names = ((report.format,) if report.format else ()) + report.disk_formats
    return tuple(dict.fromkeys(disk_format(name) for name in names))


def disks(report: Report, inside: str = "") -> Iterator[tuple[str, Report]]:
    """The disks that a container holds, each with the path of its member; nothing for what is no container."""
    if report.container_format in (None, "bare"):
        return
    from imgtool.containers.member import ContainerFacts

    if not isinstance(report.details, ContainerFacts):
        return
    roles = {member.name: member.role for member in report.details.members}
    for member in report.members:
        if roles.get(member.path, "disk") in ("disk", "content") and member.format is not None:
            path = f"{inside} → {member.path}" if inside else member.path
            yield path, member
            yield from disks(member, path)


def everything(report: Report) -> Iterator[tuple[str | None, Report]]:
    """The report, and those of the disks in it, each with the path of its member."""
    yield None, report
    yield from disks(report)
