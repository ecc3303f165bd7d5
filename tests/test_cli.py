"""The command line as a user types it: output, exit statuses, help, errors, pipes, interruption."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from imgtool.cli.main import VERBS
from imgtool.errors import EXIT_TABLE
from imgtool.findings.core import SEVERITIES
from imgtool.model.schema import report_schema
from tests.kit import FIXTURES, fixture, images

IMGTOOL = (sys.executable, "-m", "imgtool")


def call(
    *arguments: str | bytes, stdin: bytes | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the command; its output as bytes."""
    return subprocess.run([*IMGTOOL, *arguments], input=stdin, capture_output=True, cwd=cwd, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the images that the examples of the help name."""
    plain = fixture("qcow2/plain.qcow2")
    (tmp_path / "disk.img").write_bytes(plain)
    (tmp_path / "other.img").write_bytes(bytes(4096))
    (tmp_path / "same.img").write_bytes(bytes(1 << 20))
    (tmp_path / "snapshots.img").write_bytes(fixture("qcow2/snapshots.qcow2"))
    (tmp_path / "appliance.ova").write_bytes(fixture("ova/small.ova.gz"))
    (tmp_path / "site.toml").write_text('fail_on = "warning"\n[references]\nfollow = ["backing"]\n')
    (tmp_path / "pass.txt").write_text("a passphrase")
    (tmp_path / "imgtool.toml").write_text('[scrubber]\ndelay = "2d"\n')
    (tmp_path / "access.yaml").write_text('publicize_image: "role:publisher"\n')
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "one.qcow2").write_bytes(plain)
    (tmp_path / "images" / "two.raw").write_bytes(bytes(1024))
    return tmp_path


def examples_of(help_text: str) -> list[str]:
    """The command lines under "Examples:" of a help text."""
    return re.findall(r"^\s+\$ (.+)$", help_text, re.MULTILINE)


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_has_examples_that_run(verb: str, folder: Path) -> None:
    """Each command's help names every option in an example, ends with the exit statuses, and its examples work."""
    done = call(*([verb] if verb else []), "--help")
    told = done.stdout.decode()
    assert done.returncode == 0
    shown = examples_of(told)
    assert shown
    options = set(re.findall(r"(--[a-z0-9-]+)", told.partition("Examples:")[0].partition("Options:")[2]))
    if verb:
        missing = {option for option in options - {"--help"} if not any(option in example for example in shown)}
        assert not missing
    for status, meaning in EXIT_TABLE:
        assert re.search(rf"{status}\s+{re.escape(meaning[:20])}", told)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for example in shown:
        ran = subprocess.run(
            example, shell=True, cwd=folder, capture_output=True, env={**os.environ, "PATH": path}, check=False
        )
        assert ran.returncode == 0, f"{example}: {ran.stderr.decode()}"
        assert ran.stdout or ">" in example or "--svg" in example or "--quiet" in example


def test_inspect_text_is_for_people(folder: Path) -> None:
    """The facts, then the checksum."""
    done = call("inspect", "disk.img", cwd=folder)
    digest = hashlib.sha256(fixture("qcow2/plain.qcow2")).hexdigest()
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "disk.img"
    assert "  format                qcow2 (bare)" in lines
    assert "  virtual size          1 MiB (1048576 bytes)" in lines
    assert lines[-1] == f"  sha256                {digest}"
    assert (done.returncode, done.stderr) == (0, b"")


def test_inspect_many_is_a_table(folder: Path) -> None:
    """Two inputs or more: one line each, the missing one on stderr, and the status says so."""
    done = call("inspect", "disk.img", "missing.img", "other.img", cwd=folder)
    lines = done.stdout.decode().splitlines()
    assert lines[0].split() == ["FORMAT", "CONTAINER", "VIRTUAL", "SIZE", "ON", "DISK", "FINDINGS", "PATH"]
    assert [line.split()[-1] for line in lines[1:]] == ["disk.img", "other.img"]
    assert done.stderr.decode() == "imgtool: missing.img: No such file or directory\n"
    assert done.returncode == 3


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_json_is_one_object_a_line_of_the_schema(jobs: str) -> None:
    """Every fixture's object validates against the schema that the command prints."""
    schema = json.loads(call("schema", "report").stdout)
    assert schema == json.loads(json.dumps(report_schema()))
    paths = [str(FIXTURES / name) for name in images()]
    done = call("inspect", "--json", "--no-checksum", "--jobs", jobs, *paths)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["path"] for one in told] == paths
    checker = jsonschema.Draft202012Validator(schema)
    for one in told:
        checker.validate(one)
        assert one["schema"] == "imgtool.report/1"


