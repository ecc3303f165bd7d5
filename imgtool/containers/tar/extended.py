"""What pax and GNU extended headers say of a member: its path, link, size, and whether it is sparse.

Reference: POSIX.1-2017 pax, "pax Extended Header"; GNU tar manual, "Storing Sparse Files".
"""

from __future__ import annotations

from typing import NamedTuple

from imgtool.containers.tar.numbers import LARGEST
from imgtool.limits import Limits
from imgtool.model.values import text
from imgtool.structs.view import View


class Extended(NamedTuple):
    """What is told of the next member; None where nothing is. `real_size` is of a sparse member."""

    path: str | None = None
    linkpath: str | None = None
    size: int | None = None
    sparse: bool = False
    real_size: int | None = None

    def under(self, above: Extended) -> Extended:
        """This one with what `above` says laid over it."""
        return Extended(
            self.path if above.path is None else above.path,
            self.linkpath if above.linkpath is None else above.linkpath,
            self.size if above.size is None else above.size,
            self.sparse or above.sparse,
            self.real_size if above.real_size is None else above.real_size,
        )


def pax_records(data: bytes, view: View, base: int, limits: Limits) -> Extended:
    """The records "length key=value\\n" in `data`, which lies at `base`. What does not hold is a problem."""
    told: dict[str, str] = {}
    position = count = 0
    while position < len(data) and data[position]:
        count += 1
        space = data.find(b" ", position, position + 12)
        digits = data[position:space] if space > position else b""
        length = int(digits) if digits.isdigit() else 0
        record = data[space + 1 : position + length]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n") or position + length > len(data):
            view.problem("pax header", "a pax record does not hold", offset=base + position, length=12)
            break
        if count > limits.tar_pax_records:
            message = f"more than {limits.tar_pax_records} pax records in one header"
            view.problem("pax header", message, kind="cap", offset=base + position)
            break
        told[text(key)] = text(value[:-1])
        position += length
    return _extended(told, view, base)


def _extended(told: dict[str, str], view: View, base: int) -> Extended:
    sparse = any(key.startswith("GNU.sparse.") for key in told)
    real = told.get("GNU.sparse.realsize", told.get("GNU.sparse.size"))
    return Extended(
        told.get("GNU.sparse.name", told.get("path")),
        told.get("linkpath"),
        _number(told.get("size"), "size", view, base),
        sparse,
        _number(real, "GNU.sparse.realsize", view, base),
    )


def _number(value: str | None, key: str, view: View, base: int) -> int | None:
    if value is None:
        return None
    if len(value) <= 19 and value.isascii() and value.isdigit() and int(value) <= LARGEST:
        return int(value)
    view.problem("pax header", f"pax {key} is {value[:40]!r}, no number of bytes", offset=base)
    return None
