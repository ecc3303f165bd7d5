"""The rules of records."""

from __future__ import annotations

import pytest

from imgtool.catalog import records
from imgtool.errors import RefusedError, UsageError


@pytest.mark.parametrize("good", ["a", "é" * 255, "../../etc/passwd", "C:\\x", "a b", "{}", "$(x)", ".."])
def test_names_are_words_and_no_paths(good: str) -> None:
    """1 to 255 characters; nothing in them means anything."""
    assert records.name(good) == good


@pytest.mark.parametrize("bad", ["", "a" * 256, "a\nb", "a\0b", "\x1b[31m", "\ud800", "\x7f"])
def test_bad_names(bad: str) -> None:
    """Empty, too long, controlling a terminal, or no text at all."""
    for check in (records.name, records.owner, records.tag, records.property_name):
        with pytest.raises(UsageError):
            check(bad)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "x",
        "../../../../etc/passwd",
        "{12345678-1234-1234-1234-123456789abc}",
        "12345678-1234-1234-1234-123456789ab",
        "12345678-1234-1234-1234-123456789abc\n",
        "urn:uuid:12345678-1234-1234-1234-123456789abc",
        "12345678123412341234123456789abc",
        "１2345678-1234-1234-1234-123456789abc",
    ],
)
def test_ids_are_uuids(bad: str) -> None:
    """Nothing else, however it is written."""
    assert not records.is_id(bad)
    with pytest.raises(UsageError):
        records.image_id(bad)


def test_ids_are_written_small() -> None:
    """Either case is accepted."""
    assert records.image_id("ABCDEF78-1234-1234-1234-123456789ABC") == "abcdef78-1234-1234-1234-123456789abc"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("checksum", "checksum is set by the catalog alone"),
        ("status", "status is set by the catalog alone"),
        ("name", "name is a field of its own, not a property"),
        ("min_disk", "min_disk is a field of its own, not a property"),
        ("locations", "'locations' is a reserved name"),
        ("os_glance_import_task", "'os_glance_import_task' is a reserved name"),
        ("imgtool_x", "'imgtool_x' is a reserved name"),
    ],
)
def test_reserved_names_of_properties(key: str, said: str) -> None:
    """What the service keeps for itself is refused."""
    with pytest.raises(RefusedError) as caught:
        records.properties({key: "1"})
    assert str(caught.value) == said


def test_values_of_properties() -> None:
    """Any text but NUL, up to 65,535 bytes."""
    assert records.property_value("k", "é" * 32_767 + "a") == "é" * 32_767 + "a"
    assert records.property_value("k", "two\nlines") == "two\nlines"
    for bad in ("é" * 32_768, "a\0", "\udcff"):
        with pytest.raises(UsageError):
            records.property_value("k", bad)


def test_quotas() -> None:
    """128 tags and properties, each counted once."""
    many = [f"t{number:03}" for number in range(128)]
    assert records.tags([*many, *many]) == tuple(many)
    assert list(records.properties(dict.fromkeys(many, "v"))) == many
    with pytest.raises(RefusedError, match="at most 128"):
        records.tags([*many, "more"])
    with pytest.raises(RefusedError, match="at most 128"):
        records.properties(dict.fromkeys([*many, "more"], "v"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None), (None, None)),
        (("vpc", None), ("vhd", None)),
        (("qcow2", "bare"), ("qcow2", "bare")),
        (("aki", None), ("aki", "aki")),
        ((None, "ari"), ("ari", "ari")),
        (("ami", "ami"), ("ami", "ami")),
    ],
)
def test_formats(given: tuple[str | None, str | None], expected: tuple[str | None, str | None]) -> None:
    """Names as they are printed; Amazon's stand on both sides."""
    assert records.formats(*given) == expected


@pytest.mark.parametrize("given", [("aki", "bare"), ("raw", "ami"), ("ari", "aki"), ("floppy", None), (None, "bag")])
def test_formats_that_do_not_go_together(given: tuple[str | None, str | None]) -> None:
    """Amazon's must agree; unknown ones are none."""
    with pytest.raises(UsageError):
        records.formats(*given)


def test_numbers_and_words() -> None:
    """min_disk and min_ram from 0 on; visibilities and members' statuses are the service's."""
    assert records.least("min_disk", 0) == 0
    for bad in (-1, 2**31):
        with pytest.raises(UsageError):
            records.least("min_ram", bad)
    assert [records.visibility(one) for one in ("public", "community", "shared", "private")]
    with pytest.raises(UsageError, match="one of public, community, shared, private"):
        records.visibility("secret")
    with pytest.raises(UsageError, match="one of pending, accepted, rejected"):
        records.member_status("maybe")
