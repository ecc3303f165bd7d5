"""CNV: what is around the disk that is converted. Cost of each: what the reports say."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.conversion.checks import seen
from imgtool.conversion.planned import Planned
from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits
from imgtool.model.report import Report
from imgtool.policy.asked import disks


@rule("CNV010", "container-left-behind", "note")
def container_left_behind(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The disk is taken out of its container.

    What it checks: the source is an appliance or an archive, of which the target holds one disk.

    Why it matters: the machine's description (memory, adapters, networks), other disks, the manifest and its
    signature are not in the target.

    What to do: keep the container, or convert every disk by `--out-dir`.
    """
    for around in seen.way_in(planned):
        from imgtool.containers.compressed.facts import CompressedFacts

        if not isinstance(around.details, CompressedFacts):
            told = [*_described(around), *_other_disks(around, planned.report)]
            beside = f" with {', '.join(told)}" if told else ""
            yield container_left_behind.at(f"the {around.container_format} stays behind{beside}")


def _described(around: Report) -> Iterator[str]:
    """What a container says of the machine, and of itself."""
    from imgtool.containers.envelope.facts import EnvelopeFacts
    from imgtool.containers.ova.facts import OvaFacts

    details = around.details
    if isinstance(details, EnvelopeFacts):
        for system in details.systems[:1]:
            more = f" and of {len(details.systems) - 1} more" if len(details.systems) > 1 else ""
            yield f"the description of the machine {system.name or system.id or 'in it'}{more}"
        if details.networks:
            yield seen.counted(len(details.networks), "network")
    if isinstance(details, OvaFacts):
        yield from (name for name in (details.manifest_file, details.certificate) if name is not None)


def _other_disks(around: Report, converted: Report) -> list[str]:
    """The disks of a container beside the one that is converted, in short."""
    others = [path for path, report in disks(around) if not seen.holds(report, converted)]
    return [f"{seen.counted(len(others), 'other disk')} ({seen.listed(others)})"] if others else []


@rule("CNV012", "partitions-left-out", "warning")
def partitions_left_out(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """A machine image holds the root file system alone.

    What it checks: the disk has partitions beside the root file system (an EFI system partition, a BIOS boot
    partition), which an ami does without.

    Why it matters: the image starts only where the kernel comes from outside (aki, ari), not as a disk.

    What to do: convert to raw where the whole disk is wanted.
    """
    if planned.left_out:
        told = seen.listed([f"{one.number} ({one.type_name or one.type})" for one in planned.left_out])
        yield partitions_left_out.at(f"partitions stay behind: {told}")


@rule("CNV019", "wrapper-removed", "note")
def wrapper_removed(planned: Planned, limits: Limits) -> Iterator[Finding]:
    """The disk is decompressed on its way.

    What it checks: the source is a compressed file (gzip, xz, zstd, bzip2, lz4, zip) around an image.

    Why it matters: the target is larger than the file that was given; the checksum over the content, the name, the
    time and the comment that the wrapper keeps are not in the target.

    What to do: nothing, where the image is to be used; a target can be compressed itself (`--compress`).
    """
    for around in seen.way_in(planned):
        from imgtool.containers.compressed.facts import CompressedFacts

        if isinstance(around.details, CompressedFacts):
            facts = around.details
            told = [f"the name {facts.stored_name}"] if facts.stored_name else []
            told += [f"the comment {facts.comment!r}"] if facts.comment else []
            told += [f"the {facts.check} of the content"] if facts.check not in (None, "none") else []
            kept = f", and with it {', '.join(told)}" if told else ""
            yield wrapper_removed.at(f"the {facts.wrapper} around the disk is taken off{kept}")


RULES = (container_left_behind, partitions_left_out, wrapper_removed)
