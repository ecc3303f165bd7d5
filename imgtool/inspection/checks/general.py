"""The rules of any image (IMG). Cost of each: what the conductor has seen anyway; nothing is read."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.disks.recognise import Failure
from imgtool.findings.core import Finding, rule
from imgtool.inspection.checks import polyglots, references
from imgtool.inspection.subject import ExpectedDigest, Subject
from imgtool.limits import Limits
from imgtool.model.values import Problem, ProblemKind
from imgtool.units import SECTOR


def _of_kind(subject: Subject, kind: ProblemKind) -> Iterator[Problem]:
    return (problem for problem in subject.problems if problem.kind == kind)


@rule("IMG002", "structure-truncated", "error")
def structure_truncated(subject: Subject, limits: Limits) -> Iterator[Finding]:
    """A structure that the image refers to lies past the end of the file.

    What it checks: every header, table and string that the reader needs is there in full.

    Why it matters: the file was cut, most often by a download or copy that ended early.

    What to do: fetch the image again and compare its size and checksum with the publisher's.
    """
    for problem in _of_kind(subject, "truncated"):
        yield structure_truncated.at(
            problem.message, field=problem.what, offset=problem.offset, length=problem.length
        )


@rule("IMG003", "structure-malformed", "error")
def structure_malformed(subject: Subject, limits: Limits) -> Iterator[Finding]:
    """A structure of the image does not hold what its format says.

    What it checks: every header, table and string that the reader parses has the form its specification
    gives it.

    Why it matters: programs differ in what they make of malformed structures; some crash, some guess.

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    for problem in _of_kind(subject, "malformed"):
        yield structure_malformed.at(
            problem.message, field=problem.what, offset=problem.offset, length=problem.length
        )


@rule("IMG004", "broken-format", "error")
def broken_format(subject: Subject, limits: Limits) -> Iterator[Finding]:
    """The mark of a format is there and the rest of it cannot be read.

    What it checks: a file with a known magic (or a second signature of the format) can be read as that
    format.

    Why it matters: some programs would take such a file for raw bytes, others for the format: the same
    file with two verdicts.

    What to do: fetch the image again; if it really is raw data that looks like this by chance, wrap it in
    a format (`qemu-img convert -f raw -O qcow2`).
    """
    for reading in subject.readings:
        if reading.facts.broken:
            message = f"{reading.entry.name}: the mark at {reading.offset} is there, the rest cannot be read"
            yield broken_format.at(message, offset=reading.offset)


@rule("IMG005", "empty-file", "error")
def empty_file(subject: Subject, limits: Limits) -> Iterator[Finding]:
    """The file has no bytes.

    What it checks: the size is not 0.

    Why it matters: an empty file is never an image; it is what a failed download or export leaves.

    What to do: make or fetch the image again.
    """
    if subject.size == 0:
        yield empty_file.at("the file is empty", offset=0, length=0)


@rule("IMG007", "not-read-from-stream", "note")
def not_read_from_stream(subject: Subject, limits: Limits) -> Iterator[Finding]:
    """A structure lay in a part of the stream that was not kept, or in a disk that cannot be read.

    What it checks: when the image comes from a pipe or out of a compressed wrapper, only its head, its
    tail and what the head refers to further on are kept; this names what was not. So it does where the
    guest's disk cannot be looked into (a feature that nobody knows).

    Why it matters: facts and checks that need that structure are missing from the report.

    What to do: inspect the file itself instead of a stream; convert an image whose features are unknown with
    the program that made it.
    """
    for problem in _of_kind(subject, "not-read"):
        yield not_read_from_stream.at(
            problem.message, field=problem.what, offset=problem.offset, length=problem.length
        )


