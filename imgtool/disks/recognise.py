"""What a source is: every format and container whose mark holds, read; and which of them it is called."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from imgtool.containers import CONTAINERS
from imgtool.detect.match import Index, build_index, matches, resolve
from imgtool.detect.registry import Entry, Match, Windows
from imgtool.disks.guard import Failure, guarded_read
from imgtool.errors import UsageError
from imgtool.formats import FORMATS, RAW
from imgtool.limits import Limits
from imgtool.model.facts import Facts
from imgtool.sources.base import Source
from imgtool.sources.memory import Peeked
from imgtool.structs.view import View
from imgtool.volumes import VOLUMES

#: Kinds of entries whose readers are asked for the whole source.
WHOLE = frozenset({"format", "container", "kernel", "ramdisk"})


class Reading(NamedTuple):
    """A format or container that holds, and the facts its reader gave; `offset` is where its mark lies."""

    entry: Entry
    facts: Facts
    offset: int