def test_json_errors_are_objects_on_stderr(folder: Path) -> None:
    """Under --json a failure is an object with type, code, message and exit."""
    done = call("inspect", "--json", "missing.img", cwd=folder)
    told = json.loads(done.stderr)
    assert (told["type"], told["code"], told["exit"], done.returncode) == ("error", "not-found", 3, 3)


def test_expect_decides_the_exit_status(folder: Path) -> None:
    """0 where the digest is as expected, 1 with a finding where it is not, 2 where it is no digest."""
    good = hashlib.md5(fixture("qcow2/plain.qcow2")).hexdigest()
    assert call("inspect", "--expect", f"md5:{good}", "disk.img", cwd=folder).returncode == 0
    bad = call("inspect", "--expect", f"md5:{'0' * 32}", "disk.img", cwd=folder)
    assert bad.returncode == 1
    assert b"IMG301" in bad.stdout
    assert call("inspect", "--expect", "md5:xyz", "disk.img", cwd=folder).returncode == 2


def test_fail_on_decides_the_exit_status(folder: Path) -> None:
    """Findings alone do not fail; --fail-on does."""
    (folder / "odd.raw").write_bytes(bytes(700))
    assert call("inspect", "odd.raw", cwd=folder).returncode == 0
    assert call("inspect", "--fail-on", "error", "odd.raw", cwd=folder).returncode == 0
    assert call("inspect", "--fail-on", "warning", "odd.raw", cwd=folder).returncode == 1
    assert call("inspect", "--fail-on", "never", "odd.raw", cwd=folder).returncode == 2


def test_usage_errors(folder: Path) -> None:
    """No input, contradictory options, an unknown digest or verb: status 2 and one clear line."""
    for arguments in (
        ["inspect"],
        ["inspect", "--no-checksum", "--checksum", "md5", "disk.img"],
        ["inspect", "--checksum", "crc", "disk.img"],
        ["inspect", "--progress", "loud", "disk.img"],
        ["checksum", "--check", "list", "disk.img"],
        ["schema", "nothing"],
        ["inspect", "--no-such-option"],
        ["no-such-verb"],
    ):
        done = call(*arguments, cwd=folder)
        assert done.returncode == 2, arguments
        assert done.stderr
        assert b"Traceback" not in done.stderr


def test_not_regular_files_are_refused(folder: Path) -> None:
    """A folder, a FIFO and a device are status 3 with what to do; nothing hangs."""
    os.mkfifo(folder / "fifo")
    for path, cure in (("images", "-r"), ("fifo", "pipe it"), ("/dev/null", "regular file")):
        done = subprocess.run([*IMGTOOL, "inspect", path], capture_output=True, cwd=folder, timeout=20, check=False)
        assert done.returncode == 3
        assert cure in done.stderr.decode()


def test_names_are_escaped_on_a_terminal(folder: Path) -> None:
    """A name with control, bidirectional and undecodable bytes is shown escaped, and given exactly in JSON."""
    name = b"evil\x1b[2J\xe2\x80\xae\xff\nname.img"
    Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(bytes(512))
    told = call("inspect", name, cwd=folder)
    first = told.stdout.decode().splitlines()[0]
    assert first == "evil\\x1b[2J\\u202e\\xff\\x0aname.img"
    report = json.loads(call("inspect", "--json", name, cwd=folder).stdout)
    import base64

    assert base64.b64decode(report["path_b64"]) == name


def test_stdin_is_a_stream(folder: Path) -> None:
    """`-` gives the file's report, streamed."""
    done = call("inspect", "--json", "-", stdin=fixture("qcow2/plain.qcow2"))
    told = json.loads(done.stdout)
    assert (told["path"], told["streamed"], told["format"], told["virtual_size"]) == ("-", True, "qcow2", 1 << 20)


