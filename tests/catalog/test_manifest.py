"""The manifest of an export: nothing in it is trusted, and nothing beside it is followed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgtool.catalog import manifest
from imgtool.catalog.service import Catalog
from imgtool.errors import InputError, NotFoundError, NotRegularError, UsageError
from tests.catalog.exports import GOOD, exported, write
from tests.catalog.made import ID


def _nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Lists and objects of it."""
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)


def _as_line(value: object) -> bytes:
    """A line of a manifest, with the schema's name in it where it is an object."""
    return json.dumps({"schema": "imgtool.export/1", **value} if isinstance(value, dict) else value).encode()


#: The fields that are read.
NAMES = (
    *("id", "name", "owner", "status", "visibility", "protected", "tags", "properties", "min_disk", "min_ram"),
    *("disk_format", "container_format", "size", "checksum", "os_hash_algo", "os_hash_value"),
)

FAULTS: list[tuple[str, object, int]] = [
    ("id", "../../../etc/passwd", 2),
    ("id", ID + "/..", 2),
    ("id", None, 3),
    ("name", "", 2),
    ("name", "a\x1b[31m", 2),
    ("name", "n" * 256, 2),
    ("name", "\ud800", 3),
    ("owner", "a\udc80", 3),
    ("name", ["web"], 3),
    ("owner", "", 2),
    ("owner", "x" * (1 << 21), 3),
    ("status", "pending_delete", 3),
    ("status", "saving", 3),
    ("status", 7, 3),
    ("visibility", "everybody", 2),
    ("protected", 1, 3),
    ("tags", ["a\n"], 2),
    ("tags", [str(number) for number in range(129)], 6),
    ("tags", ["t"] * 5000, 3),
    ("tags", "linux", 3),
    ("properties", {"os_glance_x": "1"}, 6),
    ("properties", {"checksum": "1"}, 6),
    ("properties", {"a": 1}, 3),
    ("properties", {"a": "\0"}, 2),
    ("properties", {"a": "v" * 65536}, 2),
    ("properties", None, 3),
    ("min_disk", -1, 3),
    ("min_disk", 1 << 31, 2),
    ("min_ram", True, 3),
    ("min_ram", 1.5, 3),
    ("disk_format", "../raw", 2),
    ("disk_format", "raw", 1),
    ("container_format", "ova", 1),
    ("size", None, 3),
    ("size", 1 << 63, 3),
    ("size", len(GOOD) - 1, 3),
    ("checksum", None, 3),
    ("checksum", "0" * 32, 1),
    ("checksum", "../x", 2),
    ("os_hash_algo", "crc32", 2),
    ("os_hash_algo", "md5", 2),
    ("os_hash_value", "0" * 128, 1),
    ("min_disk", 0, 0),
]


def numbered(number: int) -> str:
    """An id of its own."""
    return f"{number:08x}-1234-1234-1234-123456789abc"


def test_no_field_is_trusted(first: Catalog, second: Catalog, tmp_path: Path) -> None:
    """Each is judged as if it were typed; a fault of one image leaves the others, and nothing of its own but a record
    whose upload failed."""
    folder, line = exported(first, tmp_path)
    lines = []
    for number, (field, value, _) in enumerate(FAULTS):
        os.link(folder / "blobs" / ID, folder / "blobs" / numbered(number))
        lines.append({**line, "image": {**line["image"], "id": numbered(number), field: value}})
    write(folder, *lines)
    done = second.import_from(folder)
    wrong = [(fault, one) for fault, one in zip(FAULTS, done, strict=True) if one.exit != fault[2]]
    assert not wrong
    kept = {one.id: one.status for one in second.list()}
    status = {0: "active", 1: "killed"}
    assert kept == {numbered(number): status[code] for number, (_, _, code) in enumerate(FAULTS) if code in status}
    assert not any(second.repair())


@given(
    st.binary(max_size=64)
    | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), _nested).map(_as_line)
)
@settings(derandomize=True, max_examples=200, deadline=None)
def test_any_line_is_read_or_refused(line: bytes) -> None:
    """Whatever stands there: no other failure than those that are told."""
    with suppress(InputError, UsageError):
        manifest.parsed(line)


