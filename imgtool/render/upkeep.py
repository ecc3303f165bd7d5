"""A catalog as a whole, for people: its numbers, what was cleaned and mended, what reading it anew found. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from imgtool.findings.core import Finding
from imgtool.model.export import Transfer
from imgtool.model.upkeep import CatalogInfo, Repaired, Scrubbed, Verification
from imgtool.render.escape import styled, terminal
from imgtool.render.tables import table
from imgtool.render.verdicts import first_cure
from imgtool.units import human_size


def json_line(told: Mapping[str, object]) -> str:
    """One object on one line."""
    import json

    return json.dumps(dict(told)) + "\n"


def verification(found: Verification, *, colour: bool = False) -> str:
    """An image on a line, sound or not, and a line for each finding, with what to do."""
    if found.id is None:
        head = "the store"
    elif found.status is None:
        head = terminal(found.id)
    else:
        head = f"{found.id} {terminal(found.name or '')} ({found.status}, {human_size(found.size or 0)})"
    if not found:
        word = styled(counted(len(found.findings), "finding"), "error", colour)
    elif found.id is not None and not found.read:
        word = "there, not read: only an administrator reads deactivated data"
    else:
        word = styled("sound", "good", colour)
    return f"{head}: {word}\n" + findings(found.findings)


def findings(found: Iterable[Finding]) -> str:
    """A line for each finding, and once what to do about those of a rule."""
    lines: list[str] = []
    every = list(found)
    for number, one in enumerate(every):
        lines.append(f"  {one.code} {one.name}: {terminal(one.message)}")
        last = number + 1 == len(every) or every[number + 1].code != one.code
        if last and (cure := first_cure(one.code)):
            lines.append(f"    what to do: {cure}")
    return "".join(f"{line}\n" for line in lines)


def scrubbed(done: Scrubbed) -> str:
    """What a scrubbing did, on one line."""
    said = f"{counted(done.images, 'image')} deleted for good, {counted(done.blobs, 'blob')} removed"
    failed = f", {counted(len(done.failed), 'blob')} could not be removed" if done.failed else ""
    return f"{said}, {human_size(done.freed)} freed{failed}\n"


def repaired(done: Repaired, *, dry_run: bool = False, colour: bool = False) -> str:
    """What a repair did, or would do, and what it cannot mend."""
    would = "would be " if dry_run else ""
    lines = (
        f"{counted(done.uploads, 'upload')} without a process {would}ended\n",
        f"{counted(done.blobs, 'blob')} that nobody needs {would}removed\n",
        *((f"{counted(done.instances, 'instance')} {would}rid of what was left\n",) if done.instances else ()),
        f"{human_size(done.freed)} {would}freed\n",
    )
    return "".join(lines) + "".join(verification(one, colour=colour) for one in done.missing)


def transferred(done: Transfer) -> str:
    """What became of one image of an export or an import, on one line."""
    which = " ".join(terminal(one) for one in (done.id, done.name) if one)
    if done.why is not None:
        return f"{which}: {done.what}: {terminal(done.why)}\n".removeprefix(": ")
    size = f", {human_size(done.size)}" if done.size else ", without data"
    return f"{which}: {done.what}{size}\n"


def made(info: CatalogInfo, *, new: bool) -> str:
    """What `init` did, on one line."""
    said = "a catalog was made" if new else "a catalog is there already"
    return f"{terminal(info.place)}: {said} ({info.database}, schema {terminal(info.revision)})\n"


def info(told: CatalogInfo) -> str:
    """A catalog in numbers."""
    rows = [
        ("place", terminal(told.place)),
        ("database", f"{told.database}, schema {terminal(told.revision)}" + ("" if told.writable else ", read-only")),
        ("store", terminal(told.store)),
        ("on disk", terminal(told.problem or "unknown") if told.on_disk is None else human_size(told.on_disk)),
    ]
    if told.pending is not None:
        one = told.pending
        rows.append(("next deletion", f"{terminal(one.name)} ({one.id}), due {one.due_at}"))
    rows += [("lease", f"{terminal(one.name)}: {terminal(one.holder)} until {one.expires_at}") for one in told.leases]
    text = table(rows)
    statuses = [(name, str(count), human_size(told.bytes.get(name, 0))) for name, count in told.images.items()]
    text += "\n" + table([("STATUS", "IMAGES", "SIZE"), *statuses])
    owners = [(terminal(name), str(one.images), human_size(one.size)) for name, one in told.owners.items()]
    text += "\n" + table([("OWNER", "IMAGES", "SIZE"), *owners])
    if told.waiting:
        text += f"\nfor `imgtool catalog repair`: {counted(len(told.waiting), 'finding')}\n" + findings(told.waiting)
    return text


def counted(count: int, what: str) -> str:
    """ "1 image", "2 images"."""
    return f"{count} {what}" + ("" if count == 1 else "s")
