"""Views: rows of structures read at once, noted where they are missing, shown one by one."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from construct import Int8ub, Int16ul, Struct

from imgtool.limits import DEFAULT, Limits
from imgtool.sources.memory import BytesSource
from imgtool.structs.layout import Layout
from imgtool.structs.view import Unreadable, View


class Row(NamedTuple):
    """Three bytes."""

    kind: int
    value: int


ROW = Layout("row", Row, Struct("kind" / Int8ub, "value" / Int16ul))
DATA = bytes.fromhex("ff01020002030003040009")


def view(data: bytes = DATA, limits: Limits = DEFAULT) -> View:
    """A view of bytes in memory."""
    return View(BytesSource(data), limits)


def test_rows_are_those_of_single_reads() -> None:
    """One read gives what as many single ones give, and the same annotated structures."""
    at_once, one_by_one = view(), view()
    rows = at_once.rows(ROW, 1, 3)
    assert rows == [Row(1, 2), Row(2, 3), Row(3, 4)]
    assert rows == [one_by_one.parse(ROW, 1 + 3 * index) for index in range(3)]
    assert at_once.structures() == one_by_one.structures()
    assert [structure.offset for structure in at_once.structures()] == [1, 4, 7]
    assert at_once.problems == ()


def test_missing_rows_are_noted() -> None:
    """Rows past the end are one truncated problem; those before it are there."""
    seen = view()
    assert seen.rows(ROW, 4, 5) == [Row(2, 3), Row(3, 4)]
    (problem,) = seen.problems
    assert (problem.kind, problem.offset, problem.length) == ("truncated", 10, 9)
    outside = view()
    assert outside.rows(ROW, 1000, 2) == []
    assert outside.problems[0].kind == "truncated"
    assert outside.structures() == ()


def test_rows_keep_the_caps() -> None:
    """More than the read cap is refused; the structures shown are capped, too."""
    with pytest.raises(Unreadable):
        view(limits=DEFAULT._replace(read=8)).rows(ROW, 1, 3)
    few = view(limits=DEFAULT._replace(records=2))
    assert len(few.rows(ROW, 1, 3)) == 3
    assert len(few.structures()) == 2


def test_a_longer_record_is_one_structure() -> None:
    """What is decoded from more bytes than its declaration takes (a record with a tail) is shown once, whole."""
    seen = view()
    assert seen.decode(ROW, DATA[1:], 1) == Row(1, 2)
    (structure,) = seen.structures()
    assert (structure.offset, structure.length, len(structure.fields)) == (1, len(DATA) - 1, 2)
