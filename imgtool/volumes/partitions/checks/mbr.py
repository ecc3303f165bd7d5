"""Master boot record: the chain of logical partitions, flags, and a GPT that is not there."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits
from imgtool.volumes.partitions.checks.ranges import severity
from imgtool.volumes.partitions.facts import MbrFacts
from imgtool.volumes.partitions.types import PROTECTIVE


@rule("PRT040", "mbr-chain-broken", "error")
def chain_broken(facts: MbrFacts, limits: Limits) -> Iterator[Finding]:
    """The chain of logical partitions does not hold.

    What it checks: every link lies inside the file and ends in 55AA; none comes twice; there are not more
    than a cap (256).

    Why it matters: a loop makes programs hang, and what comes after a broken link is seen by some and not
    by others.

    What to do: take a fresh copy of the image, or write the logical partitions again (`sfdisk`).
    """
    if facts.chain_fault:
        yield chain_broken.at(
            f"logical partitions: {facts.chain_fault}",
            field="extended boot record",
            offset=facts.chain_at,
            length=512,
            severity=severity(facts, "error"),
        )


@rule("PRT041", "mbr-several-active", "warning")
def several_active(facts: MbrFacts, limits: Limits) -> Iterator[Finding]:
    """More than one primary partition is marked active.

    What it checks: at most one of the four records has the boot flag.

    Why it matters: BIOS boot code starts the first, the last or none: which one depends on the program.

    What to do: leave the flag on the one to start: `sfdisk --activate FILE N`.
    """
    active = [slot for slot in facts.slots if slot.entry.boot_indicator & 0x80 and slot.entry.size_in_lba]
    if len(active) > 1:
        numbers = ", ".join(str(slot.number) for slot in active)
        yield several_active.at(
            f"partitions {numbers} are all marked active",
            field="boot_indicator",
            offset=active[1].offset,
            length=1,
            severity=severity(facts, "warning"),
        )


@rule("PRT042", "mbr-protects-no-gpt", "error")
def protects_no_gpt(facts: MbrFacts, limits: Limits) -> Iterator[Finding]:
    """A record protects a GPT, and there is none.

    What it checks: where an MBR record has the type EE, a GPT header is at sector 1 or in the last sector.
    A note on an ISO image.

    Why it matters: the GPT with all partitions is lost, most often because the image was cut and its start
    overwritten; nothing in it can be found without it.

    What to do: take a fresh copy of the image; `gdisk` can search for old partitions.

    References: UEFI Specification, section 5.2.3 ("Protective MBR").
    """
    protecting = [slot for slot in facts.slots if slot.entry.os_type == PROTECTIVE and slot.entry.size_in_lba]
    if protecting and not facts.guarded:
        yield protects_no_gpt.at(
            f"record {protecting[0].number} has the type EE, no GPT header is at sector 1 or at the end",
            field="os_type",
            offset=protecting[0].offset + 4,
            length=1,
            severity=severity(facts, "error"),
        )


MBR = (chain_broken, several_active, protects_no_gpt)
