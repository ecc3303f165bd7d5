"""Following references: by permission, inside allowed folders, with loop and depth checks. Nowhere else is a path
that an image names opened.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from imgtool.errors import InputError, UsageError
from imgtool.model.values import Reference
from imgtool.sources.file import FileSource, open_file


class RefusedLinkError(InputError):
    """A reference leads where following is not allowed: outside the folders, in a circle, too deep."""

    code = "reference-refused"


class Followed(NamedTuple):
    """A file that was followed, as it was when it was opened; `path`: its name, links in it not resolved."""

    path: str
    device: int
    inode: int
    size: int
    mtime_ns: int


class Permission(NamedTuple):
    """What may be followed: files below `folders` (real paths); `seen` are the files of the chain so far.

    Without folders nothing is followed. `opened`, where it is given, gets every file that was followed.
    """

    folders: tuple[str, ...] = ()
    seen: tuple[tuple[int, int], ...] = ()
    depth: int = 0
    opened: set[Followed] | None = None

    def below(self, source: FileSource) -> Permission:
        """The permission for what `source` refers to."""
        return self._replace(seen=(*self.seen, identity(source)), depth=self.depth + 1)


def permission(follow: bool | str | os.PathLike[str], path: str | None) -> Permission:
    """What `follow` allows: True the image's own folder, a path that folder, False nothing. Raises UsageError for an
    empty path, which is no folder (a variable that was not set, most often), and not the current one."""
    if follow is False:
        return Permission()
    if follow is True:
        return Permission((os.path.realpath(os.path.dirname(path) or "."),)) if path is not None else Permission()
    folder = os.fspath(follow)
    if not folder:
        raise UsageError("the folder to follow references in is empty; name one (. is the current one)")
    return Permission((os.path.realpath(folder),))


def identity(source: FileSource) -> tuple[int, int]:
    """Device and inode of an open file."""
    status = os.fstat(source.fd)
    return status.st_dev, status.st_ino


def _as_path(reference: Reference) -> str:
    """The name as a path of this system: parents of VHD and VHDX are named as Windows does (`.\\base.vhd`)."""
    return reference.value.replace("\\", "/") if reference.kind == "parent" else reference.value


def open_link(reference: Reference, image_path: str, allowed: Permission, most: int) -> FileSource:
    """The file that `reference` of the image at `image_path` names, opened for reading.

    Raises RefusedLinkError where it may not be followed (`most`: links in a chain), InputError where it cannot
    be read.
    """
    name = _as_path(reference)
    if allowed.depth > most:
        raise RefusedLinkError(f"{image_path}: more than {most} files in its chain")
    if not name or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise RefusedLinkError(f"{image_path}: {reference.kind} {name!r} is no usable file name")
    head, colon, _ = name.partition(":")
    if colon and "/" not in head:
        raise RefusedLinkError(f"{image_path}: {reference.kind} {name!r} names a protocol or a drive, not a file")
    named = os.path.join(os.path.dirname(image_path), name)
    real = os.path.realpath(named)
    if not any(real == folder or real.startswith(folder.rstrip("/") + "/") for folder in allowed.folders):
        raise RefusedLinkError(f"{image_path}: {reference.kind} {name!r} lies outside the allowed folder")
    source = open_file(real)
    if identity(source) in allowed.seen:
        source.close()
        raise RefusedLinkError(f"{image_path}: {reference.kind} {name!r} closes a circle")
    if allowed.opened is not None:
        allowed.opened.add(_followed(named, source))
    return source


def _followed(path: str, source: FileSource) -> Followed:
    status = os.fstat(source.fd)
    place = path if os.path.isabs(path) else os.path.join(os.getcwd(), path)
    return Followed(place, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
