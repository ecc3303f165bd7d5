"""The time that outputs bear: the same input and options give the same bytes.

Reference: reproducible-builds.org, "SOURCE_DATE_EPOCH" specification.
"""

from __future__ import annotations

import os

from imgtool.errors import UsageError

#: 2000-01-01, where a VHD's own time begins: what outputs bear when nobody names a time.
DEFAULT_TIME = 946_684_800


def output_time() -> int:
    """Seconds since 1970 (UTC): SOURCE_DATE_EPOCH, else `DEFAULT_TIME`. Raises UsageError where that is no number."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return DEFAULT_TIME
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise UsageError(f"SOURCE_DATE_EPOCH is a number of seconds since 1970, not {text!r}")
    return int(text)
