"""A line of the ledger."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A published code. `place` is "module:name" of the rule; empty where the code is retired."""

    code: str
    name: str
    place: str
