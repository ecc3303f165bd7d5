"""qcow2: compressed clusters inflated, to see that each makes exactly one cluster.

Reference: QEMU docs/interop/qcow2, section "Compressed Clusters Descriptor".
"""

from __future__ import annotations

from imgtool.codecs.feed import CodecError
from imgtool.formats.qcow2.disk import compression, unpack
from imgtool.formats.qcow2.facts import Qcow2Facts
from imgtool.formats.qcow2.walk.facts import Faults, Place
from imgtool.formats.qcow2.walk.level2 import Batch, Form, packed_ranges
from imgtool.limits import Limits
from imgtool.sources.base import Source

#: What inflating a cluster costs at least, in guest bytes.
_LEAST = 64 * 1024


class Inflater:
    """Inflates compressed clusters up to `limits.table_inflated` guest bytes: `done` of the `seen` ones."""

    def __init__(self, source: Source, facts: Qcow2Facts, limits: Limits, form: Form, faults: Faults) -> None:
        self._source = source
        self._limits = limits
        self._form = form
        self._faults = faults
        self._method = compression(facts)
        self._left = 0 if facts.encrypted else limits.table_inflated // max(_LEAST, form.rules.cluster_size)
        self.seen = 0
        self.done = 0

    def take(self, batch: Batch) -> None:
        """Inflate the compressed clusters of a batch."""
        if not len(batch.packed) or self._form.rules.external:
            return
        entries, starts, ends = packed_ranges(batch, self._form)
        self.seen += len(entries)
        count = min(len(entries), self._left - self.done)
        places = batch.at(entries[:count]).tolist()
        for at, start, end in zip(places, starts[:count].tolist(), ends[:count].tolist(), strict=True):
            fault = self._fault(start, end)
            if fault:
                self._faults.one("packed-data", Place(at, start, end - start, fault))
        self.done += count

    def _fault(self, start: int, end: int) -> str | None:
        size = self._form.rules.cluster_size
        try:
            made = unpack(self._source.read_at(start, end - start), size, self._method, self._limits)
        except CodecError as error:
            return error.message
        return None if len(made) == size else f"{len(made)} bytes come out, a cluster has {size}"
