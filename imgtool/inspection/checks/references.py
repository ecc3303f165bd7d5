"""The rules of any image over what it names outside itself (IMG1xx). Cost: nothing is read, nothing is opened."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.inspection.subject import Subject
from imgtool.limits import Limits
from imgtool.model.values import Reference

#: Names that are devices in every folder of a Windows system, whatever ending they have.
_WINDOWS_DEVICES = frozenset(
    (
        *("con", "prn", "aux", "nul", "conin$", "conout$"),
        *(f"{port}{number}" for port in ("com", "lpt") for number in (*range(10), "¹", "²", "³")),
    )
)

#: Characters that turn the direction of what follows, or take no room: what is shown is not what is opened.
_UNSEEN = frozenset((0x061C, 0xFEFF, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070)))


@rule("IMG101", "external-reference", "error")
def external_reference(subject: Subject, limits: Limits) -> Iterator[Finding]:
    """The image refers to something outside the file.

    What it checks: backing files, data files, extents, parents, change-tracking paths: anything a program
    would open because the image names it.

    Why it matters: whoever opens the image reads that file with his own rights; hosts have been read out
    this way (CVE-2015-5163, CVE-2022-47951, CVE-2024-32498). It also does not work anywhere else.

    What to do: make it self-contained: `qemu-img convert` it where its references are, or
    `qemu-img rebase -b ""`.
    """
    for reference in subject.references:
        yield external_reference.at(
            f"{reference.kind}: {reference.value!r}",
            field=reference.kind,
            offset=reference.offset,
            length=reference.length,
        )


@rule("IMG102", "unsafe-reference", "error")
def unsafe_reference(subject: Subject, limits: Limits) -> Iterator[Finding]:
    """A reference could lead anywhere.

    What it checks: a reference that is an absolute path, has `..`, a backslash, a drive letter, a NUL, control
    characters or characters that are not seen, is the name of a Windows device, or begins like a protocol (`json:`,
    `nbd:`, `file:` …); judged as it stands and as a C program would read it, up to its first NUL.

    Why it matters: such names reach files and servers that have nothing to do with the image
    (CVE-2024-4467).

    What to do: do not open the image with anything that follows references; make it self-contained
    where it was made.
    """
    for reference in subject.references:
        reason = reference_fault(reference)
        if reason:
            yield unsafe_reference.at(
                f"{reference.kind} {reference.value!r}: {reason}",
                field=reference.kind,
                offset=reference.offset,
                length=reference.length,
            )


def reference_fault(reference: Reference) -> str | None:
    """Why a reference could lead anywhere; None for a plain relative name."""
    cut = reference.value.partition("\0")[0]
    whole = dict.fromkeys(_faults(reference.value))
    further = (f"{fault} up to its NUL" for fault in _faults(cut) if fault not in whole)
    return "; ".join((*whole, *further)) or None


def _faults(name: str) -> Iterator[str]:
    if any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in name):
        yield "control characters"
    if any(ord(letter) in _UNSEEN for letter in name):
        yield "characters that are not seen"
    parts = name.replace("\\", "/").split("/")
    head, colon, _ = parts[0].partition(":")
    if name.startswith(("\\\\?\\", "\\\\.\\")):
        yield "a device path"
    elif name.startswith(("//", "\\\\")):
        yield "a path of the network"
    elif name.startswith(("/", "\\")):
        yield "an absolute path"
    if "\\" in name:
        yield "a backslash"
    if ".." in (part.strip() for part in parts):
        yield "leaves its folder by `..`"
    if colon:
        yield "a drive" if len(head) == 1 and head.isalpha() else f"a protocol ({head}:)"
    if parts[0] == "~" or (parts[0].startswith("~") and len(parts) > 1):
        yield "a home folder"
    if any(part.partition(".")[0].rstrip(" ").lower() in _WINDOWS_DEVICES for part in parts):
        yield "a device of Windows"


RULES = (external_reference, unsafe_reference)
