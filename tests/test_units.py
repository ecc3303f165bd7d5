"""Sizes as people type and read them."""

from __future__ import annotations

import pytest

from imgtool.errors import UsageError
from imgtool.units import (
    GIB,
    KIB,
    LONGEST,
    MIB,
    TIB,
    ceil_div,
    duration,
    guid_text,
    human_duration,
    human_size,
    is_power_of_two,
    parse_duration,
    parse_size,
    round_up,
    uuid_text,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("1K", KIB),
        ("1k", KIB),
        ("10G", 10 * GIB),
        ("1.5 MiB", MIB + MIB // 2),
        ("2TiB", 2 * TIB),
        ("3MB", 3 * MIB),
        ("7B", 7),
        ("1P", 1024 * TIB),
    ],
)
def test_parse_size(text: str, size: int) -> None:
    """Suffixes are powers of 1024; a bare number is bytes."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "ten", "-1", "1X", "1e400", "0x10", "1KK", "nan", "inf"])
def test_what_is_no_size(text: str) -> None:
    """A clear usage error."""
    with pytest.raises(UsageError):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (196624, "192 KiB"),
        (MIB - 1, "1 MiB"),
        (1023 * KIB, "1023 KiB"),
        (GIB, "1 GiB"),
        (3 * TIB // 2, "1.5 TiB"),
        (1 << 62, "4 EiB"),
    ],
)
def test_human_size(size: int, text: str) -> None:
    """Three digits are enough for people."""
    assert human_size(size) == text


def test_ids() -> None:
    """A UUID is big-endian; a GUID has its first three groups little-endian."""
    raw = bytes.fromhex("00112233445566778899aabbccddeeff")
    assert uuid_text(raw) == "00112233-4455-6677-8899-aabbccddeeff"
    assert guid_text(raw) == "33221100-5544-7766-8899-aabbccddeeff"


def test_arithmetic() -> None:
    """Rounding up, powers of two."""
    assert [ceil_div(value, 4) for value in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert [round_up(value, 4) for value in (0, 1, 4, 5)] == [0, 4, 4, 8]
    assert [value for value in range(-2, 20) if is_power_of_two(value)] == [1, 2, 4, 8, 16]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("45s", 45), ("30m", 1800), (" 12H ", 43_200), ("7d", 604_800), ("2w", 1_209_600)],
)
def test_durations_as_people_type_them(text: str, seconds: int) -> None:
    """A number of seconds, or of a unit."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "1.5h", "-1", "1y", "1h30m", "²", "1 d", "9" * 13])
def test_no_duration(text: str) -> None:
    """Everything else is refused with what is right."""
    with pytest.raises(UsageError, match="say 90, 45s, 30m, 12h, 7d, 2w"):
        parse_duration(text)


def test_durations_end_somewhere() -> None:
    """At 1,000 years, typed or as a number."""
    assert parse_duration("365250d") == duration(LONGEST) == LONGEST
    for text in ("365251d", "999999999999w"):
        with pytest.raises(UsageError, match="from 0 to 1000 years"):
            parse_duration(text)
    for seconds in (-1, LONGEST + 1):
        with pytest.raises(UsageError, match="from 0 to 1000 years"):
            duration(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (1, "1s"), (90, "90s"), (300, "5m"), (43_200, "12h"), (604_800, "7d")]
)
def test_durations_for_people(seconds: int, text: str) -> None:
    """In the largest unit that is exact, and read back as the same."""
    assert human_duration(seconds) == text
    assert parse_duration(text) == seconds
