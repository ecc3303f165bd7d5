"""The policy `glance` against the inspector that the service itself uses (oslo.utils), over every fixture."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import NamedTuple

import pytest
from oslo_utils.imageutils import format_inspector

import imgtool
from tests.kit import fixture, images
from tests.policy.kit import verdict


class Service(NamedTuple):
    """What the service does with bytes: lets them in or not; the format that it sees; why not."""

    accepted: bool
    format: str
    reason: str = ""


def service(data: bytes) -> Service:
    """The service's decision about content claimed as bare: one format, or iso and gpt together, that is safe."""
    logging.disable(logging.CRITICAL)
    try:
        wrapper = format_inspector.InspectWrapper(io.BytesIO(data))
        while wrapper.read(65536):
            pass
        wrapper.close()
        found = {str(one): one for one in wrapper.formats or ()}
        if set(found) == {"iso", "gpt"}:
            found = {"iso": found["iso"]}
        names = ", ".join(sorted(found))
        if len(found) != 1:
            return Service(False, names, "several formats")
        try:
            found[names].safety_check()
        except format_inspector.SafetyCheckFailed as error:
            return Service(False, names, "; ".join(str(one) for one in error.failures.values()))
        except format_inspector.ImageFormatError as error:
            return Service(False, names, str(error))
        return Service(True, names)
    finally:
        logging.disable(logging.NOTSET)


Reason = Callable[[imgtool.Verdict, Service], bool]


def _has(verdict: imgtool.Verdict, code: str) -> bool:
    return any(finding.code == code and finding.severity == "error" for finding in verdict.findings)


#: Every difference between the two, by its reason.
DIFFERENCES: dict[str, Reason] = {
    "it knows no bochs, cloop, dmg, asif, and a qed only by a whole header: raw bytes there, told apart here": (
        lambda ours, theirs: theirs.format == "raw" and _has(ours, "IMG013")
    ),
    "it knows no COWD, no seSparse, no VMDK descriptor behind comments or with another first line: raw bytes there": (
        lambda ours, theirs: theirs == Service(True, "raw") and ours.report.format == "vmdk" and not ours.accepted
    ),
    "it reads no parent locators, so no numbers in them are too large": (
        lambda ours, theirs: theirs.accepted and ours.report.format in ("vhd", "vhdx") and _has(ours, "IMG201")
    ),
    "it looks for no archive behind a disk": (
        lambda ours, theirs: theirs.accepted and _has(ours, "IMG001") and "compressed" in _facets(ours)
    ),
    "it takes the boot sector of NTFS and exFAT for a partition table without partitions; such volumes are sound": (
        lambda ours, theirs: "GPT MBR has no partitions defined" in theirs.reason and ours.accepted
    ),
    "it refuses hybrid MBRs, which isohybrid and old Macs' disks have by design: a warning here": (
        lambda ours, theirs: "invalid extra partitions" in theirs.reason and _warns(ours, "PRT010")
    ),
}


def _facets(verdict: imgtool.Verdict) -> set[str]:
    return {facet.name for facet in verdict.report.facets}


def _warns(verdict: imgtool.Verdict, code: str) -> bool:
    return any(finding.code == code and finding.severity == "warning" for finding in verdict.findings)


def difference(name: str) -> tuple[imgtool.Verdict, Service] | None:
    """The two decisions about a fixture, where they differ; what is not bare the service does not look at."""
    ours = verdict(name, policy="glance")
    if ours.report.container_format != "bare":
        assert ours.accepted, f"{name}: what is not bare is not inspected there"
        return None
    theirs = service(fixture(name))
    return (ours, theirs) if ours.accepted != theirs.accepted else None


@pytest.mark.parametrize("name", images())
def test_the_same_decision_or_a_reason(name: str) -> None:
    """Accepted here is accepted there and the other way round; each difference has exactly one of the reasons."""
    told = difference(name)
    if told is not None:
        fitting = [reason for reason, holds in DIFFERENCES.items() if holds(*told)]
        assert len(fitting) == 1, (told[1], [finding.code for finding in told[0].findings], fitting)


def test_every_reason_is_one() -> None:
    """No reason is left that no fixture has."""
    found = [told for told in map(difference, images()) if told is not None]
    unused = [reason for reason, holds in DIFFERENCES.items() if not any(holds(*told) for told in found)]
    assert not unused


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("qcow2/extended-l2-zstd.qcow2.gz", {"IMG502"}),
        ("qcow/plain.qcow", {"IMG013"}),
        ("luks/luks2.luks.gz", {"IMG502"}),
        ("qed/plain.qed.gz", {"IMG013"}),
        ("qcow2/backing.qcow2", {"IMG101"}),
        ("qcow2/data-file.qcow2", {"IMG101"}),
        ("vmdk/flat-descriptor.vmdk", {"IMG502", "VMD502"}),
    ],
)
def test_what_it_refuses_by_name(name: str, codes: set[str]) -> None:
    """Extended L2, qcow v1, LUKS2, qed, references, a VMDK descriptor that is not at sector 1."""
    told = verdict(name, policy="glance")
    assert {finding.code for finding in told.findings if finding.severity == "error"} == codes
    assert not told.accepted


def test_claims_and_containers() -> None:
    """A claim that does not hold is refused; a container's content is not looked at, whatever is in it."""
    assert verdict("qcow2/plain.qcow2", policy="glance", disk_format="qcow2", container_format="bare").accepted
    assert not verdict("qcow2/plain.qcow2", policy="glance", disk_format="raw", container_format="bare").accepted
    assert verdict("ova/hostile-traversal.ova.gz", policy="glance").accepted
    assert not verdict("ova/small.ova.gz", policy="glance", container_format="bare").accepted
    assert verdict("qcow2/backing.qcow2", policy="glance", container_format="ova").accepted