@pytest.mark.parametrize("field", [None, *NAMES])
@given(value=st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9), _nested))
@settings(derandomize=True, max_examples=15, deadline=None)
def test_any_value_is_read_or_refused(field: str | None, value: object) -> None:
    """In each field of a line that is otherwise whole."""
    image = dict.fromkeys(("name", "owner", "visibility"), "a") | dict.fromkeys(("min_disk", "min_ram", "size"), 1)
    image |= {"id": ID, "status": "active", "protected": False, "tags": [], "properties": {}}
    image |= {"checksum": "0" * 32, "os_hash_algo": "md5", "os_hash_value": "0" * 32}
    line = {"schema": "imgtool.export/1", "image": image, "members": []}
    if field is None:
        line["members"] = [value]
    else:
        image[field] = value
    with suppress(InputError, UsageError):
        manifest.parsed(json.dumps(line).encode())


LINES = (
    b"\n",
    b"{\n",
    b"null\n",
    b"[]\n",
    b'{"schema": "imgtool.export/2"}\n',
    b'{"schema": "imgtool.export/1"}\n',
    b'{"schema": "imgtool.export/1", "image": []}\n',
    b"[" * 100_000 + b"\n",
    b"9" * 10_000 + b"\n",
    b"\xff\xfe\n",
)


def test_lines_that_are_none(first: Catalog, second: Catalog, tmp_path: Path) -> None:
    """Each is told by its number, and the next one is read."""
    folder, _ = exported(first, tmp_path)
    good = (folder / "manifest.jsonl").read_bytes()
    (folder / "manifest.jsonl").write_bytes(b"".join(LINES) + good)
    *failed, other = second.import_from(folder)
    assert [(one.id, one.what, one.exit) for one in failed] == [(None, "failed", 3)] * len(LINES)
    assert [(one.why or "").partition(":")[0] for one in failed] == [
        f"line {number} of the manifest" for number in range(1, len(LINES) + 1)
    ]
    assert other.what == "imported"


def test_a_line_has_a_most(first: Catalog, second: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it nothing is read."""
    folder, _ = exported(first, tmp_path)
    monkeypatch.setattr(manifest, "LINE", 100)
    with pytest.raises(InputError, match="line 1 has more than 100 bytes"):
        second.import_from(folder)


def as_symlink(path: Path) -> None:
    """To something that is there."""
    moved = path.with_name("moved")
    path.rename(moved)
    path.symlink_to(moved)


def as_fifo(path: Path) -> None:
    """That would block who opens it."""
    path.unlink()
    os.mkfifo(path)


def as_folder(path: Path) -> None:
    """Of the same name."""
    path.unlink()
    path.mkdir()


def as_nothing(path: Path) -> None:
    """It is not there."""
    path.unlink()


@pytest.mark.parametrize("change", [as_symlink, as_fifo, as_folder, as_nothing])
def test_only_regular_files_of_the_folder(
    first: Catalog, second: Catalog, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Data and manifest; nothing is followed, nothing is waited for."""
    folder, _ = exported(first, tmp_path)
    change(folder / "blobs" / ID)
    (failed,) = second.import_from(folder)
    assert (failed.id, failed.what, failed.exit) == (ID, "failed", 3)
    assert second.list() == ()
    change(folder / "manifest.jsonl")
    with pytest.raises((InputError, NotFoundError, NotRegularError)):
        second.import_from(folder)


def test_the_folder_of_data_is_not_followed(first: Catalog, second: Catalog, tmp_path: Path) -> None:
    """A link in place of it is refused."""
    folder, _ = exported(first, tmp_path)
    as_symlink(folder / "blobs")
    (failed,) = second.import_from(folder)
    assert (failed.what, failed.exit) == ("failed", 3)
    with pytest.raises(InputError):
        second.import_from(tmp_path / "disk.img")
    with pytest.raises(NotFoundError):
        second.import_from(tmp_path / "nowhere")
