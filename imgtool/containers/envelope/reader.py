"""An OVF descriptor: XML bytes → Envelope. Nothing it names is opened.

Elements are told by their local names in the envelope's namespace, so that 0.9 (VMware), 1.x and 2.x read
alike; 0.9 writes every section as `Section xsi:type="ovf:DiskSection_Type"`.

Reference: DSP0243 2.1.1, clauses 7 to 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from imgtool.containers.envelope.facts import Envelope, OvfDisk, OvfFile, Product, VirtualSystem
from imgtool.containers.envelope.quantity import quantity, whole_number
from imgtool.limits import Limits
from imgtool.model.values import Problem
from imgtool.structs.view import Unreadable, View
from imgtool.structs.xmltree import Element, XmlFault, parse_xml

#: Namespaces of an envelope → the version of OVF that has it.
NAMESPACES: dict[str, str] = {
    "http://schemas.dmtf.org/ovf/envelope/1": "1",
    "http://schemas.dmtf.org/ovf/1/envelope": "1",
    "http://schemas.dmtf.org/ovf/envelope/2": "2",
    "http://www.vmware.com/schema/ovf/1/envelope": "0.9",
}

#: A part of a format's URI, lower case → the format. DSP0243 leaves the URIs to the formats' owners.
_FORMATS: tuple[tuple[str, str], ...] = (
    ("vmdk", "vmdk"),
    ("qcow2", "qcow2"),
    ("qcow", "qcow2"),
    ("vhdx", "vhdx"),
    ("vhd", "vhd"),
    ("bb676673", "vhd"),
    ("virtualserver", "vhd"),
    ("vdi", "vdi"),
    ("ecma-119", "iso"),
    ("iso", "iso"),
    ("raw", "raw"),
)

#: CIM_ResourceAllocationSettingData.ResourceType (DSP1041).
_PROCESSOR = "3"
_MEMORY = "4"


#: Elements with their kinds, in the order of the document.
Sections = tuple[tuple[str, Element], ...]


class _Seen(NamedTuple):
    """Properties of the ProductSections, by full name, for capacities that refer to them."""

    properties: Mapping[str, str]
    limits: Limits


def read_envelope(view: View, offset: int, size: int, limits: Limits) -> Envelope:
    """The descriptor of `size` bytes at `offset`. What cannot be read becomes a problem and `fault`."""
    try:
        if size > limits.xml_size:
            message = f"OVF descriptor of {size} bytes is over the cap of {limits.xml_size}"
            raise Unreadable(Problem("cap", "OVF descriptor", message, offset, size))
        data = view.read(offset, size, "OVF descriptor")
        return envelope(parse_xml(data, limits), limits)
    except XmlFault as error:
        message = f"OVF descriptor: {error.message}"
        kind = error.kind
        view.problem(
            "OVF descriptor", message, kind="malformed" if kind == "forbidden" else kind, offset=offset, length=size
        )
        return Envelope(fault=error.message, forbidden=kind == "forbidden")
    except Unreadable as error:
        view.note(error.problem)
        return Envelope(fault=error.problem.message)


def envelope(root: Element, limits: Limits) -> Envelope:
    """The values of a parsed descriptor."""
    if root.name != "Envelope" or root.space not in NAMESPACES:
        return Envelope(fault=f"the root element is {root.name!r} of {root.space!r}, not an OVF Envelope")
    sections = tuple((_kind(element), element) for element in root.walk())
    seen = _Seen(_properties(sections), limits)
    references = root.first("References")
    files = islice(references.all("File"), limits.ovf_files) if references else ()
    systems = islice(_named(sections, "VirtualSystem"), limits.ovf_files)
    products = islice(_named(sections, "ProductSection"), limits.ovf_files)
    return Envelope(
        root.space,
        _get(root, "version") or NAMESPACES[root.space],
        tuple(_file(child) for child in files),
        tuple(_disk(child, seen) for child in _within(sections, "DiskSection", "Disk", limits)),
        tuple(_system(section, seen) for section in systems),
        tuple(_get(child, "name") or "" for child in _within(sections, "NetworkSection", "Network", limits)),
        tuple(_product(section) for section in products),
    )


def _get(element: Element, name: str) -> str | None:
    """An attribute, in OVF's namespace or in none: descriptors qualify them or not."""
    return element.get(name, NAMESPACES)


