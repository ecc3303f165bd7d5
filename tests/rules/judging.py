"""Judges the files it is given, a line of JSON each: verdict, errors, seconds, and the most memory so far in MiB."""

from __future__ import annotations

import json
import resource
import sys
import time

import imgtool


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
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
