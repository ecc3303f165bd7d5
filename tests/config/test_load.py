"""The configuration: what is read from where, what overrules what, what is said of mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imgtool.config.config import Config
from imgtool.config.keys import BY_NAME, KEYS, SECTIONS
from imgtool.config.load import config_file, has_password, load_config, usual_location, without_password
from imgtool.errors import UsageError
from tests.kit import ROOT


def written(folder: Path, text: str) -> Path:
    """A file with a text."""
    path = folder / "imgtool.toml"
    path.write_text(text)
    return path


def faults(folder: Path, text: str) -> list[str]:
    """What is said of a file's mistakes, without its path."""
    path = written(folder, text)
    with pytest.raises(UsageError) as caught:
        load_config(file=path, environ={})
    return [fault.removeprefix(f"{path}: ") for fault in caught.value.faults]


def test_defaults_are_those_of_the_table(tmp_path: Path) -> None:
    """Without a file, a variable or an option every key has its default, and says so."""
    config = load_config(environ={"HOME": str(tmp_path), "IMGTOOL_CATALOG": ""}, file=written(tmp_path, ""))
    assert config._replace(file=None, settings=()) == Config()
    assert {setting.source for setting in config.settings} == {"default"}
    assert [setting.key for setting in config.settings] == [key.name for key in KEYS]
    assert (config.delay, config.wakeup, config.image_size) == (604_800, 300, 1 << 40)


@pytest.mark.parametrize("digits", ["8000000000000000", "f" * 5000])
def test_a_number_that_nothing_can_hold(tmp_path: Path, digits: str) -> None:
    """It is a fault of the file, however many digits it has; so is one that is less than nothing."""
    least = f"quotas.images = 0x{digits}"
    assert any("a number of at most 9223372036854775807 is needed" in one for one in faults(tmp_path, least))


def test_keys_are_told_apart() -> None:
    """Names, fields, variables and options are used once; every field has a key."""
    for names in ([key.name for key in KEYS], [key.field for key in KEYS], [key.variable for key in KEYS]):
        assert len(set(names)) == len(names)
    assert {key.field for key in KEYS} == set(Config._fields) - {"file", "settings"}
    assert BY_NAME["scrubber.delay"].variable == "IMGTOOL_SCRUBBER_DELAY"
    assert SECTIONS == ("catalog", "store", "formats", "limits", "scrubber", "quotas")


def test_every_key_is_read(tmp_path: Path) -> None:
    """Every key of the file, in its own units."""
    path = written(
        tmp_path,
        """
        [catalog]
        location = "images"
        policy = "strict"
        access = "rules/access.yaml"
        as = "alice:research:member"
        visibility = "private"
        [store]
        location = "/srv/blobs"
        import = "move"
        [formats]
        disk = ["qcow2", "vpc"]
        container = ["bare"]
        [limits]
        image_size = "20G"
        virtual_size = "any"
        tags = 4
        properties = 5
        members = 6
        [scrubber]
        delay = "36h"
        wakeup = 30
        [quotas]
        bytes = "1.5T"
        images = 1000
        owner_bytes = 4096
        owner_images = "any"
        """,
    )
    config = load_config(file=path, environ={})
    assert config._replace(settings=()) == Config(
        location=str(tmp_path / "images"),
        policy="strict",
        access=str(tmp_path / "rules" / "access.yaml"),
        acting="alice:research:member",
        visibility="private",
        store="/srv/blobs",
        importing="move",
        disk_formats=("qcow2", "vhd"),
        container_formats=("bare",),
        image_size=20 << 30,
        virtual_size=None,
        tags=4,
        properties=5,
        members=6,
        delay=129_600,
        wakeup=30,
        total_bytes=3 << 39,
        total_images=1000,
        owner_bytes=4096,
        owner_images=None,
        file=str(path),
    )
    assert {setting.source for setting in config.settings} == {"file"}


