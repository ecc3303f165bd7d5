"""Verbs of images given what nobody should type, cut off, and on either database: no trace, no path, nothing lost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imgtool.catalog.service import Catalog
from imgtool.cli import progress
from imgtool.config.config import Config
from imgtool.model.image import ImageRecord
from tests.catalog.made import ID
from tests.catalog.seed import ADMIN
from tests.catalog.typed import CAROL, DAVE, OTTO, Typed
from tests.kit import fixture

GOOD = fixture("qcow2/plain.qcow2")

#: Text that a name, a tag, an owner may be, odd as it is.
ODD = (
    *("../../x", "/etc/passwd", "..", ".", "a/b"),
    *("\u202egnp.exe", "\u200bzero", "e\u0301", "x" * 255, "'; DROP TABLE images; --"),
    *("-rf", "~", "$(touch x)", "%s%n", "[red]x[/red]"),
    *("磁盘镜像", "a\\b", "null", "*", " "),
)

#: Text that none of them may be.
BAD = (
    *("a\0b", "new\nline", "\x1b[2Jcleared", "tab\there", "\x7f"),
    *("\udcff", "a\ud800b", "\x9b31m", "x" * 256, ""),
)

#: One of five by default, else each.
EVERY = pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.full)])

_BLOB = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.1")


@pytest.fixture
def fresh(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """An empty catalog on either kind of database, its data in a folder of its own."""
    for name in [name for name in os.environ if name.startswith("IMGTOOL_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "disk.img").write_bytes(GOOD)
    typed = Typed(folder, place, {"IMGTOOL_STORE_LOCATION": str(tmp_path / "store")})
    assert typed("init", "-q", group="catalog").exit_code == 0
    return typed


def files(folder: Path) -> set[str]:
    """Every file below a folder, but those of the catalog's database."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("catalog/catalog.db")}


def shown(text: str) -> bool:
    """True for text that a terminal can show as it is, in lines."""
    return all(line.isprintable() for line in text.split("\n"))


@EVERY
def test_odd_text_stays_text(fresh: Typed, tmp_path: Path, step: int) -> None:
    """As name, tag, property, owner, member, reason: it comes back as it was given, and no file is called so."""
    for text in ODD[::step]:
        words = ("create", "--file", "disk.img", f"--tag={text}", f"--property=k={text}", f"--owner={text}")
        kept = fresh.one(*words, "--", text)
        assert (kept["name"], kept["tags"], kept["properties"]) == (text, [text], {"k": text}), text
        assert fresh.names("--name", text, "--tag", text, f"--property=k={text}") == [text]
        tables = (
            fresh("show", "--", text),
            fresh("list", "--long"),
            fresh("deactivate", kept["id"], f"--reason={text}"),
            fresh("history", kept["id"]),
            fresh("member", "add", "--", kept["id"], text),
            fresh("member", "list", kept["id"]),
            fresh("set", kept["id"], f"--property={text}=1"),
        )
        for done in tables:
            assert (done.exit_code, done.stderr, shown(done.stdout)) == (0, "", True), text
        assert fresh.objects("history", kept["id"], schema="change")[-1]["why"] == text
        assert fresh("delete", kept["id"], "-q").exit_code == 0
    for name in files(tmp_path):
        assert name in ("here/disk.img", "store/catalog-id") or _BLOB.fullmatch(name.removeprefix("store/blobs/")), (
            name
        )


@EVERY
def test_bad_text_is_told(fresh: Typed, tmp_path: Path, step: int) -> None:
    """Wherever it stands: a clear line, a status, and nothing is changed."""
    kept = fresh.one("create", "web", "--id", ID, "--file", "disk.img", "--tag", "t", "--property", "k=v")
    before = files(tmp_path)
    for text in BAD[::step]:
        for words in (
            ("create", "--file", "disk.img", "--", text),
            ("create", "new", f"--tag={text}"),
            ("create", "new", f"--property={text}=1"),
            ("create", "new", f"--owner={text}"),
            ("create", "new", f"--id={text}"),
            ("set", ID, f"--name={text}"),
            ("set", ID, f"--tag={text}"),
            ("set", ID, f"--property={text}=1"),
            ("unset", ID, f"--tag={text}"),
            ("unset", ID, f"--property={text}"),
            ("tag", "add", ID, "--", text),
            ("tag", "remove", ID, "--", text),
            ("member", "add", ID, "--", text),
            ("member", "set", ID, "--", text, "accepted"),
            ("member", "set", ID, "lab", text),
            ("member", "remove", ID, "--", text),
            ("show", "--", text),
            ("history", "--", text),
            ("verify", "--", text),
            ("delete", "--", text),
            ("list", f"--status={text}"),
            ("list", f"--sort={text}"),
            ("list", f"--marker={text}"),
            ("list", f"--visibility={text}"),
        ):
            status, told = fresh.refused(*words)
            assert status in (2, 3, 6), (words, told)
            assert (shown(told), "Traceback" in told) == (True, False), words
        if text:
            assert fresh.refused("delete", ID, f"--reason={text}")[0] == 2
    assert fresh.one("show", ID) == kept
    assert fresh.names() == ["web"]
    assert files(tmp_path) == before


