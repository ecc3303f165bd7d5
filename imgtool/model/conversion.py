"""Conversion and Measure: what `convert` did, and how large it would get (imgtool.conversion/1, measure/1)."""

from collections.abc import Mapping
from typing import NamedTuple

from imgtool.findings.core import Finding

SCHEMA = "imgtool.conversion/1"
MEASURE_SCHEMA = "imgtool.measure/1"


class Conversion(NamedTuple):
    """One disk, written in another format. Sizes are integers of bytes.

    path, target: of the source and of what was written. source_format, container, member: what the source is, the
    wrapper around it and which disk of it. format: the target's. engine: "native" or "qemu-img".
    virtual_size: of the target, what a guest sees. file_size, allocated: of the file, and what it takes up on disk.
    digest: the block digest of the guest's bytes; verified: it was computed of the target, too, and is the same.
    options: the target's creation options. losses: what the target cannot tell that the source did; findings: of the
    target, inspected again.
    """

    path: str
    target: str
    source_format: str | None
    container: str | None
    member: str | None
    format: str
    engine: str
    virtual_size: int
    file_size: int
    allocated: int | None
    digest: str | None
    verified: bool
    seconds: float
    options: Mapping[str, int | bool | str]
    losses: tuple[Finding, ...] = ()
    findings: tuple[Finding, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The conversion as plain JSON values, as `imgtool convert --json` prints it."""
        from imgtool.model.jsonable import value_object

        return value_object(self, SCHEMA)


class Measure(NamedTuple):
    """How large a target would be. Sizes are integers of bytes.

    required: bytes of the file; exact: it is what would be written to the byte, else an estimate from the blocks that
    hold data. target: the path it would have, where one was named. losses: as of a Conversion.
    """

    path: str
    target: str | None
    source_format: str | None
    container: str | None
    member: str | None
    format: str
    engine: str
    virtual_size: int
    required: int
    exact: bool
    options: Mapping[str, int | bool | str]
    losses: tuple[Finding, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The measure as plain JSON values, as `imgtool measure --json` prints it."""
        from imgtool.model.jsonable import value_object

        return value_object(self, MEASURE_SCHEMA)
