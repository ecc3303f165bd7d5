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

GLANCE = Policy(
    name="glance",
    title="what OpenStack's image service lets in today",
)

BUILTIN: dict[str, Policy] = {policy.name: policy for policy in (DEFAULT, GLANCE, STRICT, PERMISSIVE)}


def builtin(name: str) -> Policy:
    """The policy of a name. Raises UsageError."""
    if name not in BUILTIN:
        raise UsageError(f"no such policy: {name!r} (one of {', '.join(BUILTIN)}, or the path of a TOML file)")
    return BUILTIN[name]