def test_values_of_properties(fresh: Typed) -> None:
    """Lines and colours are values, and shown escaped; NUL, what is not UTF-8, and more than 65,535 bytes are not."""
    fresh.one("create", "web", "--id", ID)
    value = "two\nlines \x1b[31mred\u202e"
    assert fresh.one("set", ID, f"--property=k={value}")["properties"] == {"k": value}
    table = fresh("show", ID).stdout
    assert "properties        k=two\\x0alines \\x1b[31mred\\u202e\n" in table
    assert fresh.names(f"--property=k={value}") == ["web"]
    for bad in ("a\0b", "\udcff", "é" * 32768):
        assert fresh.refused("set", ID, f"--property=k={bad}")[0] == 2
    assert fresh.one("set", ID, "--property=k=" + "x" * 65535)["properties"] == {"k": "x" * 65535}


def test_identities_and_filters(fresh: Typed) -> None:
    """Bad text in who acts, and in what a list asks for."""
    fresh.one("create", "web", "--id", ID)
    for who in (
        "",
        "a",
        "a:b",
        "a:b:",
        "a:b:c:d",
        "a\n:b:c",
        "a:\x1b:c",
        ":b:c",
        "a:\udcff:member",
        "x" * 300 + ":b:c",
    ):
        status, told = fresh.refused("list", f"--as={who}")
        assert (status, shown(told)) == (2, True), who
    for words in (("--name", "\udcff"), ("--tag", "\udcff"), ("--property", "\udcff=1"), ("--owner", "\udcff")):
        assert fresh.refused("list", *words)[0] == 2
    for words in (("--name", ""), ("--tag", "new\nline"), ("--owner", "../.."), ("--property", "k=")):
        assert fresh("list", *words).stdout == "ID  NAME  STATUS\n"


def test_a_life(fresh: Typed) -> None:
    """From create to the scrubber, on either database, with others looking on."""
    record = fresh.one("create", "web", "--id", ID, "--file", "disk.img", "--visibility", "public", "--tag", "a")
    assert (record["status"], record["size"]) == ("active", len(GOOD))
    assert fresh.names(who=DAVE) == ["web"]
    assert fresh.one("deactivate", ID)["status"] == "deactivated"
    assert fresh.refused("verify", ID, who=OTTO)[0] == 6
    assert fresh("verify", ID, "-q").exit_code == 0
    assert fresh.one("reactivate", ID)["status"] == "active"
    assert fresh.one("set", ID, "--visibility", "shared", "--property", "k=v", "--protected")["protected"]
    assert fresh.refused("show", ID, who=CAROL)[0] == 3
    assert fresh.objects("member", "add", ID, "lab", schema="member")[0]["status"] == "pending"
    assert fresh.objects("member", "set", ID, "lab", "accepted", schema="member", who=CAROL)
    assert fresh.names(who=CAROL) == ["web"]
    assert fresh.refused("delete", ID)[0] == 6
    assert fresh.one("set", ID, "--unprotected")["protected"] is False
    assert fresh.one("delete", ID)["status"] == "pending_delete"
    assert fresh.one("restore", ID)["status"] == "active"
    assert fresh.one("delete", "web")["status"] == "pending_delete"
    assert fresh("scrub", "--delay", "0", group="catalog").exit_code == 0
    assert fresh.one("show", ID)["status"] == "deleted"
    assert fresh.refused("restore", ID)[0] == 6
    after = [one["after"] for one in fresh.objects("history", ID, schema="change")]
    assert after == [
        *("queued", "saving", "active", "deactivated", "active", "pending_delete", "active", "pending_delete"),
        "deleted",
    ]


