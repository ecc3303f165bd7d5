"""imgtool doctor: which libraries and programs are here, and what they enable."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib import metadata

import typer

from imgtool.cli.frame import AsJson, epilog, leave, verb
from imgtool.errors import EXIT_DONE, EXIT_TOOL
from imgtool.version import __version__

app = typer.Typer(add_completion=False, rich_markup_mode=None)

#: Distribution, what it enables, whether imgtool can do without.
LIBRARIES = (
    ("typer", "the command line", True),
    ("construct", "header layouts", True),
    ("rich", "progress bars", True),
    ("crc32c", "VHDX checksums", True),
    ("numpy", "maps and comparison of disks", True),
    ("deflate", "compressed clusters and grains", True),
    ("pillow", "pictures of maps as PNG", False),
    ("zstandard", "zstd wrappers and ramdisks", True),
    ("lz4", "lz4 wrappers and ramdisks", True),
    ("defusedxml", "OVF and bundle manifests", True),
    ("sqlalchemy", "the catalog", True),
    ("alembic", "older catalogs, and new ones", True),
    ("platformdirs", "the usual folders of configuration and catalog", True),
    ("pyyaml", "files of access rules", True),
    ("psycopg", "catalogs in PostgreSQL", False),
)
PROGRAMS = (
    ("qemu-img", "vhdx, qed, qcow, parallels and luks targets of convert; the oracle of the tests"),
    ("qemu-system-x86_64", "instance boot, of images for x86-64"),
    ("qemu-system-aarch64", "instance boot, of images for arm64"),
)


@app.command("doctor", epilog=epilog("imgtool doctor", "imgtool doctor --json"))
@verb
def command(as_json: AsJson = False) -> None:
    """Say which libraries and programs are here and what they enable; exit 4 when a needed one is missing."""
    rows = [("imgtool", __version__, "this program"), ("python", platform.python_version(), sys.executable)]
    missing = False
    for name, enables, needed in LIBRARIES:
        version = _version(name)
        missing = missing or (needed and version is None)
        rows.append((name, version or "missing", enables))
    for name, enables in PROGRAMS:
        rows.append((name, shutil.which(name) or "missing", enables))
    if as_json:
        import json

        for name, found, enables in rows:
            print(json.dumps({"name": name, "found": None if found == "missing" else found, "enables": enables}))
    else:
        for name, found, enables in rows:
            sys.stdout.write(f"{name:<21}{found:<29}{enables}\n")
    leave(EXIT_TOOL if missing else EXIT_DONE)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
