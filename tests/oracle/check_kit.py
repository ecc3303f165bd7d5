"""`qemu-img check` and the deep check side by side."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from imgtool.inspection.deep import check
from imgtool.model.tables import Check, Totals
from tests.kit import need, run

#: qemu-img's names of the totals, and ours.
NAMES = {
    "image-end-offset": "image_end_offset",
    "total-clusters": "total_clusters",
    "allocated-clusters": "allocated_clusters",
    "fragmented-clusters": "fragmented_clusters",
    "compressed-clusters": "compressed_clusters",
    "leaks": "leaks",
    "corruptions": "corruptions",
    "check-errors": "check_errors",
}


class Both(NamedTuple):
    """What both say of an image. `theirs` is None where qemu-img gives up without totals."""

    ours: Check
    theirs: dict[str, Any] | None

    @property
    def totals(self) -> Totals:
        """Ours."""
        assert self.ours.totals is not None
        return self.ours.totals

    def differences(self, *names: str) -> dict[str, tuple[int, int]]:
        """Of the totals named (all that qemu-img knows of where none is), those that differ: ours, theirs."""
        assert self.theirs is not None
        wanted = names or tuple(NAMES)
        pairs = {name: (getattr(self.totals, NAMES[name]) or 0, self.theirs.get(name, 0)) for name in wanted}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def both(path: Path, form: str) -> Both:
    """The deep check, in which no guard caught anything, and qemu-img's."""
    ours = check(path)
    assert not [finding for finding in ours.findings if finding.code.startswith("IMG9")], ours.findings
    command = [need("qemu-img"), "check", "-f", form, "--output=json", str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    return Both(ours, json.loads(done.stdout) if done.stdout else None)


def codes(result: Check) -> set[str]:
    """Codes of errors and warnings."""
    return {finding.code for finding in result.findings if finding.severity != "note"}


def written(path: Path, form: str, *commands: str) -> Path:
    """An image after commands of qemu-io."""
    run(need("qemu-io"), "-f", form, *(word for command in commands for word in ("-c", command)), str(path))
    return path


def patched(path: Path, *edits: tuple[int, bytes], size: int | None = None) -> Path:
    """A file with bytes changed, and cut or made longer to `size`."""
    with open(path, "r+b") as file:
        for at, data in edits:
            file.seek(at)
            file.write(data)
        if size is not None:
            file.truncate(size)
    return path
