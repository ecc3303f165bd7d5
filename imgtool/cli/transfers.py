"""What export and import share: each image is told when it is done, the worst status is the end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from imgtool.cli.frame import leave
from imgtool.cli.progress import Meter
from imgtool.errors import EXIT_DONE, worst
from imgtool.render.escape import terminal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgtool.model.export import Transfer
    from imgtool.model.image import ImageRecord


class Telling:
    """Tells what becomes of images; failures go to stderr, and to stdout too where that has objects."""

    def __init__(self, *, as_json: bool, quiet: bool, progress: str) -> None:
        self._json = as_json
        self._quiet = quiet
        self._progress = progress

    def meter(self, record: ImageRecord) -> Meter:
        """What counts the bytes of one image."""
        return Meter(terminal(record.name), record.size, self._progress, self._quiet or self._json)

    def tell(self, done: Transfer) -> None:
        """One image is done."""
        from imgtool.render import upkeep

        if self._json:
            sys.stdout.write(upkeep.json_line(done.to_dict()))
        elif done.what == "failed":
            sys.stderr.write(f"imgtool: {upkeep.transferred(done)}")
        elif not self._quiet:
            sys.stdout.write(upkeep.transferred(done))
        sys.stdout.flush()


def end(done: Iterable[Transfer]) -> None:
    """End with the worst status of all."""
    leave(worst([EXIT_DONE, *(one.exit for one in done)]))
