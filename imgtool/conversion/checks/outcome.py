"""What must not be in a target, looked for before it gets its name. Cost of each: the target, inspected again.

That the guest's bytes are the same is no rule: the target is read back and compared before these look at it, and a
difference raises (errors.ContentError). Either way the target never gets its name.
"""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.conversion.planned import Finished
from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits
from imgtool.model.report import Report
from imgtool.units import SECTOR, ceil_div


@rule("CNV301", "target-looks-different", "error")
def target_looks_different(finished: Finished, limits: Limits) -> Iterator[Finding]:
    """The target would be taken for something else.

    What it checks: the target, inspected again without being told what it is, is of the format that was asked for. A
    raw target may be an image of an optical disc: whoever takes it for one sees the same bytes.

    Why it matters: a guest can write the header of another format into its own disk; as a raw file that is what a
    program that probes will open, and a header can name files of the host.

    What to do: give raw targets only to programs that are told the format, and let it through by
    `--if-unsafe allow:CNV301`; or choose another target format.
    """
    wanted = "raw" if finished.planned.to == "ami" else finished.planned.to
    seen = finished.report.format
    if finished.planned.to == "raw" and seen == "iso":
        return
    if finished.planned.to == "ami" and seen == "raw" and "ami" not in finished.report.disk_formats:
        yield target_looks_different.at("written as ami, a probe sees no Linux file system")
    if seen != wanted or finished.report.container_format not in ("bare", None):
        around = finished.report.container_format
        wrapped = f" in {around}" if around not in ("bare", None) else ""
        yield target_looks_different.at(f"written as {wanted}, a probe sees {seen or 'nothing known'}{wrapped}")


@rule("CNV302", "target-has-faults", "error")
def target_has_faults(finished: Finished, limits: Limits) -> Iterator[Finding]:
    """The target has an error that the source has not.

    What it checks: errors in the target, inspected again, that are not in the source as well.

    Why it matters: the target would be refused where images are validated.

    What to do: report it: a file is written without faults, or not at all. On a block device the disk is written, and
    what lay there before may be at fault, as a backup GPT at its end is: clear it, and convert again.
    """
    known = _codes(finished.planned.report) | _codes(finished.planned.outer)
    for one in finished.report.findings:
        if one.severity == "error" and one.code not in known:
            yield target_has_faults.at(f"{one.code} {one.name}: {one.message}", offset=one.offset, length=one.length)


@rule("CNV303", "target-size-differs", "error")
def target_size_differs(finished: Finished, limits: Limits) -> Iterator[Finding]:
    """A guest would see a disk of another size than was planned.

    What it checks: the virtual size of the target, inspected again, is what was written, or that in whole sectors.
    It may be larger on a block device, and where a vhd is asked to be as large as its geometry.

    Why it matters: a disk that is shorter than its content loses the end of it.

    What to do: report it; no file was kept.
    """
    size = finished.report.virtual_size
    planned, least = finished.planned, finished.virtual_size
    open_ended = planned.to in ("raw", "ami") or planned.options.get("force_size") is False
    most = size if open_ended else ceil_div(least, SECTOR) * SECTOR
    if size is not None and most is not None and not least <= size <= most:
        yield target_size_differs.at(f"{finished.virtual_size} bytes were written, {size} are seen")


def _codes(report: Report) -> set[str]:
    """The codes of a report and of everything in it."""
    return {one.code for one in report.findings}.union(*(_codes(member) for member in report.members))


OUTCOMES = (target_looks_different, target_has_faults, target_size_differs)
