"""What holds: every setting with its value, and where each comes from. It knows no file and no environment."""

from __future__ import annotations

from typing import Literal, NamedTuple

from imgtool.units import TIB

Source = Literal["option", "environment", "file", "default"]


class Setting(NamedTuple):
    """One key: its value, where that comes from, and the name there: an option, a variable, the path of a file."""

    key: str
    value: object
    source: Source
    place: str


class Config(NamedTuple):
    """All settings. Sizes are bytes, durations seconds; None is no ceiling, or what `keys.KEYS` says of the key.

    `location`: folder or database URL of the catalog; None is the usual folder of the user. `store`: folder of the
    data, None for `blobs` in the catalog's. `access`: file of access rules. `acting`: user:project:roles.
    """

    location: str | None = None
    policy: str = "default"
    access: str | None = None
    acting: str | None = None
    visibility: str = "shared"
    store: str | None = None
    importing: str = "copy"
    disk_formats: tuple[str, ...] | None = None
    container_formats: tuple[str, ...] | None = None
    image_size: int | None = TIB
    virtual_size: int | None = None
    tags: int = 128
    properties: int = 128
    members: int = 128
    delay: int = 7 * 86_400
    wakeup: int = 300
    total_bytes: int | None = None
    total_images: int | None = None
    owner_bytes: int | None = None
    owner_images: int | None = None
    file: str | None = None
    settings: tuple[Setting, ...] = ()

    def where(self, key: str) -> str:
        """Where the value of a key comes from, for messages: "--as", "IMGTOOL_AS", "imgtool.toml: catalog.as"."""
        for setting in self.settings:
            if setting.key == key and setting.source != "default":
                return f"{setting.place}: {key}" if setting.source == "file" else setting.place
        return key