def test_checksum_lines_are_coreutils_lines(folder: Path) -> None:
    """sha256sum and imgtool write the same lines, escaped names included, and verify each other's."""
    for name in (b"plain", b"with space", b"back\\slash", b"new\nline", b"\xff\xfe"):
        (Path(os.fsdecode(os.path.join(os.fsencode(folder), b"c-" + name)))).write_bytes(name)
    names = sorted(os.listdir(os.fsencode(folder)))
    files = [name for name in names if name.startswith(b"c-")]
    theirs = subprocess.run(["sha256sum", *files], cwd=folder, capture_output=True, check=True).stdout
    ours = call("checksum", *files, cwd=folder)
    assert ours.stdout == theirs
    (folder / "list").write_bytes(ours.stdout)
    assert subprocess.run(["sha256sum", "--check", "--quiet", "list"], cwd=folder, check=False).returncode == 0
    checked = call("checksum", "--check", "list", cwd=folder)
    assert checked.returncode == 0
    assert checked.stdout.count(b": OK\n") == len(files)


def test_checksum_tags_several_algorithms(folder: Path) -> None:
    """Several algorithms in one pass give tagged lines that coreutils verifies."""
    done = call("checksum", "-a", "md5", "-a", "sha512", "-a", "blake2b", "disk.img", cwd=folder)
    data = fixture("qcow2/plain.qcow2")
    assert done.stdout.decode().splitlines() == [
        f"MD5 (disk.img) = {hashlib.md5(data).hexdigest()}",
        f"SHA512 (disk.img) = {hashlib.sha512(data).hexdigest()}",
        f"BLAKE2b (disk.img) = {hashlib.blake2b(data).hexdigest()}",
    ]
    (folder / "tags").write_bytes(done.stdout)
    assert call("checksum", "--check", "tags", cwd=folder).returncode == 0


def test_checksum_check_tells_what_differs(folder: Path) -> None:
    """A changed file is FAILED and status 1; a missing one is status 3; an empty list is status 3."""
    lines = call("checksum", "disk.img", "other.img", cwd=folder).stdout
    (folder / "list").write_bytes(lines)
    (folder / "disk.img").write_bytes(b"changed")
    done = call("checksum", "--check", "list", "--quiet", cwd=folder)
    assert (done.returncode, done.stdout) == (1, b"disk.img: FAILED\n")
    (folder / "disk.img").unlink()
    assert call("checksum", "--check", "list", cwd=folder).returncode == 3
    (folder / "empty").write_bytes(b"no such line\n")
    assert call("checksum", "--check", "empty", cwd=folder).returncode == 3
    told = [
        json.loads(line) for line in call("checksum", "--json", "--check", "list", cwd=folder).stdout.splitlines()
    ]
    assert [(one["path"], one["ok"]) for one in told] == [("disk.img", False), ("other.img", True)]


def test_formats_lists_the_registries() -> None:
    """Every entry of the registries has its line, as text and as JSON."""
    from imgtool.containers import CONTAINERS
    from imgtool.formats import FORMATS
    from imgtool.volumes import VOLUMES

    names = [entry.name for entry in (*FORMATS, *CONTAINERS, *VOLUMES)]
    told = [json.loads(line) for line in call("formats", "--json").stdout.splitlines()]
    assert [one["name"] for one in told] == names
    lines = call("formats").stdout.decode().splitlines()
    assert [line.split()[0] for line in lines[1 : len(names) + 1]] == names


