"""ISO 9660 and UDF, the deep check: where the volume ends, for the rules about what lies behind an image.

References: ECMA-119, 8.4.8 (Volume Space Size); ECMA-167, 3/8.4.2 (anchor points).
"""

from __future__ import annotations

from imgtool.formats.iso.facts import IsoFacts, volume_end
from imgtool.limits import Limits
from imgtool.model.tables import TableFacts, Totals
from imgtool.sources.base import Source


def walk(source: Source, facts: IsoFacts, limits: Limits) -> TableFacts | None:
    """The end of the volume, or of the file where a partition of the system area's tables reaches over what follows;
    None where no volume tells. What of a volume is missing is told by the rules of its header."""
    end = volume_end(facts)
    if end is None:
        return None
    covered = facts.system_area.covered
    if covered > end and covered + limits.iso_tail >= facts.file_size:
        end = facts.file_size
    return TableFacts(facts=facts, totals=Totals(image_end_offset=min(end, facts.file_size)))
