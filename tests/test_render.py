"""What render does to strings that came out of a file."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgtool.render.escape import checksum_name, checksum_name_back, terminal
from imgtool.render.lines import checksum_line, parse_line, tagged_line


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain name.img", "plain name.img"),
        ("ümläut ✓ 日本", "ümläut ✓ 日本"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\r", "a\\x0ab\\x09c\\x0d"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\u009b2J", "\\x9b2J"),
        ("bad \udcff byte", "bad \\xff byte"),
        ("\u2028\ufeff\U000e0001", "\\u2028\\ufeff\\U000e0001"),
    ],
)
def test_terminal(raw: str, shown: str) -> None:
    """Letters stay; what would move the cursor, hide or reorder text is shown as its code."""
    assert terminal(raw) == shown


@given(st.text(st.characters(codec=None)))
@settings(derandomize=True, max_examples=300, deadline=None)
def test_terminal_never_passes_a_control(raw: str) -> None:
    """Whatever comes in, what comes out is printable and encodes."""
    shown = terminal(raw)
    shown.encode("utf-8")
    assert all(letter.isprintable() for letter in shown)


@given(st.binary(min_size=1, max_size=40))
@settings(derandomize=True, max_examples=300, deadline=None)
def test_checksum_lines_read_back(raw: bytes) -> None:
    """A line of any file name stays one line and reads back to it, plain and tagged."""
    name = raw.replace(b"\0", b"0").decode("utf-8", "surrogateescape")
    digest = "ab" * 32
    for line, algorithm in ((checksum_line(name, digest), None), (tagged_line(name, "sha256", digest), "SHA256")):
        assert line.count("\n") == 1
        read = parse_line(line)
        assert read is not None
        assert (read.name, read.digest, read.algorithm) == (name, digest, algorithm)


def test_checksum_names_that_are_not_escaped_well() -> None:
    """A mark without a valid escape is no line of a list."""
    assert checksum_name("a\\b\nc") == ("\\", "a\\\\b\\nc")
    with pytest.raises(ValueError, match="not an escaped name"):
        checksum_name_back("a\\x")
    assert parse_line("\\" + "ab" * 32 + "  a\\x") is None
    assert parse_line("no line at all") is None