def test_argv_that_is_not_utf8(typed: Typed) -> None:
    """Bytes of the command line as the system gives them: told in one line; a path may be any bytes."""
    (typed.folder / os.fsdecode(b"disk-\xff\x1b[2J.img")).write_bytes(GOOD)
    done = process(typed, b"create", b"web-\xff", b"--file", b"disk.img")
    assert done.returncode == 2
    assert done.stderr == b"imgtool: the name of an image is not UTF-8: 'web-\\udcff'\n"
    done = process(typed, b"create", b"odd", b"--file", b"disk-\xff\x1b[2J.img", b"--json")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "active")
    done = process(typed, b"show", b"--report", b"odd")
    assert (done.returncode, done.stdout) == (0, "disk-\ufffd\\x1b[2J.img: accepted (policy default)\n".encode())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_upload_that_is_cut_off(typed: Typed, number: int, status: int) -> None:
    """The record is killed, with why; no data stays; the status is that of the signal."""
    command = subprocess.Popen(
        [sys.executable, "-m", "imgtool", "image", "create", "slow", "--id", ID, "--file", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=typed.folder,
        env=environment(),
    )
    assert command.stdin is not None
    command.stdin.write(GOOD)
    command.stdin.flush()
    parts = (typed.folder / "catalog" / "uploads").glob
    until(typed, lambda record: record is not None and any(part.stat().st_size for part in parts(f"{ID}*.part")))
    assert typed.one("show", ID)["status"] == "saving"
    command.send_signal(number)
    out, err = command.communicate(timeout=30)
    assert (command.returncode, b"Traceback" in err) == (status, False)
    record = until(typed, lambda record: record is not None and record.status == "killed")
    assert (record.reason or "").startswith("broken off")
    assert record.size is None
    if number == signal.SIGINT:
        assert b"status            killed\n" in out
    assert not [name for name in files(typed.folder / "catalog") if ID in name]
    assert typed.one("upload", ID, "--file", "disk.img")["status"] == "active"


def test_a_reader_that_went_away(typed: Typed) -> None:
    """Quietly 141; what was done stays done."""
    command = subprocess.Popen(
        [sys.executable, "-m", "imgtool", "image", "create", "web-12", "--id", ID, "--file", "disk.img"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=typed.folder,
        env=environment(),
    )
    assert command.stdout is not None
    assert command.stderr is not None
    command.stdout.close()
    assert (command.wait(timeout=30), command.stderr.read()) == (141, b"")
    command.stderr.close()
    assert typed.one("show", ID)["status"] == "active"


def test_progress_as_json(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects of type progress on stderr, with what went by and how much there is; none on a stderr that is no
    terminal where nobody asked."""
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    done = typed("create", "large", "--file", "other.img", "--progress", "json", "-q")
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert told
    assert {one["type"] for one in told} == {"progress"}
    assert told[-1] == {"type": "progress", "path": "other.img", "done": 1 << 20, "total": 1 << 20}
    verified = typed("verify", "large", "--progress", "json")
    assert json.loads(verified.stderr.splitlines()[-1]) == {**told[-1], "path": "large"}
    assert typed("create", "large", "--file", "other.img", "-q").stderr == ""


def environment() -> dict[str, str]:
    """The environment of a process in the folder."""
    told = {"IMGTOOL_CATALOG": "catalog", "IMGTOOL_CONFIG": "/dev/null", "IMGTOOL_AS": ADMIN}
    return {**os.environ, **told}


def process(typed: Typed, *words: bytes) -> subprocess.CompletedProcess[bytes]:
    """A command as a process of its own."""
    return subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"imgtool", b"image", *words],
        capture_output=True,
        cwd=typed.folder,
        env=environment(),
        check=False,
    )


def until(typed: Typed, holds: Callable[[ImageRecord | None], bool]) -> ImageRecord:
    """The record of the image, once something holds of it."""
    deadline = time.monotonic() + 30
    with Catalog.open(identity=ADMIN, config=Config(location=str(typed.folder / "catalog"))) as catalog:
        while time.monotonic() < deadline:
            found = next((one for one in catalog.list() if one.id == ID), None)
            if holds(found) and found is not None:
                return found
            time.sleep(0.01)
    raise AssertionError("it never came to that")