def _kind(element: Element) -> str:
    """What a section is: its name, or 0.9's `xsi:type`."""
    if element.name in ("Section", "Content"):
        return (element.any("type") or "").rpartition(":")[2].removesuffix("_Type")
    return element.name


def _named(sections: Sections, kind: str) -> Iterator[Element]:
    return (section for name, section in sections if name == kind)


def _within(sections: Sections, kind: str, name: str, limits: Limits) -> Iterator[Element]:
    """The elements called `name` in all sections of a kind, at most `limits.ovf_files`."""
    return islice((child for section in _named(sections, kind) for child in section.all(name)), limits.ovf_files)


def _properties(sections: Sections) -> dict[str, str]:
    """Default values of properties, by name (`class.key.instance` where the section has those)."""
    found: dict[str, str] = {}
    for section in _named(sections, "ProductSection"):
        for child in section.all("Property"):
            key, value = _get(child, "key"), _get(child, "value")
            inner = child.first("Value")
            if value is None and inner is not None:
                value = _get(inner, "value")
            if key and value is not None:
                parts = (_get(section, "class"), key, _get(section, "instance"))
                found.setdefault(".".join(part for part in parts if part), value)
    return found


def _product(section: Element) -> Product:
    version = section.value("FullVersion") or section.value("Version")
    return Product(section.value("Product"), section.value("Vendor"), version)


def _file(element: Element) -> OvfFile:
    return OvfFile(
        _get(element, "id"),
        _get(element, "href") or "",
        whole_number(_get(element, "size")),
        _get(element, "compression"),
        whole_number(_get(element, "chunkSize")),
    )


def _disk(element: Element, seen: _Seen) -> OvfDisk:
    text, units, uri = _get(element, "capacity"), _get(element, "capacityAllocationUnits"), _get(element, "format")
    return OvfDisk(
        _get(element, "diskId"),
        _get(element, "fileRef"),
        quantity(text, units, seen.properties),
        text,
        units,
        whole_number(_get(element, "populatedSize")),
        disk_format(uri),
        uri,
        _get(element, "parentRef"),
    )


def disk_format(uri: str | None) -> str | None:
    """The format that a URI stands for; None where it is not known."""
    lowered = (uri or "").lower()
    return next((name for part, name in _FORMATS if part in lowered), None)


def _system(element: Element, seen: _Seen) -> VirtualSystem:
    os = hardware = None
    items: list[Element] = []
    for section in element.children:
        name = _kind(section)
        if name == "OperatingSystemSection" and os is None:
            os = section.value("Description") or section.any("osType") or _get(section, "id")
        elif name == "VirtualHardwareSection" and not items:
            system = section.first("System")
            hardware = system.value("VirtualSystemType") if system else None
            items = [item for item in section.children if item.name in ("Item", "StorageItem", "EthernetPortItem")]
    drives = [child.text.strip() for item in items for child in item.all("HostResource")]
    return VirtualSystem(
        _get(element, "id"),
        element.value("Name"),
        os,
        hardware,
        _amount(items, _PROCESSOR, None, seen),
        _amount(items, _MEMORY, "MegaBytes", seen),
        tuple(drive for drive in drives if drive)[: seen.limits.ovf_files],
    )


def _amount(items: list[Element], kind: str, units: str | None, seen: _Seen) -> int | None:
    """The quantity of a kind of hardware: of the item without `bound`, for the default configuration."""
    usual = [item for item in items if item.value("ResourceType") == kind and _get(item, "bound") in (None, "normal")]
    usual.sort(key=lambda item: _get(item, "configuration") is not None)
    if not usual:
        return None
    stated = usual[0].value("AllocationUnits") if units else None
    return quantity(usual[0].value("VirtualQuantity"), stated or units, seen.properties)
