"""What render does to strings that came out of a file."""

from __future__ import annotations

import base64
from io import BytesIO
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imgtool.model.jsonable import jsonable, named_value
from imgtool.model.values import Extent
from imgtool.render.escape import checksum_name, checksum_name_back, terminal
from imgtool.render.lines import checksum_line, parse_line, tagged_line
from imgtool.render.maps import Cells, map_text
from imgtool.render.pictures import Drawing, png, svg


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


@pytest.mark.parametrize(
    ("text", "shown", "raw"),
    [
        ("a\udcffb", "a\ufffdb", b"a\xffb"),
        ("a\ud800b", "a\ufffd\ufffd\ufffdb", b"a\xed\xa0\x80b"),
        ("\udcff\ud800", "\ufffd" * 6, b"\xed\xb3\xbf\xed\xa0\x80"),
    ],
)
def test_any_string_has_a_json_form(text: str, shown: str, raw: bytes) -> None:
    """Bytes that are not UTF-8 are given as they were; surrogates that stand for no byte as their own."""
    assert named_value("name", text) == {"name": shown, "name_b64": base64.b64encode(raw).decode()}
    assert jsonable({text: [text]}) == {shown: [shown]}


def test_checksum_names_that_are_not_escaped_well() -> None:
    """A mark without a valid escape is no line of a list."""
    assert checksum_name("a\\b\nc") == ("\\", "a\\\\b\\nc")
    with pytest.raises(ValueError, match="not an escaped name"):
        checksum_name_back("a\\x")
    assert parse_line("\\" + "ab" * 32 + "  a\\x") is None
    assert parse_line("no line at all") is None


def _drawn() -> Drawing:
    """A picture of a small disk with every kind in it."""
    drawing = Drawing("a <b>\x1b.img", 10 << 20, 4 << 20, None)
    for extent in (
        Extent(0, 1 << 20, "data", 1 << 20),
        Extent(1 << 20, 1 << 20, "compressed"),
        Extent(2 << 20, 1 << 20, "reference"),
        Extent(3 << 20, 1 << 20, "zero"),
        Extent(4 << 20, 5 << 20, "hole"),
        Extent(9 << 20, 1 << 20, "data", 0),
    ):
        drawing.add(extent)
    return drawing


def test_svg_is_well_formed() -> None:
    """The SVG parses, names are escaped, and each kind's share of the size bar is what it is of the disk."""
    root = ElementTree.fromstring(svg(_drawn()).decode())
    space = "{http://www.w3.org/2000/svg}"
    texts = [text.text or "" for text in root.iter(f"{space}text")]
    assert texts[0] == "a <b>\\x1b.img: 10 MiB for the guest"
    assert any("2 fragments" in text for text in texts)
    boxes = [box for box in root.iter(f"{space}rect") if box.get("height") == "22.00"]
    bars = {box.get("fill"): float(box.get("width", "0")) for box in boxes}
    assert bars == {"#1f5fa8": 184, "#e08214": 92, "#7b3294": 92, "#a6cee3": 92, "#eeeeee": 460}


def test_png_is_a_picture() -> None:
    """The PNG opens and has the colours of the size bar where they belong."""
    image = Image.open(BytesIO(png(_drawn())))
    assert image.size == (960, 720)
    assert [image.getpixel((x, 55)) for x in (30, 250, 350, 450, 800)] == [
        (31, 95, 168),
        (224, 130, 20),
        (123, 50, 148),
        (166, 206, 227),
        (238, 238, 238),
    ]


def test_map_text_shows_data_first() -> None:
    """A cell with any data shows it; totals and fragments are counted."""
    cells = Cells(1 << 20, 8)
    for extent in (
        Extent(0, 4096, "data", 65536),
        Extent(4096, 258048, "hole"),
        Extent(262144, 262144, "zero"),
        Extent(524288, 262144, "compressed"),
        Extent(786432, 131072, "reference"),
        Extent(917504, 131072, "data", 4096),
    ):
        cells.add(extent)
    lines = map_text("x.img", cells, 4).splitlines()
    assert lines[1].split() == ["0", "█·░░"]
    assert lines[2].split() == ["524288", "▓▓▒█"]
    assert cells.totals().fragments == 2
    counted = cells.totals().bytes
    assert counted == {"data": 135168, "compressed": 262144, "reference": 131072, "zero": 262144, "hole": 258048}
