"""A bare OVF descriptor: an XML file whose disks lie beside it. They are named, never opened.

Reference: DSP0243 2.1.1.
"""

from __future__ import annotations

from imgtool.containers.envelope.facts import EnvelopeFacts
from imgtool.containers.envelope.reader import read_envelope
from imgtool.limits import Limits
from imgtool.model.values import Reference
from imgtool.structs.view import View


def read(view: View, limits: Limits) -> EnvelopeFacts:
    """The facts of a descriptor. One that cannot be read gives broken facts."""
    told = read_envelope(view, 0, view.size, limits)
    hrefs = tuple(Reference("href", file.href) for file in told.files)
    return EnvelopeFacts(
        format="ovf",
        file_size=view.size,
        virtual_size=told.virtual_size,
        broken=told.fault is not None,
        partial=bool(view.problems) or told.fault is not None,
        label=told.label,
        references=hrefs[: limits.references],
        problems=view.problems,
        disk_format=told.disk_format,
        ovf_version=told.version,
        descriptor_size=view.size,
        descriptor_offset=0,
        files=told.files,
        disks=told.disks,
        systems=told.systems,
        networks=told.networks,
        products=told.products,
        envelope=told,
    )
