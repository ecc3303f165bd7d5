"""Verdict: what `validate` answers (schema imgtool.verdict/1). Sizes are integers of bytes."""

from typing import NamedTuple

from imgtool.findings.core import Finding
from imgtool.model.report import Report

SCHEMA = "imgtool.verdict/1"


class Claims(NamedTuple):
    """What the caller says of an image, and what he allows it to be; None where he says nothing.

    `min_disk`: bytes of the smallest disk it is to fit on. `min_ram`: bytes of memory that are to be enough.
    `max_virtual_size`: bytes. `expect`: digests as "ALG:HEX".
    """

    disk_format: str | None = None
    container_format: str | None = None
    min_disk: int | None = None
    min_ram: int | None = None
    max_virtual_size: int | None = None
    expect: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """One input, judged by a policy.

    accepted: nothing in it is as bad as the policy's threshold.
    incomplete: something kept rules from seeing what they look at (a stream that was not kept whole, a file
    that the image names, a key); not_run: the codes of those rules.
    policy: its name. claims: what the caller said.
    findings: of the image and of its members, worst first; `member` is the path below the input ("a.ova → disk.vmdk"
    is "disk.vmdk" of the input a.ova), severities are those that the policy gives them.
    report: what was seen, with the severities that the rules themselves give.
    """

    path: str
    accepted: bool
    incomplete: bool
    not_run: tuple[str, ...]
    policy: str
    claims: Claims
    findings: tuple[Finding, ...]
    report: Report

    def to_dict(self) -> dict[str, object]:
        """The verdict as plain JSON values, as `imgtool validate --json` prints it."""
        from imgtool.model.jsonable import verdict_object

        return verdict_object(self)
