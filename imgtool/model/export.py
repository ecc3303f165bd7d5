"""An image as it leaves a catalog: one line of an export's manifest (schema imgtool.export/1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from imgtool.model.image import Change, ImageRecord, Member

SCHEMA = "imgtool.export/1"
TRANSFER = "imgtool.transfer/1"


class Exported(NamedTuple):
    """One image of an export. Its data is the file `blobs/ID`, where its status is active or deactivated.

    image: its record. members: projects that it is shared with. history: what became of it. Both as far as whoever
    exports may see them. verdict: what validation said of its data (imgtool.verdict/1).
    """

    image: ImageRecord
    members: tuple[Member, ...]
    history: tuple[Change, ...]
    verdict: Mapping[str, object] | None

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        from imgtool.model.jsonable import value_object

        return {**value_object(self._replace(verdict=None), SCHEMA), "verdict": self.verdict}


class Transfer(NamedTuple):
    """What became of one image of an export or an import.

    id and name: null where it is not known. what: what was done. size: bytes of data that went with it. why: what
    failed, or why it was skipped; exit: the status that a command ends with for it.
    """

    id: str | None
    name: str | None
    what: Literal["exported", "imported", "skipped", "failed"]
    size: int = 0
    why: str | None = None
    exit: int = 0

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        from imgtool.model.jsonable import value_object

        return value_object(self, TRANSFER)
