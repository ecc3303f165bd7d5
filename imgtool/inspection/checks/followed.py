"""The rule over references that were followed. Cost: the headers of each file of the chain are read."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits


@rule("IMG103", "reference-does-not-hold", "error")
def reference_does_not_hold(fault: str | None, limits: Limits) -> Iterator[Finding]:
    """A reference that may be followed leads nowhere, or where it may not.

    What it checks: where the policy has references followed, each file of the chain is there, lies below the allowed
    folder, is an image that can be read, and closes no circle; the chain is not deeper than its cap.

    Why it matters: the image is not readable without the file, and a chain that leaves its folder reads files of
    whoever opens it.

    What to do: put the files beside the image, or make it self-contained (`qemu-img convert`).
    """
    if fault:
        yield reference_does_not_hold.at(fault, field="references")
