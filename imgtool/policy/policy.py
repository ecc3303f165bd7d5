"""What content may be: the allow-lists, ceilings and severities of a site, as one frozen value."""

from typing import Literal, NamedTuple

from imgtool.findings.core import Finding
from imgtool.limits import DEFAULT

#: What a rule's findings count as under a policy; "off" leaves them out.
Level = Literal["error", "warning", "note", "off"]

#: What can reject.
Threshold = Literal["error", "warning"]

THRESHOLDS: tuple[Threshold, ...] = ("error", "warning")

LEVELS: tuple[Level, ...] = ("error", "warning", "note", "off")

#: Kinds of references that an image can have (model.values.ReferenceKind).
REFERENCE_KINDS = ("backing", "data-file", "extent", "parent", "change-tracking", "sidecar", "descriptor", "href")

#: A check that failed always rejects: no policy moves it and nothing leaves it out.
FAILED = "IMG9"


class Policy(NamedTuple):
    """A policy. Sizes in bytes; None where everything is allowed.

    `disk_formats`, `container_formats`: what content may be; names as imgtool prints them.
    `inspected`: containers whose content is judged at all.
    `severities`: (selector, level) pairs; a selector is a code, the beginning of codes ("QCW", "QCW1") or a rule's
    name, and the longest one that fits decides. `fail_on`: what rejects.
    `encrypted`: content that cannot be looked into without a key is accepted. `incomplete`: so is what rules could
    not see. `refuse`: facts that content may not have ("qcow2.extended_l2", "luks.version=2", "x.y!=z").
    `allow_references`: kinds that an image may name; `follow_references`: those that it may name where the caller
    has them opened, below the folder that he allows, and they hold.
    `expansion_ratio`: virtual size for each byte of the file. `depth`: containers that are looked into.
    `require_checksums`: algorithms of which the caller must give a digest. `create_types`: of VMDK;
    `creators`: programs that images may say they were made by (shell patterns).
    """

    name: str
    title: str = ""
    disk_formats: tuple[str, ...] | None = None
    container_formats: tuple[str, ...] | None = None
    inspected: tuple[str, ...] | None = None
    severities: tuple[tuple[str, Level], ...] = ()
    fail_on: Threshold = "error"
    encrypted: bool = False
    incomplete: bool = True
    refuse: tuple[str, ...] = ()
    allow_references: tuple[str, ...] = ()
    follow_references: tuple[str, ...] = ()
    create_types: tuple[str, ...] | None = None
    creators: tuple[str, ...] | None = None
    virtual_size: int | None = None
    file_size: int | None = None
    expansion_ratio: int | None = None
    depth: int = DEFAULT.depth
    require_checksums: tuple[str, ...] = ()

    def level(self, finding: Finding) -> Level:
        """What a finding counts as. The beginning of codes moves errors and warnings; a note of its rules stays one,
        unless it is left out. A failed check is never moved."""
        code, name = finding.code, finding.name
        if code.startswith(FAILED):
            return finding.severity
        fitting = [pair for pair in self.severities if selects(pair[0], code, name)]
        if not fitting:
            return finding.severity
        selector, level = max(fitting, key=lambda pair: len(pair[0]))
        stays = finding.severity == "note" and selector not in (code, name) and level != "off"
        return "note" if stays else level


def selects(selector: str, code: str, name: str) -> bool:
    """True where a selector names the rule: its code, the beginning of it, or its name."""
    return code.startswith(selector) or name == selector
