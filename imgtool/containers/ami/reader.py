"""An EC2 bundle manifest (`image.manifest.xml`): what an image was cut, packed and encrypted into.

The parts lie beside it; they are named, never opened.

Reference: Amazon EC2 AMI tools, the manifest of version 2007-10-10.
"""

from __future__ import annotations

from itertools import islice

from imgtool.containers.ami.facts import BlockDevice, BundleFacts, Digest, Part
from imgtool.limits import Limits
from imgtool.model.values import Reference
from imgtool.structs.view import View
from imgtool.structs.xmltree import Element, XmlFault, parse_xml


def read(view: View, limits: Limits) -> BundleFacts:
    """The facts of a manifest. One that cannot be read gives broken facts; Unreadable where it is cut."""
    fault, forbidden = None, False
    root = Element("manifest", {})
    size = min(view.size, limits.xml_size + 1)
    try:
        root = parse_xml(view.read(0, size, "bundle manifest"), limits)
    except XmlFault as error:
        fault, forbidden = error.message, error.kind == "forbidden"
        message = f"bundle manifest: {error.message}"
        view.problem(
            "bundle manifest", message, kind="cap" if error.kind == "cap" else "malformed", offset=0, length=size
        )
    machine = _below(root, "machine_configuration")
    image = _below(root, "image")
    parts = image.first("parts")
    found = tuple(_part(part) for part in islice(parts.all("part"), limits.ami_parts)) if parts else ()
    key = image.first("ec2_encrypted_key") or image.first("user_encrypted_key")
    names = [part.filename for part in found if part.filename]
    image_size = whole(image.value("size"))
    return BundleFacts(
        format="ami",
        file_size=view.size,
        virtual_size=image_size,
        encrypted=key is not None,
        broken=fault is not None,
        partial=bool(view.problems),
        label=image.value("name"),
        references=tuple(Reference("extent", name) for name in names[: limits.references]),
        problems=view.problems,
        disk_format="ami",
        version=root.value("version"),
        bundler=_bundler(root),
        image_name=image.value("name"),
        image_type=image.value("type"),
        user=image.value("user"),
        architecture=machine.value("architecture"),
        kernel_id=machine.value("kernel_id"),
        ramdisk_id=machine.value("ramdisk_id"),
        image_size=image_size,
        bundled_size=whole(image.value("bundled_size")),
        digest=_digest(image),
        key_algorithm=key.get("algorithm") if key else None,
        signed=root.value("signature") is not None,
        parts_stated=whole(parts.get("count")) if parts else None,
        parts=found,
        block_devices=_block_devices(machine, limits),
        fault=fault,
        forbidden=forbidden,
    )


def whole(value: str | None) -> int | None:
    """A decimal number of at most 63 bits; None for anything else."""
    if value is None or len(value) > 19 or not (value.isascii() and value.isdigit()):
        return None
    return int(value) if int(value) < 1 << 63 else None


def _below(element: Element, name: str) -> Element:
    return element.first(name) or Element(name, {})


def _bundler(root: Element) -> str | None:
    bundler = _below(root, "bundler")
    parts = (bundler.value("name"), bundler.value("version"), bundler.value("release"))
    return " ".join(part for part in parts if part) or None


def _digest(element: Element) -> Digest | None:
    digest = element.first("digest")
    return Digest(digest.get("algorithm"), digest.text.strip() or None) if digest else None


def _part(element: Element) -> Part:
    return Part(whole(element.get("index")), element.value("filename"), _digest(element))


def _block_devices(machine: Element, limits: Limits) -> tuple[BlockDevice, ...]:
    mapping = _below(machine, "block_device_mapping").all("mapping")
    return tuple(BlockDevice(row.value("virtual"), row.value("device")) for row in islice(mapping, limits.ami_parts))
