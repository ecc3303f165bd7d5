"""imgtool config: what is printed, for people and for programs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.test_cli import IMGTOOL


def call(*arguments: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command with variables of the environment."""
    return subprocess.run([*IMGTOOL, *arguments], capture_output=True, env={**os.environ, **environ}, check=False)


def test_a_table_says_what_holds_and_where_it_comes_from(tmp_path: Path) -> None:
    """Each key with its value in words, and the file, the variable or the option."""
    path = tmp_path / "imgtool.toml"
    path.write_text('[catalog]\nlocation = "images"\n[scrubber]\ndelay = "2d"\n[formats]\ndisk = ["raw", "vpc"]\n')
    done = call("config", "show", "--config", str(path), "--as", "a:b:member", IMGTOOL_QUOTAS_BYTES="1536G")
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines[:2] == [f"configuration file: {path}", ""]
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:]}
    assert rows["KEY"] == ["VALUE", "FROM"]
    assert rows["catalog.location"] == [str(tmp_path / "images"), str(path)]
    assert rows["catalog.as"] == ["a:b:member", "--as"]
    assert rows["scrubber.delay"] == ["2d", str(path)]
    assert rows["scrubber.wakeup"] == ["5m", "default"]
    assert rows["quotas.bytes"] == ["1.5", "TiB", "IMGTOOL_QUOTAS_BYTES"]
    assert rows["quotas.images"] == ["any", "default"]
    assert rows["formats.disk"] == ["raw,", "vhd", str(path)]


def test_json_is_an_object_a_key(tmp_path: Path) -> None:
    """Values in bytes and seconds, with the variable and the option that overrule; no password."""
    done = call(
        *("config", "show", "--json"),
        IMGTOOL_CONFIG="/dev/null",
        XDG_DATA_HOME=str(tmp_path),
        IMGTOOL_STORE_LOCATION="/srv/blobs",
    )
    told = {one["key"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert told["catalog.location"]["value"] == str(tmp_path / "imgtool" / "catalog")
    assert told["store.location"] == {
        "key": "store.location",
        "value": "/srv/blobs",
        "source": "environment",
        "place": "IMGTOOL_STORE_LOCATION",
        "variable": "IMGTOOL_STORE_LOCATION",
        "option": None,
        "about": "folder of the images' data",
    }
    assert (told["scrubber.delay"]["value"], told["scrubber.delay"]["source"]) == (604_800, "default")
    assert (told["quotas.bytes"]["value"], told["quotas.bytes"]["place"]) == (None, None)
    secret = call("config", "show", IMGTOOL_CONFIG="/dev/null", IMGTOOL_CATALOG="postgresql://a:secret@db/images")
    assert b"secret" not in secret.stdout
    assert "postgresql://a:…@db/images" in secret.stdout.decode()


def test_mistakes_are_a_line_each(tmp_path: Path) -> None:
    """Status 2, every fault in a line of its own; under --json one object."""
    path = tmp_path / "imgtool.toml"
    path.write_text("[catalog]\nlocatoin = 'x'\n[limits]\ntags = 'many'\n")
    done = call("config", "show", "--config", str(path))
    said = [
        f"{path}: unknown key 'catalog.locatoin' (did you mean 'catalog.location'?)",
        f"{path}: limits.tags: a whole number from 0 is needed, not text",
    ]
    assert done.returncode == 2
    assert done.stderr.decode() == "".join(f"imgtool: {line}\n" for line in said)
    told = json.loads(call("config", "show", "--json", IMGTOOL_CONFIG=str(path)).stderr)
    assert (told["type"], told["code"], told["message"], told["exit"]) == ("error", "usage", "; ".join(said), 2)


def test_usage_errors(tmp_path: Path) -> None:
    """An action that there is not, a file that is not there."""
    assert call("config", "hide").returncode == 2
    assert call("config", "show", "--config", str(tmp_path / "none")).returncode == 2


def test_what_a_file_says_is_escaped(tmp_path: Path) -> None:
    """A terminal is not controlled by a value."""
    path = tmp_path / "imgtool.toml"
    path.write_text('[catalog]\nas = "\\u001b[2J"\n')
    done = call("config", "show", "--config", str(path))
    assert b"\x1b" not in done.stdout
    assert b"\\x1b[2J" in done.stdout
