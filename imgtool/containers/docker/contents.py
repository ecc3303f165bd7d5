"""The members of a docker archive by name: JSON documents under caps, blobs by digest, links followed
inside the archive only."""

from __future__ import annotations

import posixpath

from imgtool.containers.docker.documents import JsonFault, parse_json
from imgtool.containers.docker.facts import Absent, SizeClash
from imgtool.containers.tar.archive import Archive, TarMember
from imgtool.containers.tar.safety import followed
from imgtool.limits import Limits
from imgtool.structs.view import Unreadable, View


class Contents:
    """Members by name, and what was found amiss while looking them up."""

    def __init__(self, view: View, archive: Archive, limits: Limits) -> None:
        self.archive = archive
        self.faults: list[str] = []
        self.absent: list[Absent] = []
        self.size_clashes: list[SizeClash] = []
        self._view = view
        self._limits = limits
        self._budget = limits.docker_json_total
        self._members = {member.plain_name: member for member in archive.members if member.kind != "folder"}
        self._read: dict[str, object] = {}

    def find(self, name: str) -> TarMember | None:
        """The file called `name`, or the one that it is a link to."""
        return followed(self._members.get(posixpath.normpath(name)) if name else None, self._members)

    def document(self, name: str) -> object:
        """The JSON value of a member; None where it is missing or cannot be read (a fault says why)."""
        if name not in self._read:
            self._read[name] = self._parse(name)
        return self._read[name]

    def _parse(self, name: str) -> object:
        member = self.find(name)
        if member is None:
            return None
        cap = min(self._limits.docker_json, self._budget)
        if member.size > cap:
            message = f"{name}: {member.size} bytes of JSON are over the cap of {cap}"
            self._view.problem("JSON document", message, kind="cap", offset=member.offset, length=member.size)
            return None
        self._budget -= member.size
        try:
            return parse_json(self._view.read(member.offset, member.size, name))
        except Unreadable as error:
            self._view.note(error.problem)
        except JsonFault as error:
            self.faults.append(f"{name}: not readable as JSON: {error}")
        return None

    def blob(self, digest: str | None, stated: int | None) -> str | None:
        """The name of the blob with that digest; None where it is not in the archive."""
        name = blob_name(digest)
        member = self.find(name) if name else None
        if name is None or member is None:
            return None
        clash = stated is not None and member.size != stated and len(self.size_clashes) < self._limits.findings
        if clash and all(known.name != name for known in self.size_clashes):
            self.size_clashes.append(SizeClash(name, stated or 0, member.size, member.header_offset))
        return name

    def lacks(self, what: str, name: str, named_by: str, *, optional: bool = False) -> None:
        """Remember that something named is not there."""
        if len(self.absent) < self._limits.findings:
            self.absent.append(Absent(what, name, named_by, optional))


def blob_name(digest: str | None) -> str | None:
    """Where an OCI layout keeps the blob of a digest; None for what is no digest."""
    algorithm, colon, digits = (digest or "").partition(":")
    plain = algorithm.isascii() and algorithm.isalnum() and digits.isascii() and digits.isalnum()
    return f"blobs/{algorithm}/{digits}" if colon and plain else None
