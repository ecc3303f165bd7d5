"""Judges the files it is given, a line of JSON each: verdict, errors, seconds, and the most memory so far in MiB."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import imgtool


def most_memory() -> int:
    """The most memory so far in KiB: of this program, not of the one that started it (as getrusage would have it)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0])


def main() -> None:
    """One line for each file."""
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    for path in sys.argv[1:]:
        began = time.monotonic()
        told = imgtool.validate(path, deep=True)
        line = {
            "path": path,
            "accepted": told.accepted,
            "errors": sorted({finding.code for finding in told.findings if finding.severity == "error"}),
            "codes": sorted({finding.code for finding in told.findings}),
            "seconds": time.monotonic() - began,
            "memory": most_memory() / 1024,
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
