"""imgtool config: what holds, and where it comes from."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgtool.cli.frame import AsJson, epilog, verb
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, configured
from imgtool.config.config import Config, Setting
from imgtool.config.keys import BY_NAME
from imgtool.config.load import config_file, usual_location, without_password
from imgtool.errors import UsageError
from imgtool.render.escape import terminal
from imgtool.units import human_duration, human_size

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_SIZES = frozenset({"image_size", "virtual_size", "total_bytes", "owner_bytes"})
_DURATIONS = frozenset({"delay", "wakeup"})


@app.command(
    "config",
    epilog=epilog(
        "imgtool config show",
        "imgtool config show --json",
        "imgtool config show --config imgtool.toml --catalog images --as alice:lab:member --access access.yaml",
    ),
)
@verb
def command(
    action: Annotated[str, typer.Argument(metavar="show", help="Print every key, its value and its origin.")],
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the configuration that holds: options overrule the environment, that overrules imgtool.toml."""
    if action != "show":
        raise UsageError("say `imgtool config show`")
    holds = configured(config, location=catalog, acting=act_as, access=access)
    if as_json:
        _objects(holds)
    else:
        _table(holds, config)


def _objects(holds: Config) -> None:
    import json

    for setting in holds.settings:
        key = BY_NAME[setting.key]
        told = {
            "key": setting.key,
            "value": _shown(setting),
            "source": setting.source,
            "place": setting.place or None,
            "variable": key.variable,
            "option": key.option,
            "about": key.about,
        }
        print(json.dumps(told))


def _table(holds: Config, file: str | None) -> None:
    import os

    path = holds.file or f"{config_file(os.environ, file)[0]} (not there)"
    sys.stdout.write(f"configuration file: {terminal(path)}\n\n")
    rows = [("KEY", "VALUE", "FROM")]
    rows += ((one.key, terminal(_told(one)), terminal(one.place or one.source)) for one in holds.settings)
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for key, value, place in rows:
        sys.stdout.write(f"{key:<{widths[0]}}  {value:<{widths[1]}}  {place}\n")


def _shown(setting: Setting) -> object:
    """A value without what is secret in it; the usual place of the catalog where none is set."""
    if setting.key == "catalog.location" and setting.value is None:
        return usual_location()
    return without_password(setting.value) if isinstance(setting.value, str) else setting.value


def _told(setting: Setting) -> str:
    """A value in words."""
    value, key = _shown(setting), BY_NAME[setting.key]
    if value is None:
        return key.absent
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, int) and key.field in _SIZES:
        return human_size(value)
    return human_duration(value) if isinstance(value, int) and key.field in _DURATIONS else str(value)
