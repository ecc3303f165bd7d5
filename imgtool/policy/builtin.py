"""The policies that come with imgtool."""

from __future__ import annotations

from imgtool.errors import UsageError
from imgtool.policy.policy import REFERENCE_KINDS, Policy

_CLOUD = ("raw", "qcow2", "qcow", "vhd", "vhdx", "vmdk", "vdi", "parallels", "iso", "ami", "ari", "aki")
_CONTAINERS = ("bare", "ova", "ovf", "docker", "ami", "ari", "aki", "compressed")
_SELF_CONTAINED = ("monolithicSparse", "streamOptimized")

DEFAULT = Policy(
    name="default",
    title="sound images: self-contained, unencrypted, of a format that clouds serve",
    disk_formats=_CLOUD,
    container_formats=_CONTAINERS,
    severities=(("IMG202", "error"),),
    create_types=_SELF_CONTAINED,
    expansion_ratio=1000,
)

STRICT = DEFAULT._replace(
    name="strict",
    title="sound, clean and whole: warnings reject, and so does what could not be looked at",
    fail_on="warning",
    incomplete=False,
)

PERMISSIVE = Policy(
    name="permissive",
    title="whatever can be read: references, encryption and every format; damage and ambiguity reject",
    severities=(
        ("IMG102", "warning"),
        ("OVF101", "warning"),
        ("QCW103", "warning"),
        ("QCW401", "warning"),
        ("QCW450", "warning"),
        ("VMD102", "warning"),
        ("ZIP401", "warning"),
    ),
    encrypted=True,
    allow_references=REFERENCE_KINDS,
)

#: The service looks at marks and at a few fields; what else is wrong inside is a warning.
_UNCHECKED = ("IMG", "QCW", "VMD", "VHD", "VHX", "VDI", "ISO", "PRT", "LUK", "PAR", "OTH")

GLANCE = Policy(
    name="glance",
    title="what OpenStack's image service lets in today",
    disk_formats=("raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "parallels", "iso", "luks", "ami", "ari", "aki"),
    container_formats=_CONTAINERS,
    inspected=("bare",),
    severities=(
        *((family, "warning") for family in _UNCHECKED),
        *(
            (code, "error")
            for code in ("IMG001", "IMG005", "IMG010", "IMG011", "IMG012", "IMG013", "IMG014", "IMG101")
        ),
        *((code, "error") for code in ("IMG2", "IMG3", "IMG4", "IMG5")),
        *((code, "error") for code in ("QCW005", "VMD009", "VMD011", "VMD025", "VMD028", "VMD032")),
        *((code, "error") for code in ("VMD102", "VMD502")),
        ("PRT008", "error"),
    ),
    encrypted=True,
    refuse=("qcow2.extended_l2", "luks.version=2", "vmdk.descriptor.offset!=512"),
    allow_references=tuple(kind for kind in REFERENCE_KINDS if kind not in ("backing", "data-file")),
    create_types=_SELF_CONTAINED,
)

BUILTIN: dict[str, Policy] = {policy.name: policy for policy in (DEFAULT, GLANCE, STRICT, PERMISSIVE)}


def builtin(name: str) -> Policy:
    """The policy of a name. Raises UsageError."""
    if name not in BUILTIN:
        raise UsageError(f"no such policy: {name!r} (one of {', '.join(BUILTIN)}, or the path of a TOML file)")
    return BUILTIN[name]
