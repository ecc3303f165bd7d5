"""Reads imgtool.toml, the environment and options into a `Config`. Precedence: options, environment, file, defaults.

The file is named by `--config` or IMGTOOL_CONFIG, else it is imgtool.toml in the user's configuration folder (as the
XDG base directory specification has it); nothing is ever read from the current folder. A name in the file is taken
from the file's folder, one in a variable or an option from the current.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from imgtool.config.config import Config, Setting, Source
from imgtool.config.keys import BY_NAME, FILE_OPTION, FILE_VARIABLE, KEYS, SECTIONS, Key
from imgtool.errors import UsageError
from imgtool.policy import values

FILE_NAME = "imgtool.toml"

#: Bytes of a file that are read.
_LARGEST = 1024 * 1024


class _Said(NamedTuple):
    """A value for a key, as it was said, and where."""

    value: object
    source: Source
    place: str
    folder: str


def load_config(
    options: Mapping[str, str] | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """What holds. `options`: key of the table → the text that was given; `file`: what `--config` names.

    `environ` is the process's own where none is given. Raises UsageError with every fault at once.
    """
    environ = os.environ if environ is None else environ
    path, named = config_file(environ, file)
    text = _text_of(path, named)
    faults: list[str] = []
    said = _said_by_file(text or "", path, faults)
    said |= _said_by_texts(environ, options or {}, faults)
    fields: dict[str, Any] = {}
    settings = []
    for key in KEYS:
        default = getattr(_DEFAULTS, key.field)
        one = said.get(key.name, _Said(default, "default", "", ""))
        value = default if one.source == "default" else _value(key, one, faults)
        fields[key.field] = value
        settings.append(Setting(key.name, value, one.source, one.place))
    if faults:
        raise UsageError(*faults)
    return Config(**fields, file=path if text is not None else None, settings=tuple(settings))


_DEFAULTS = Config()


def config_file(environ: Mapping[str, str], file: str | os.PathLike[str] | None = None) -> tuple[str, str | None]:
    """The path of the file, and the option or variable that names it: what is named must be there."""
    if file is not None:
        return _absolute(os.fspath(file)), FILE_OPTION
    if environ.get(FILE_VARIABLE):
        return _absolute(os.path.expanduser(environ[FILE_VARIABLE])), FILE_VARIABLE
    from platformdirs import user_config_dir

    return os.path.join(user_config_dir("imgtool", appauthor=False), FILE_NAME), None


def usual_location() -> str:
    """The catalog's folder where no setting says one."""
    from platformdirs import user_data_dir

    return os.path.join(user_data_dir("imgtool", appauthor=False), "catalog")


def _text_of(path: str, named: str | None) -> str | None:
    """The text of the file; None where there is none and nobody named it."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        if named is None:
            return None
        raise UsageError(f"{path}: No such file or directory (named by {named})") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > _LARGEST:
        raise UsageError(f"{path}: larger than {_LARGEST} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not TOML: it is not UTF-8") from None


def _said_by_file(text: str, path: str, faults: list[str]) -> dict[str, _Said]:
    import tomllib

    try:
        told: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    except ValueError:  # of int(), which reads so many digits only
        raise UsageError(f"{path}: not TOML: a number has too many digits") from None
    except RecursionError:
        raise UsageError(f"{path}: not TOML: its values are nested too deeply") from None
    said: dict[str, _Said] = {}
    for section, table in told.items():
        if section not in SECTIONS:
            faults.append(f"{path}: {_unknown_section(section)}")
        elif not isinstance(table, dict):
            faults.append(f"{path}: {section}: a table is needed, not {values.kind(table)}")
        else:
            for name, value in table.items():
                full = f"{section}.{name}"
                if full in BY_NAME:
                    said[full] = _Said(value, "file", path, os.path.dirname(path))
                else:
                    faults.append(f"{path}: {_unknown(full, section)}")
    return said


def _unknown_section(name: str) -> str:
    section, _, key = name.partition(".")
    if name in BY_NAME:
        return f"unknown key {name!r}: write {key} under [{section}]"
    return values.unknown_key(name, SECTIONS)


def _unknown(full: str, section: str) -> str:
    """What is said of a key that there is not: the same name elsewhere, the closest of all, those of its section."""
    import difflib

    key = full.partition(".")[2]
    same = [name for name in BY_NAME if name.partition(".")[2] == key]
    if same:
        return f"unknown key {full!r} (did you mean {same[0]!r}?)"
    close = difflib.get_close_matches(full, BY_NAME, 1, 0.7)
    own = tuple(name for name in BY_NAME if name.startswith(f"{section}."))
    return f"unknown key {full!r} " + (f"(did you mean {close[0]!r}?)" if close else f"(one of {', '.join(own)})")


def _said_by_texts(environ: Mapping[str, str], options: Mapping[str, str], faults: list[str]) -> dict[str, _Said]:
    said: dict[str, _Said] = {}
    for key in KEYS:
        variable, option = environ.get(key.variable), options.get(key.name)
        text = option if option is not None else variable or None
        if text is None:
            continue
        source: Source = "environment" if option is None else "option"
        place = key.variable if option is None else key.option or key.name
        said[key.name] = _Said(_of_form(key, text), source, place, os.curdir)
        if option is not None and has_password(option):
            faults.append(f"{place}: no password on a command line: put it into ~/.pgpass or {FILE_NAME}")
    return said


def _of_form(key: Key, text: str) -> object:
    """The text of a variable or an option as a value of the file."""
    if text == values.ANY:
        return text
    if key.form == "list":
        return [item.strip() for item in text.split(",") if item.strip()]
    return int(text) if key.form == "number" and text.isascii() and text.isdigit() and len(text) < 20 else text


def _value(key: Key, said: _Said, faults: list[str]) -> object:
    where = f"{said.place}: {key.name}" if said.source == "file" else said.place
    try:
        value = key.reader(said.value)
        return _found_from(said.folder, value) if isinstance(value, str) and _is_path(key, value) else value
    except UsageError as error:
        faults.append(f"{where}: {error}")
        return None


def _is_path(key: Key, value: str) -> bool:
    if key.names == "place":
        return "://" not in value and (key.field == "location" or os.sep in value or value.endswith(".toml"))
    return key.names == "path"


def _found_from(folder: str, path: str) -> str:
    return _absolute(os.path.join(folder, os.path.expanduser(path)))


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)
    except OSError as error:
        raise UsageError(f"{path}: the current folder is gone ({error.strerror})") from None


def has_password(place: str) -> bool:
    """True for a URL that holds a password."""
    return without_password(place) != place


def without_password(place: str) -> str:
    """A place as it may be shown: the password of a URL is left out."""
    if "://" not in place:
        return place
    import re

    shown = re.sub(r"(?<=://)([^:/]*):[^@]*@(?:[^/?#]*@)?", r"\1:…@", place, count=1)
    return re.sub(r"(?i)(?<=[?&])((?:ssl)?password)=[^&#]*", r"\1=…", shown)
