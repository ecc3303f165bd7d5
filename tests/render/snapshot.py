"""Snapshots of whole outputs: compared byte by byte, rewritten by `--update`."""

from __future__ import annotations

from tests.kit import ROOT

SNAPSHOTS = ROOT / "tests" / "render" / "snapshots"


def agrees(name: str, text: str, update: bool) -> None:
    """`text` is the snapshot of that name."""
    path = SNAPSHOTS / name
    if update:
        path.write_text(text, "utf-8")
    assert path.read_text("utf-8") == text