@rule("IMG008", "not-whole-sectors", "warning")
def not_whole_sectors(subject: Subject, limits: Limits) -> Iterator[Finding]:
    """The virtual disk does not end on a sector.

    What it checks: the virtual size of a disk format is a multiple of 512.

    Why it matters: virtual disks are read in sectors; programs round the rest up or cut it off.

    What to do: `qemu-img resize` (or `truncate` for a raw file) to whole sectors.
    """
    size, facts = subject.primary.facts.virtual_size, subject.primary.facts
    if size is not None and size % SECTOR and facts.format not in ("aki", "ari"):
        yield not_whole_sectors.at(f"the virtual size of {size} bytes is not a multiple of {SECTOR}")


@rule("IMG201", "over-a-cap", "error")
def over_a_cap(subject: Subject, limits: Limits) -> Iterator[Finding]:
    """A size or count in the image is over the cap that keeps reading it bounded.

    What it checks: no structure asks for more bytes or entries than its named cap in `limits`.

    Why it matters: a reader that trusts such a number runs out of memory or time (CVE-2014-0222,
    CVE-2015-5162).

    What to do: if the image is sound, convert it where it was made; no usual tool writes such numbers.
    """
    for problem in _of_kind(subject, "cap"):
        yield over_a_cap.at(problem.message, field=problem.what, offset=problem.offset, length=problem.length)


@rule("IMG202", "nested-too-deep", "warning")
def nested_too_deep(subject: Subject, limits: Limits) -> Iterator[Finding]:
    """Containers are nested deeper than is looked into.

    What it checks: members of containers are opened down to a depth (4 unless `--depth` says more).

    Why it matters: what lies deeper was not seen, and nesting without need hides things.

    What to do: unpack the outer layers, or raise `--depth`.
    """
    if subject.too_deep:
        yield nested_too_deep.at("its members were not looked into: the depth limit is reached")


@rule("IMG006", "changed-while-read", "error")
def changed_while_read(what: str | None, limits: Limits) -> Iterator[Finding]:
    """The file changed while it was read.

    What it checks: size, modification time and inode are the same before and after.

    Why it matters: the report and the checksum may describe a file that never existed as a whole.

    What to do: stop what writes to it (a running guest, an unfinished copy) and inspect it again.
    """
    if what:
        yield changed_while_read.at(f"its {what} changed while it was read")


@rule("IMG301", "digest-differs", "error")
def digest_differs(digest: ExpectedDigest, limits: Limits) -> Iterator[Finding]:
    """The digest is not the expected one.

    What it checks: the digest of the file equals the one given by `--expect`.

    Why it matters: the file is not the one that was published: damaged, outdated or replaced.

    What to do: fetch the image again, and check where the expected digest comes from.
    """
    if digest.expected != digest.actual:
        yield digest_differs.at(f"{digest.algorithm} is {digest.actual}, expected {digest.expected}")


@rule("IMG901", "reader-failed", "error")
def reader_failed(failure: Failure, limits: Limits) -> Iterator[Finding]:
    """The reader of a format failed in a way that it should not.

    What it checks: no reader ends with an unexpected error.

    Why it matters: the image was not understood, so nothing said about it can be relied on; it is
    rejected. This is a bug in imgtool.

    What to do: report it with the image (or its first mebibyte).
    """
    yield reader_failed.at(f"{failure.where}: {failure.error}")


@rule("IMG902", "rule-failed", "error")
def rule_failed(failure: Failure, limits: Limits) -> Iterator[Finding]:
    """A check failed in a way that it should not.

    What it checks: no rule ends with an unexpected error.

    Why it matters: what the rule looks for may be there; the image is rejected. This is a bug in imgtool.

    What to do: report it with the image (or its first mebibyte).
    """
    yield rule_failed.at(f"{failure.where}: {failure.error}")


#: Rules over a Subject; the others are asked by the conductor where their matter arises.
RULES = (
    *polyglots.RULES,
    structure_truncated,
    structure_malformed,
    broken_format,
    empty_file,
    not_read_from_stream,
    not_whole_sectors,
    *references.RULES,
    over_a_cap,
    nested_too_deep,
)
