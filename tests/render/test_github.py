"""GitHub annotations: one a line, and no more commands than findings, whatever is in a name."""

from __future__ import annotations

import re

from hypothesis import given, settings

from imgtool.findings.pages import page
from imgtool.model.verdict import Verdict
from imgtool.render import github
from tests.render.samples import BACKING, FAILURES, SAMPLES, SNAPSHOTS, verdict, verdicts
from tests.render.snapshot import agrees

_COMMAND = re.compile(r"::(error|warning|notice) file=([^:,\r\n]*),title=([^:,\r\n]*)::([^\r\n]*)")


def annotations(judged: Verdict) -> list[tuple[str, str, str, str]]:
    """Level, file, title and message of each line of a verdict."""
    return read(github.lines(judged))


def read(text: str) -> list[tuple[str, str, str, str]]:
    """Level, file, title and message of each line, as a runner reads them."""
    assert text == "" or text.endswith("\n")
    found = []
    for line in text.split("\n")[:-1]:
        match = _COMMAND.fullmatch(line)
        assert match, line
        level, *values = match.groups()
        found.append((level, *map(_back, values)))
    return found


def _back(value: str) -> str:
    for code, letter in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        value = value.replace(code, letter)
    return value


def test_snapshot(update: bool) -> None:
    """The lines of every shape of verdict, byte by byte."""
    agrees("validate.github.txt", "".join(map(github.lines, SAMPLES)), update)


def test_an_annotation() -> None:
    """Level, file, title, and a message with the place and the cure."""
    about = page("IMG101")
    assert about is not None
    message = f"at byte 8: backing file '/etc/passwd' (raw). What to do: {about.cure}"
    assert annotations(verdict("a:b,c.img", BACKING, accepted=False)) == [
        ("error", "a:b,c.img", "IMG101 external-reference", message)
    ]


def test_a_member_is_named() -> None:
    """The file is the one that was judged; the member stands in the message."""
    ((level, file, _, message),) = annotations(verdict("a.ova", SNAPSHOTS._replace(member="d.vmdk", severity="note")))
    assert (level, file) == ("notice", "a.ova")
    assert message.startswith("in d.vmdk at byte 60: 2 snapshots")


def test_a_clean_file_is_silent() -> None:
    """No finding, no line."""
    assert github.lines(verdict("a.img")) == ""


def test_a_rejected_file_has_an_error() -> None:
    """Also where only warnings, or what could not be seen, led to it."""
    assert [one[0] for one in annotations(verdict("a", SNAPSHOTS, accepted=False))] == ["warning", "error"]
    assert [one[0] for one in annotations(verdict("a", not_run=("ISO301",), accepted=False))] == ["warning", "error"]


def test_what_could_not_be_judged() -> None:
    """One error a file."""
    text = "".join(github.failure(*failure) for failure in FAILURES)
    assert read(text) == [
        ("error", "gone.img", "not judged", "gone.img: No such file or directory"),
        ("error", "a<b:\\x0a", "not judged", "a<b:\\x0a: Permission denied, {0}"),
    ]


@given(verdicts())
@settings(derandomize=True, max_examples=300, deadline=None)
def test_hostile_strings(judged: Verdict) -> None:
    """One line an annotation; a name ends no property; every character is printable."""
    found = annotations(judged)
    incomplete = judged.incomplete + 0
    plain = not judged.accepted and not any(one.severity == "error" for one in judged.findings)
    assert len(found) == len(judged.findings) + incomplete + plain
    assert all(letter.isprintable() for one in found for part in one for letter in part)