def test_doctor_names_what_is_here() -> None:
    """Each library with its version; status 0 where all are here."""
    done = call("doctor", "--json")
    told = {one["name"]: one["found"] for one in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0
    assert told["construct"]
    assert told["imgtool"] == call("--version").stdout.decode().split()[1]


def test_the_reader_of_the_output_may_go_away(folder: Path) -> None:
    """A pipe that closes early ends it quietly with status 141."""
    running = subprocess.Popen(
        [*IMGTOOL, "inspect", "--json", *["disk.img"] * 400],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        pipesize=4096,  # too small for all of it: it has to wait for its reader
    )
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.read(10)
    running.stdout.close()
    assert running.stderr.read() == b""
    running.stderr.close()
    assert running.wait() == 141


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_end_it_at_once(number: signal.Signals, status: int, jobs: str, folder: Path) -> None:
    """Ctrl-C and SIGTERM in the middle of a long digest end it with their status and no trace."""
    with open(folder / "large.raw", "wb") as file:
        file.truncate(1 << 40)
    command = [*IMGTOOL, "inspect", "--jobs", jobs, "disk.img", "large.raw", "large.raw"]
    running = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stdout.readline().startswith(b"FORMAT")
    assert b"disk.img" in running.stdout.readline()
    time.sleep(0.2)
    running.send_signal(number)
    try:
        _, errors = running.communicate(timeout=10)
    finally:
        running.kill()
    assert running.returncode == status
    assert b"Traceback" not in errors


def test_progress_is_a_bar_on_a_terminal_and_lines_for_programs(folder: Path) -> None:
    """After a second a bar appears on a terminal's stderr; --progress json prints objects instead."""
    with open(folder / "large.raw", "wb") as file:
        file.truncate(1 << 40)
    main_end, terminal_end = pty.openpty()
    running = subprocess.Popen(
        [*IMGTOOL, "inspect", "large.raw"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=terminal_end,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(terminal_end)
    shown = b""
    deadline = time.monotonic() + 20
    while b"large.raw" not in shown and time.monotonic() < deadline:
        shown += os.read(main_end, 4096)
    running.terminate()
    running.wait()
    os.close(main_end)
    assert b"large.raw" in shown
    counted = subprocess.Popen(
        [*IMGTOOL, "checksum", "--progress", "json", "large.raw"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert counted.stderr is not None
    told = json.loads(counted.stderr.readline())
    counted.terminate()
    counted.communicate()
    assert (told["type"], told["path"], told["total"]) == ("progress", "large.raw", 1 << 40)
    assert 0 < told["done"] < 1 << 40


def test_completion_is_offered() -> None:
    """bash completion knows the verbs and a verb's options."""
    env = {**os.environ, "_IMGTOOL_COMPLETE": "complete_bash", "COMP_WORDS": "imgtool checks", "COMP_CWORD": "1"}
    path = Path(sys.executable).parent / "imgtool"
    done = subprocess.run([path], env=env, capture_output=True, check=False)
    assert done.stdout.decode().split() == ["checksum"]
    env = {**env, "COMP_WORDS": "imgtool inspect --exp", "COMP_CWORD": "2"}
    done = subprocess.run([path], env=env, capture_output=True, check=False)
    assert done.stdout.decode().split() == ["--expect"]


def test_a_bug_is_status_70(folder: Path) -> None:
    """An unexpected error shows its trace and asks to be reported."""
    script = "import imgtool.cli.inspect as verb; verb.inputs = None\nfrom imgtool.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "inspect", "disk.img"], cwd=folder, capture_output=True, check=False
    )
    assert done.returncode == 70
    assert b"Traceback" in done.stderr
    assert b"this is a bug" in done.stderr


def test_fields_annotate_the_header(folder: Path) -> None:
    """Every field with offset, length, hex, value and meaning."""
    told = call("inspect", "--no-checksum", "--fields", "disk.img", cwd=folder).stdout.decode()
    assert re.search(r"^\s+20\s+4\s+00000009\s+cluster_bits = 9\s+cluster size 512 bytes$", told, re.MULTILINE)
    assert re.search(r"^\s+24\s+8\s+0000000000100000\s+size = 1048576", told, re.MULTILINE)


def test_ten_thousand_inputs_do_not_grow(folder: Path) -> None:
    """Many small images in one command: memory stays where it was after the first few hundred."""
    names = b"".join(b"images/one.qcow2\0" for _ in range(3000))
    script = (
        "import re, sys; from imgtool.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(re.search('VmHWM:\\\\s+(\\\\d+)', open('/proc/self/status').read())[1])"
    )
    peaks = []
    for count in (300, 3000):
        given = b"".join(names.split(b"\0")[0] + b"\0" for _ in range(count))
        done = subprocess.run(
            [sys.executable, "-c", script, "inspect", "--json", "--files0-from", "-"],
            input=given,
            cwd=folder,
            capture_output=True,
            check=False,
        )
        assert len(done.stdout.splitlines()) == count
        peaks.append(int(done.stderr))
    assert peaks[1] - peaks[0] < 4096


def test_severities_are_ordered() -> None:
    """--fail-on warning includes errors."""
    assert SEVERITIES == ("error", "warning", "note")
