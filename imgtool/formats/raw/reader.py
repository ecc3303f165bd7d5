"""raw: every file is one. Its bytes are the guest's bytes, so there is no layout."""

from __future__ import annotations

from imgtool.limits import Limits
from imgtool.model.facts import Facts
from imgtool.structs.view import View


def read(view: View, limits: Limits) -> Facts:
    """The facts of a raw image. The virtual size is the exact file size, in bytes."""
    return Facts(format="raw", file_size=view.size, virtual_size=view.size, flat=(0, view.size))
