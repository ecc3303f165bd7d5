"""Conversions and measures: the JSON objects and their schemas, the texts, and that nothing in them acts up."""

from __future__ import annotations

import base64
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgtool.findings.core import Finding
from imgtool.model.conversion import Conversion, Measure
from imgtool.model.schema import conversion_schema, measure_schema
from imgtool.render import conversions

SNAPSHOTS = Finding("CNV001", "snapshots-lost", "warning", "2 internal snapshots stay behind: a, b")
DONE = Conversion(
    path="in/disk.qcow2",
    target="out/disk.vhd",
    source_format="qcow2",
    container="bare",
    member=None,
    format="vhd",
    engine="native",
    virtual_size=8 << 20,
    file_size=3 << 20,
    allocated=1 << 20,
    digest="ab" * 32,
    verified=True,
    seconds=1.25,
    options={"subformat": "dynamic", "cluster_size": 65536, "preallocation": "off", "level": 0},
    losses=(SNAPSHOTS,),
)
TOLD = Measure(
    path="box.ova",
    target=None,
    source_format="vmdk",
    container="ova",
    member="disk1.vmdk",
    format="qcow2",
    engine="qemu-img",
    virtual_size=1 << 30,
    required=196_608,
    exact=False,
    options={},
    losses=(SNAPSHOTS,),
)

#: What can come out of a file or a command line: bytes that are not UTF-8 are kept as `surrogateescape` does.
_texts = (
    st.text(st.characters(codec="utf-8"), max_size=30)
    | st.binary(max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
    | st.sampled_from(["\x1b[2J", "\u202e", "a\nlost", "\r", "\udcff", "[bold]x[/bold]", "\x9b1m", "\u2028"])
)
_findings = st.lists(st.builds(Finding, _texts, _texts, st.just("note"), _texts), max_size=3).map(tuple)


def test_the_text_of_one() -> None:
    """What was written, by what, proved or not, and what was lost."""
    assert conversions.text(DONE.to_dict()).splitlines() == [
        "in/disk.qcow2 → out/disk.vhd",
        "  format        qcow2 → vhd (subformat=dynamic, cluster_size=64KiB)",
        "  virtual size  8 MiB (8388608 bytes)",
        "  file          3 MiB, 1 MiB on disk",
        "  engine        native, 1.2 s",
        f"  content       proved: blocks {'ab' * 32}",
        "  lost          CNV001 snapshots-lost: 2 internal snapshots stay behind: a, b",
    ]
    bare = DONE._replace(verified=False, digest=None, allocated=None, losses=(), findings=(SNAPSHOTS,))
    assert conversions.text(bare.to_dict(), earlier=True).splitlines()[3:] == [
        "  file          3 MiB",
        "  engine        native, by an earlier run",
        "  content       not compared",
        "  found         CNV001 snapshots-lost: 2 internal snapshots stay behind: a, b",
    ]


def test_the_text_of_a_measure() -> None:
    """Which disk of what, how large, and whether that is exact."""
    lines = conversions.measured(TOLD.to_dict()).splitlines()
    assert lines[:2] == ["box.ova", "  format        vmdk in ova (disk1.vmdk) → qcow2"]
    assert lines[3].endswith("an estimate")
    exact = conversions.measured(TOLD._replace(exact=True, target="a.qcow2").to_dict())
    assert "estimate" not in exact
    assert exact.startswith("box.ova → a.qcow2\n")


def test_the_table_of_many() -> None:
    """A line each, those of an earlier run too; then failures and the sum of what this one wrote."""
    done = [(DONE.to_dict(), False), (DONE._replace(member="d.vmdk", verified=False).to_dict(), True)]
    lines = conversions.summary(done, [("gone.img", "gone.img: No such file")]).splitlines()
    assert [line.split()[0] for line in lines] == ["source", "in/disk.qcow2", "in/disk.qcow2", "failed:", "2"]
    assert lines[1].endswith("1.2      proved")
    assert "(d.vmdk)" in lines[2]
    assert lines[2].endswith("earlier  not compared")
    assert lines[4] == "2 conversions done, 1 failed; 3 MiB written"
    assert conversions.summary(done[1:], []).endswith("\n1 conversion done, 0 failed; 0 B written\n")
    told = json.loads(conversions.summary_line(done, []))
    assert (told["done"], told["resumed"], told["written"]) == (2, 1, DONE.file_size)
    assert conversions.summary([], []) == "0 conversions done, 0 failed; 0 B written\n"


@pytest.mark.parametrize(
    ("value", "schema", "name"),
    [(DONE, conversion_schema(), "imgtool.conversion/1"), (TOLD, measure_schema(), "imgtool.measure/1")],
)
def test_objects_are_of_their_schema(value: Conversion | Measure, schema: dict[str, Any], name: str) -> None:
    """One line of JSON; a name that is not UTF-8 is given exactly beside it."""
    odd = value._replace(path="b\udcffd\n.img", target="x\udc80")
    for one in (value, odd):
        line = conversions.json_line(one.to_dict())
        assert line.count("\n") == 1
        told = json.loads(line)
        assert told["schema"] == name
        jsonschema.validate(told, schema)
    assert base64.b64decode(told["path_b64"]) == b"b\xffd\n.img"
    assert json.loads(conversions.json_line(value.to_dict(), earlier=True))["resumed"] is True


@given(_texts, _texts, _texts, _findings)
@settings(derandomize=True, max_examples=100, deadline=None)
def test_no_string_acts_on_a_terminal(path: str, member: str, option: str, losses: tuple[Finding, ...]) -> None:
    """Whatever is in names, options and messages: as many lines as there are facts, all of them printable."""
    done = DONE._replace(
        path=path, target=path, member=member, options={"subformat": option, option: option}, losses=losses
    )
    told = TOLD._replace(path=path, target=path, member=member, container=member, losses=losses)
    texts = {
        conversions.text(done.to_dict()): 6 + len(losses),
        conversions.measured(told.to_dict()): 5 + len(losses),
        conversions.summary([(done.to_dict(), False)], [(path, member)]): 4,
    }
    for text, lines in texts.items():
        assert text.count("\n") == lines
        assert text.replace("\n", "").isprintable()