def test_the_file_of_readme_is_one(tmp_path: Path) -> None:
    """What README shows is read, and says what README says of it."""
    (text,) = re.findall(r"```toml\n(\[catalog\].*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    config = load_config(file=written(tmp_path, text), environ={})
    assert config.access == str(tmp_path / "access.yaml")
    assert (config.policy, config.delay, config.owner_bytes) == ("strict", 604_800, 200 << 30)


def test_options_overrule_the_environment_that_overrules_the_file(tmp_path: Path) -> None:
    """Each place in turn; the setting says which one it was."""
    path = written(tmp_path, '[catalog]\nas = "file:p:member"\n[scrubber]\ndelay = "1d"\nwakeup = "1m"\n')
    environ = {"IMGTOOL_CONFIG": str(path), "IMGTOOL_AS": "env:p:member", "IMGTOOL_SCRUBBER_DELAY": "2d"}
    config = load_config({"catalog.as": "option:p:member"}, environ=environ)
    assert (config.acting, config.delay, config.wakeup) == ("option:p:member", 172_800, 60)
    assert [config.where(key) for key in ("catalog.as", "scrubber.delay", "scrubber.wakeup", "limits.tags")] == [
        "--as",
        "IMGTOOL_SCRUBBER_DELAY",
        f"{path}: scrubber.wakeup",
        "limits.tags",
    ]


def test_variables_are_text(tmp_path: Path) -> None:
    """Lists have commas, numbers are digits, "any" is no ceiling; an empty variable is none."""
    environ = {
        "IMGTOOL_CONFIG": "/dev/null",
        "IMGTOOL_FORMATS_DISK": "qcow2, vpc",
        "IMGTOOL_FORMATS_CONTAINER": "any",
        "IMGTOOL_LIMITS_TAGS": "7",
        "IMGTOOL_QUOTAS_IMAGES": "any",
        "IMGTOOL_QUOTAS_BYTES": "10M",
        "IMGTOOL_IMPORT": "link",
        "IMGTOOL_STORE_IMPORT": "link",
        "IMGTOOL_STORE_LOCATION": "",
    }
    config = load_config(environ=environ)
    assert (config.disk_formats, config.container_formats, config.tags) == (("qcow2", "vhd"), None, 7)
    assert (config.total_images, config.total_bytes, config.importing, config.store) == (None, 10 << 20, "link", None)


def test_names_are_taken_from_where_they_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the file's folder, from the current one for a variable; URLs and built-in policies are no paths."""
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", "/home/alice")
    path = written(
        tmp_path, '[catalog]\nlocation = "postgresql://db/images"\npolicy = "site.toml"\naccess = "~/a.yaml"\n'
    )
    config = load_config(file=path, environ={"IMGTOOL_STORE_LOCATION": "srv"})
    assert (config.location, config.policy) == ("postgresql://db/images", str(tmp_path / "site.toml"))
    assert (config.access, config.store) == ("/home/alice/a.yaml", "/srv")


def test_the_current_folder_is_never_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An imgtool.toml beside an untrusted image is not read; the user's own is."""
    written(tmp_path, "[catalog]\nas = 'mallory:p:admin'\n")
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home" / ".config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert (load_config(environ={}).acting, load_config(environ={}).file) == (None, None)
    (home / "imgtool").mkdir(parents=True)
    own = written(home / "imgtool", "[catalog]\nas = 'alice:p:member'\n")
    assert config_file({}) == (str(own), None)
    assert (load_config(environ={}).acting, load_config(environ={}).file) == ("alice:p:member", str(own))
    assert usual_location() == str(tmp_path / "data" / "imgtool" / "catalog")


def test_names_in_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is taken from the current folder is a mistake where that was removed."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    said = "the current folder is gone"
    with pytest.raises(UsageError, match=f"imgtool.toml: {said}"):
        load_config(file="imgtool.toml", environ={})
    with pytest.raises(UsageError, match=f"mine.toml: {said}"):
        load_config(environ={"IMGTOOL_CONFIG": "mine.toml"})
    with pytest.raises(UsageError, match=f"IMGTOOL_STORE_LOCATION: ./srv: {said}"):
        load_config(file=written(tmp_path, ""), environ={"IMGTOOL_STORE_LOCATION": "srv"})


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_file_that_is_named_must_be_there(tmp_path: Path, by_variable: bool) -> None:
    """Named by the option or the variable: a missing one, a folder, bytes that are no text are failures."""
    for path, said in (
        (tmp_path / "none.toml", "No such file or directory (named by "),
        (tmp_path, "Is a directory"),
    ):
        environ = {"IMGTOOL_CONFIG": str(path)} if by_variable else {}
        with pytest.raises(UsageError, match=said.replace("(", r"\(")):
            load_config(file=None if by_variable else path, environ=environ)
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        load_config(file=tmp_path / "latin.toml", environ={})
    (tmp_path / "large.toml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(UsageError, match="larger than 1048576 bytes"):
        load_config(file=tmp_path / "large.toml", environ={})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[catalog]\nlocatoin = 'x'", "unknown key 'catalog.locatoin' (did you mean 'catalog.location'?)"),
        ("[catalog]\ndelay = 1", "unknown key 'catalog.delay' (did you mean 'scrubber.delay'?)"),
        ("[store]\nzzz = 1", "unknown key 'store.zzz' (one of store.location, store.import)"),
        ("[scruber]\ndelay = 1", "unknown key 'scruber' (did you mean 'scrubber'?)"),
        ("'scrubber.delay' = 1", "unknown key 'scrubber.delay': write delay under [scrubber]"),
        ("catalog = 'x'", "catalog: a table is needed, not text"),
        ("[catalog]\nlocation = 3", "catalog.location: text is needed, not a number"),
        ("[catalog]\nlocation = ''", "catalog.location: text is needed, not an empty one"),
        ('[catalog]\nlocation = "a\\u0000b"', "catalog.location: one line of text is needed"),
        ("[catalog]\npolicy = 'stric'", "catalog.policy: no such policy: 'stric'"),
        ("[catalog]\nvisibility = 'all'", "catalog.visibility: one of public, community, shared, private is needed"),
        ("[store]\nimport = 'steal'", "store.import: one of copy, move, link is needed, not 'steal'"),
        ("[formats]\ndisk = 'qcow2'", "formats.disk: a list is needed, not text"),
        ("[formats]\ndisk = ['floppy']", "formats.disk: no such disk format: 'floppy'"),
        ("[limits]\ntags = true", "limits.tags: a whole number from 0 is needed"),
        ("[limits]\nimage_size = '12 parsecs'", "limits.image_size: not a size: '12 parsecs'"),
        ("[scrubber]\ndelay = '-1d'", "scrubber.delay: not a duration: '-1d'"),
        ("[scrubber]\ndelay = '999999999999w'", "scrubber.delay: a duration is from 0 to 1000 years"),
        ("[scrubber]\ndelay = 9223372036854775807", "scrubber.delay: a duration is from 0 to 1000 years"),
        ("[scrubber]\nwakeup = 9223372036854775807", "scrubber.wakeup: a duration is from 0 to 1000 years"),
        ("[scrubber]\nwakeup = 0", "scrubber.wakeup: at least one second is needed"),
        ("[quotas]\nimages = -1", "quotas.images: a whole number from 0 is needed, not -1"),
        ("[quotas", "not TOML: "),
        ("a = " + "[" * 5000, "not TOML: its values are nested too deeply"),
        ("a = " + "9" * 5000, "not TOML: a number has too many digits"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, text: str, said: str) -> None:
    """With the file, the key and what is needed; a known key that is close is named."""
    (fault,) = faults(tmp_path, text)
    assert fault.startswith(said) or said in fault


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """In the order of the file first, then of the keys; those of variables and options too."""
    path = written(tmp_path, "[limits]\ntagz = 1\nmembers = 'x'\n")
    with pytest.raises(UsageError) as caught:
        load_config({"catalog.visibility": "x"}, file=path, environ={"IMGTOOL_SCRUBBER_DELAY": "soon"})
    assert [fault.partition(" ")[0] for fault in caught.value.faults] == [
        f"{path}:",
        "--visibility:",
        f"{path}:",
        "IMGTOOL_SCRUBBER_DELAY:",
    ]


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("/srv/images", "/srv/images"),
        ("postgresql://db/images", "postgresql://db/images"),
        ("postgresql://alice@db/images", "postgresql://alice@db/images"),
        ("postgresql://alice:se:cr@db:5432/images", "postgresql://alice:…@db:5432/images"),
        ("postgresql+psycopg://alice:s@cr@db/images?sslmode=x", "postgresql+psycopg://alice:…@db/images?sslmode=x"),
        ("postgresql://alice:a/b@db/images", "postgresql://alice:…@db/images"),
        ("postgresql://db/images?user=a&password=b&x=c", "postgresql://db/images?user=a&password=…&x=c"),
        ("postgresql://db:5432/images?sslpassword=b", "postgresql://db:5432/images?sslpassword=…"),
    ],
)
def test_passwords_are_not_shown(place: str, shown: str) -> None:
    """A URL is shown without its password, wherever the password stands in it."""
    assert without_password(place) == shown
    assert has_password(place) == (place != shown)


def test_passwords_are_not_taken_from_options() -> None:
    """Everybody on the machine reads a command line; a variable and a file may hold one."""
    url = "postgresql://alice:secret@db/images"
    with pytest.raises(UsageError, match="no password on a command line") as caught:
        load_config({"catalog.location": url}, environ={"IMGTOOL_CONFIG": "/dev/null"})
    assert "secret" not in str(caught.value)
    assert load_config(environ={"IMGTOOL_CONFIG": "/dev/null", "IMGTOOL_CATALOG": url}).location == url
