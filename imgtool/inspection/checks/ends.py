"""The rules of any image over where it ends by its tables, and what lies behind (the deep check). Cost: the walk over
all tables has counted the end; of what lies behind, `limits.behind` bytes are read."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.inspection.ending import Ending
from imgtool.limits import Limits


@rule("IMG020", "used-bytes-missing", "error")
def used_bytes_missing(ending: Ending, limits: Limits) -> Iterator[Finding]:
    """The image uses bytes past the end of its file.

    What it checks: the highest byte that any table of the image gives out lies in the file. A sound file may end
    inside its last cluster, not before it.

    Why it matters: the file was cut, most often by a download or copy that ended early, and is found out by a guest
    that does not boot.

    What to do: fetch the image again and compare its size and checksum with the publisher's.
    """
    if ending.end - ending.size >= max(ending.unit, 1):
        message = f"the tables give out {ending.end} bytes, the file has {ending.size}"
        yield used_bytes_missing.at(message, field="image_end_offset", offset=ending.size)


@rule("IMG021", "bytes-behind-image", "warning")
def bytes_behind_image(ending: Ending, limits: Limits) -> Iterator[Finding]:
    """There are bytes behind the last thing that the image uses.

    What it checks: what lies behind the highest byte that the tables give out. A note where it is zeros or a hole,
    and where whole clusters that a live image once used and freed were left as they were; a warning for anything
    else, and for the mark of a disk format.

    Why it matters: bytes that no reader of the format looks at hide things, or are a second file that another
    program finds.

    What to do: convert the image (`qemu-img convert`): the copy has only what is used.
    """
    behind = ending.behind
    if behind is None:
        return
    count, at = ending.size - ending.end, ending.end
    if behind.first is None:
        more = "" if behind.looked == count else f" (of which {behind.looked} were looked at)"
        yield bytes_behind_image.at(f"{count} bytes of zeros{more}", offset=at, length=count, severity="note")
    elif behind.mark is not None:
        message = f"{count} bytes, and among them the mark of {behind.mark} at {behind.first}"
        yield bytes_behind_image.at(message, offset=at, length=count)
    elif ending.unit and ending.size % ending.unit == 0:
        message = f"{count} bytes: stale free clusters, the first that is not empty at {behind.first}"
        yield bytes_behind_image.at(message, offset=at, length=count, severity="note")
    else:
        message = f"{count} bytes that nothing refers to, the first that is not zero at {behind.first}"
        yield bytes_behind_image.at(message, offset=at, length=count)


RULES = (used_bytes_missing, bytes_behind_image)
