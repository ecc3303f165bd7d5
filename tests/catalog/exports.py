"""Exports of one image, and other manifests for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from imgtool.catalog.service import Catalog
from tests.kit import fixture

GOOD = fixture("qcow2/plain.qcow2")


def exported(catalog: Catalog, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """An export of one image: its folder, and its line."""
    catalog.export(tmp_path / "out")
    return tmp_path / "out", json.loads((tmp_path / "out" / "manifest.jsonl").read_text())


def write(folder: Path, *lines: object) -> None:
    """Another manifest."""
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
