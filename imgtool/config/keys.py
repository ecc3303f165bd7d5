"""The keys of imgtool.toml, as one table: what each is, what reads it, which variable and option overrule it."""

from __future__ import annotations

import os
from typing import Literal, NamedTuple

from imgtool.errors import UsageError
from imgtool.policy import values

#: How the text of a variable or an option becomes a value of the file: as it is, as a number, as a list.
Form = Literal["text", "number", "list"]

#: What a name in a value is: a path (that is taken from the folder of the file), one where it looks like a path.
Names = Literal["", "path", "place"]

IMPORTS = ("copy", "move", "link")
VISIBILITIES = ("public", "community", "shared", "private")

#: Characters of a text.
_LONGEST = 4096


class Key(NamedTuple):
    """One key. `field`: of `Config`. `own_variable`: where its variable is not made of its name. `absent`: what holds
    where the value is None, in words."""

    name: str
    field: str
    reader: values.Reader
    about: str
    own_variable: str = ""
    option: str | None = None
    absent: str = values.ANY
    form: Form = "text"
    names: Names = ""

    @property
    def variable(self) -> str:
        """The variable of the environment that overrules the file: IMGTOOL_SCRUBBER_DELAY for scrubber.delay."""
        return self.own_variable or f"IMGTOOL_{self.name.replace('.', '_').upper()}"


def _line(value: object) -> str:
    """Text of one line without NUL."""
    told = values.text(value)
    if "\0" in told or "\n" in told or len(told) > _LONGEST:
        raise UsageError("one line of text is needed")
    return told


def _policy(value: object) -> str:
    """The name of a built-in policy, or the path of a TOML file."""
    told = _line(value)
    if os.sep in told or told.endswith(".toml"):
        return told
    from imgtool.policy.builtin import builtin

    return builtin(told).name


def _duration(value: object) -> int:
    """Seconds: a number, or a duration as people type it."""
    from imgtool.units import duration, parse_duration

    return parse_duration(value) if isinstance(value, str) else duration(values.number(value))


def _interval(value: object) -> int:
    """Seconds, at least one."""
    seconds = _duration(value)
    if seconds < 1:
        raise UsageError("at least one second is needed")
    return seconds


def _count(value: object) -> int | None:
    """How many: a whole number, or "any"."""
    return None if value == values.ANY else values.number(value)


def _disks(value: object) -> object:
    """A list of disk formats by any of their names, or "any"."""
    from imgtool.policy import names

    return values.list_or_any(names.disk_format)(value)


def _containers(value: object) -> object:
    """A list of container formats by any of their names, or "any"."""
    from imgtool.policy import names

    return values.list_or_any(names.container_format)(value)


_AS_POLICY = "those of the policy"

#: The path of the file itself, which no key of it says.
FILE_VARIABLE, FILE_OPTION = "IMGTOOL_CONFIG", "--config"

KEYS: tuple[Key, ...] = (
    Key(
        "catalog.location",
        "location",
        _line,
        "folder or database URL of the catalog",
        "IMGTOOL_CATALOG",
        "--catalog",
        "the user's folder",
        names="place",
    ),
    Key(
        "catalog.policy",
        "policy",
        _policy,
        "policy that images must pass to be registered",
        "IMGTOOL_POLICY",
        "--policy",
        names="place",
    ),
    Key(
        "catalog.access",
        "access",
        _line,
        "file of access rules, YAML or JSON",
        "IMGTOOL_ACCESS",
        "--access",
        "the built-in rules",
        names="path",
    ),
    Key(
        "catalog.as",
        "acting",
        _line,
        "who acts: user:project:role,…",
        "IMGTOOL_AS",
        "--as",
        "the user of this machine",
    ),
    Key(
        "catalog.visibility",
        "visibility",
        values.one_of(VISIBILITIES),
        "visibility of new images",
        option="--visibility",
    ),
    Key(
        "store.location",
        "store",
        _line,
        "folder of the images' data",
        absent="blobs, in the catalog's folder",
        names="path",
    ),
    Key("store.import", "importing", values.one_of(IMPORTS), "how files come into the store", option="--import"),
    Key("formats.disk", "disk_formats", _disks, "disk formats that are registered", absent=_AS_POLICY, form="list"),
    Key(
        "formats.container",
        "container_formats",
        _containers,
        "container formats that are registered",
        absent=_AS_POLICY,
        form="list",
    ),
    Key("limits.image_size", "image_size", values.size_or_any, "bytes of one image's data"),
    Key("limits.virtual_size", "virtual_size", values.size_or_any, "bytes of one image's disk"),
    Key("limits.tags", "tags", values.number, "tags of one image", form="number"),
    Key("limits.properties", "properties", values.number, "properties of one image", form="number"),
    Key("limits.members", "members", values.number, "members of one image", form="number"),
    Key("scrubber.delay", "delay", _duration, "grace period of deleted images, 0 for none", option="--delay"),
    Key("scrubber.wakeup", "wakeup", _interval, "pause between two cleanings of the daemon", option="--wakeup"),
    Key("quotas.bytes", "total_bytes", values.size_or_any, "bytes of all images together"),
    Key("quotas.images", "total_images", _count, "images of all owners", form="number"),
    Key("quotas.owner_bytes", "owner_bytes", values.size_or_any, "bytes of one owner's images"),
    Key("quotas.owner_images", "owner_images", _count, "images of one owner", form="number"),
)

BY_NAME: dict[str, Key] = {key.name: key for key in KEYS}

SECTIONS: tuple[str, ...] = tuple(dict.fromkeys(key.name.partition(".")[0] for key in KEYS))
