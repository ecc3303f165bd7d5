"""The rules that only a claim or a policy can raise. Cost of each: what the report says; nothing is read."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits
from imgtool.model.report import Report
from imgtool.policy.asked import Asked, claimed, disks, everything, honest_formats
from imgtool.policy.names import MACHINE
from imgtool.units import human_size


def _told(report: Report) -> str:
    """What the content is, for messages."""
    state = "broken " if report.broken else ""
    also = [name for name in honest_formats(report) if name != report.format]
    usable = f" (usable as {', '.join(also)} too)" if also else ""
    return f"{state}{report.format or 'of no known format'}{usable}"


@rule("IMG010", "disk-format-differs", "error")
def disk_format_differs(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """The content is not of the disk format that is claimed.

    What it checks: the disk format that the uploader names (`--disk-format`) is one that the content honestly
    satisfies. What is inside a container counts where there is one. Raw bytes with a container's magic in them are
    not raw; a plain optical disc image is not raw, a hybrid one is both.

    Why it matters: a program that believes the claim and one that looks at the bytes open different disks; a raw
    disk into which a guest wrote a header has read out hosts this way (CVE-2008-2004, CVE-2015-1851,
    CVE-2024-40767, CVE-2024-44082).

    What to do: claim what the image is, or convert it to the format that is wanted, naming its own format
    explicitly.
    """
    claim = claimed(asked.claims).disk
    if claim is not None and claim not in honest_formats(asked.report):
        yield disk_format_differs.at(f"claimed {claim}, the content is {_told(asked.report)}", field="disk_format")


@rule("IMG011", "container-format-differs", "error")
def container_format_differs(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """The content is not in the container that is claimed.

    What it checks: the container format that the uploader names (`--container-format`) is the wrapper around the
    disk: bare for none. An unpartitioned Linux file system may be called ami.

    Why it matters: a wrapper that nobody expects is handed on unread, and what is in it is never looked at; a
    missing one fails at boot.

    What to do: claim the container that is there, or unpack the disk and claim bare.
    """
    claim, actual = claimed(asked.claims).container, asked.report.container_format
    if claim is None or claim == actual:
        return
    if claim in MACHINE and actual == "bare" and claim in honest_formats(asked.report):
        return
    yield container_format_differs.at(f"claimed {claim}, the content is in {actual}", field="container_format")


@rule("IMG012", "machine-image-formats-differ", "error")
def machine_image_formats_differ(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """Kernel, ramdisk or machine image are claimed as one format and as another container.

    What it checks: where ami, ari or aki is claimed as disk format or as container format, both are the same
    one of the three.

    Why it matters: image services refuse the pair, since it has no meaning.

    What to do: claim the same name for both, or leave one out.
    """
    pair = claimed(asked.claims)
    if None not in pair and pair.disk != pair.container and {pair.disk, pair.container} & set(MACHINE):
        message = f"disk format {pair.disk} in container format {pair.container}"
        yield machine_image_formats_differ.at(message, field="container_format")


@rule("IMG013", "disk-format-not-allowed", "error")
def disk_format_not_allowed(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """The disk format is not one that the policy allows.

    What it checks: the claimed format, else one of those that the content satisfies, is on the policy's list; so
    is that of every disk inside a container.

    Why it matters: each format that is accepted is another reader that must hold against hostile images; formats
    that no cloud serves only make trouble later.

    What to do: convert the image to an allowed format (`imgtool convert --to FORMAT`).
    """
    allowed = asked.policy.disk_formats
    if allowed is None:
        return
    claim, shown = claimed(asked.claims).disk, ", ".join(allowed)
    honest = (claim,) if claim is not None else honest_formats(asked.report)
    known_bad = not honest and any(finding.severity == "error" for finding in asked.report.findings)
    if not known_bad and not set(honest) & set(allowed):
        what = honest[0] if honest else "of no known format"
        message = f"the disk is {what}; allowed: {shown}"
        yield disk_format_not_allowed.at(message, field="disk_format")
    for path, disk in disks(asked.report):
        if not set(honest_formats(disk)) & set(allowed):
            yield disk_format_not_allowed.at(f"the disk is {disk.format}; allowed: {shown}")._replace(member=path)


@rule("IMG014", "container-format-not-allowed", "error")
def container_format_not_allowed(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """The container format is not one that the policy allows.

    What it checks: the claimed container format, else the one that is there, is on the policy's list.

    Why it matters: a service that cannot open a container stores what nobody can check or start.

    What to do: unpack the disk and give it bare, or use an allowed container.
    """
    allowed = asked.policy.container_formats
    name = claimed(asked.claims).container or asked.report.container_format
    if allowed is not None and name not in allowed:
        message = f"the container is {name}; allowed: {', '.join(allowed)}"
        yield container_format_not_allowed.at(message, field="container_format")


@rule("IMG203", "virtual-size-over-limit", "error")
def virtual_size_over_limit(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """The disk is larger than allowed.

    What it checks: the virtual size of the image, and of each disk inside a container, is not over the policy's
    ceiling or `--max-virtual-size`.

    Why it matters: a small file can stand for a disk that fills a host when it is written out (CVE-2013-2096,
    CVE-2013-4463).

    What to do: shrink the disk where it was made (`qemu-img resize --shrink`, after its file systems), or ask for
    a higher limit.
    """
    asks = (asked.claims.max_virtual_size, asked.policy.virtual_size)
    most = min((size for size in asks if size is not None), default=None)
    if most is None:
        return
    for path, report in everything(asked.report):
        if report.virtual_size is not None and report.virtual_size > most:
            message = f"the virtual size is {_size(report.virtual_size)}, the limit {_size(most)}"
            yield virtual_size_over_limit.at(message, field="virtual_size")._replace(member=path)


@rule("IMG204", "larger-than-min-disk", "error")
def larger_than_min_disk(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """The image does not fit on the smallest disk that it is said to need.

    What it checks: the virtual size is not over `--min-disk`.

    Why it matters: a flavor with a disk of that size is offered for the image, and the launch fails.

    What to do: claim at least the virtual size, or shrink the disk where it was made.
    """
    least, size = asked.claims.min_disk, asked.report.virtual_size
    if least is not None and size is not None and size > least:
        message = f"the virtual size is {_size(size)}, claimed to fit on {_size(least)}"
        yield larger_than_min_disk.at(message, field="virtual_size")


@rule("IMG205", "file-size-over-limit", "error")
def file_size_over_limit(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """The file is larger than allowed.

    What it checks: the bytes of the file against the policy's ceiling.

    Why it matters: it would not be stored, or leave no room for others.

    What to do: compress the image (`qemu-img convert -c`), zero its free space first, or ask for a higher limit.
    """
    most, size = asked.policy.file_size, asked.report.size
    if most is not None and size is not None and size > most:
        yield file_size_over_limit.at(f"the file is {_size(size)}, the limit {_size(most)}", field="size")


@rule("IMG206", "expansion-ratio", "warning")
def expansion_ratio(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """The disk is very much larger than the file.

    What it checks: the virtual size for each byte of the file against the policy's ceiling, above a floor of
    virtual size (`limits.expansion_floor`): empty disks of usual sizes are small files by rights.

    Why it matters: written out whole, such an image fills a host (CVE-2013-2096, CVE-2013-4463).

    What to do: nothing, if the disk is meant to be that large and empty; else make it as large as it has to be.
    """
    most, size, virtual = asked.policy.expansion_ratio, asked.report.size, asked.report.virtual_size
    if most is None or not size or virtual is None or virtual <= limits.expansion_floor:
        return
    if virtual > most * size:
        message = f"{_size(virtual)} of virtual size in a file of {_size(size)}: more than {most} for each byte"
        yield expansion_ratio.at(message, field="virtual_size")


@rule("IMG207", "needs-more-memory", "error")
def needs_more_memory(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """The image needs more memory than it is said to need.

    What it checks: the memory that an OVF descriptor asks for, and the bytes of a kernel or ramdisk, are not over
    `--min-ram`.

    Why it matters: a flavor with that memory is offered for the image, and the guest does not start.

    What to do: claim at least what the image asks for.
    """
    least, report = asked.claims.min_ram, asked.report
    if least is None:
        return
    if report.format in ("aki", "ari") and report.size is not None and report.size > least:
        yield needs_more_memory.at(f"the file is {_size(report.size)}, claimed to start in {_size(least)}")
    if report.container_format not in ("ova", "ovf"):
        return
    from imgtool.containers.envelope.facts import EnvelopeFacts

    for system in report.details.systems if isinstance(report.details, EnvelopeFacts) else ():
        if system.memory is not None and system.memory > least:
            asks = f"system {system.id!r} asks for {_size(system.memory)}"
            yield needs_more_memory.at(f"{asks}, claimed to start in {_size(least)}", field="memory")


@rule("IMG302", "checksum-missing", "error")
def checksum_missing(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """A checksum that the policy requires was not given.

    What it checks: the caller gave an expected digest (`--expect`) of each algorithm that the policy names.

    Why it matters: without one, nobody knows whether the file that arrived is the one that was sent.

    What to do: give the publisher's digest (`--expect sha256:…`).
    """
    given = {text.partition(":")[0] for text in asked.claims.expect}
    for name in asked.policy.require_checksums:
        if name not in given:
            yield checksum_missing.at(f"no {name} was given", field="checksums")


@rule("IMG401", "content-encrypted", "error")
def content_encrypted(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """The content cannot be looked into without a key.

    What it checks: neither the image nor a disk in it is encrypted, unless the policy allows that. An error of
    the format's own rules about its encryption stands for this one.

    Why it matters: nothing can be said of what is inside; it is not safe, it is unknown.

    What to do: convert it with its key to an image without encryption, or have it accepted by a policy with
    `encrypted = true`.
    """
    if asked.policy.encrypted:
        return
    for path, report in everything(asked.report):
        told = any(finding.code[3] == "4" and finding.severity == "error" for finding in report.findings)
        if report.encrypted and not told and not any(inner.encrypted for _, inner in disks(report)):
            message = f"{report.format or report.container_format} is encrypted"
            yield content_encrypted.at(message, field="encrypted")._replace(member=path)


@rule("IMG501", "creator-not-allowed", "error")
def creator_not_allowed(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """The program that made the image is not one that the policy allows.

    What it checks: the creator that a VHD, VHDX or VDI names, on the policy's list of shell patterns. Formats that
    name none pass.

    Why it matters: a site may know that images of one program are written wrongly. The name proves nothing: whoever
    makes an image writes it.

    What to do: convert the image with an allowed program.
    """
    allowed = asked.policy.creators
    if allowed is None:
        return
    from imgtool.policy.facts import creators_of

    for path, report in everything(asked.report):
        for field, creator in creators_of(report):
            if not any(fnmatchcase(creator.strip(), pattern) for pattern in allowed):
                message = f"made by {creator!r}; allowed: {', '.join(allowed) or 'none'}"
                yield creator_not_allowed.at(message, field=field)._replace(member=path)


@rule("IMG502", "feature-refused", "error")
def feature_refused(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """The image uses a feature that the policy refuses.

    What it checks: the facts of the format that the policy names (`refuse = ["qcow2.extended_l2"]`), of the image
    and of each disk in it.

    Why it matters: the programs that the image is for do not know the feature.

    What to do: convert the image without it (`qemu-img convert`, whose defaults are widely read).
    """
    if not asked.policy.refuse:
        return
    from imgtool.policy.facts import holds

    for path, report in everything(asked.report):
        for condition in asked.policy.refuse:
            value = holds(condition, report)
            if value is not None:
                message = f"refused: {condition} (it is {value})"
                field = condition.partition(".")[2].partition("=")[0].rstrip("!")
                yield feature_refused.at(message, field=field)._replace(member=path)


@rule("VMD502", "vmdk-create-type-not-allowed", "error")
def create_type_not_allowed(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """The kind of VMDK is not one that the policy allows.

    What it checks: createType, without case, is on the policy's list. monolithicSparse and streamOptimized are
    self-contained; the others refer to further files, and are told by their references where those are not allowed.

    Why it matters: the other kinds name files and devices of the host that opens them (CVE-2015-5162 and its kin,
    CVE-2022-47951).

    What to do: convert it to one file: `qemu-img convert -O vmdk -o subformat=streamOptimized`.
    """
    allowed = asked.policy.create_types
    for path, report in everything(asked.report) if allowed is not None else ():
        kind = getattr(report.details, "create_type", None) if report.format == "vmdk" else None
        if any(reference.kind not in asked.policy.allow_references for reference in report.references):
            continue
        if isinstance(kind, str) and kind.lower() not in {name.lower() for name in allowed or ()}:
            message = f"createType is {kind!r}; allowed: {', '.join(allowed or ()) or 'none'}"
            yield create_type_not_allowed.at(message, field="createType")._replace(member=path)


def _size(size: int) -> str:
    return human_size(size) if size < 1024 else f"{human_size(size)} ({size} bytes)"


RULES = (
    disk_format_differs,
    container_format_differs,
    machine_image_formats_differ,
    disk_format_not_allowed,
    container_format_not_allowed,
    virtual_size_over_limit,
    larger_than_min_disk,
    file_size_over_limit,
    expansion_ratio,
    needs_more_memory,
    checksum_missing,
    content_encrypted,
    creator_not_allowed,
    feature_refused,
    create_type_not_allowed,
)
