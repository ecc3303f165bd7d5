"""What lies inside raw bytes: tables, partitions, file systems, boot facts; one call for all of it."""

from __future__ import annotations

from typing import NamedTuple

from imgtool.detect.registry import Entry
from imgtool.limits import Limits
from imgtool.model.facts import Facts
from imgtool.model.values import Facet
from imgtool.model.volumes import Volumes
from imgtool.structs.view import View


class Survey(NamedTuple):
    """`volumes` for the report, the facets it adds, and the facts that the rules of each entry look at."""

    volumes: Volumes
    facets: tuple[Facet, ...]
    facts: tuple[tuple[Entry, Facts], ...]


def survey(view: View, limits: Limits, outer: str) -> Survey:
    """Everything inside the bytes of `view`; `outer` names the format around them ("raw", "iso", "vhd")."""
    return Survey(Volumes(), (), ())
