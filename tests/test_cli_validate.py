"""validate, rule and policy as a user types them: what is printed, in which format, with which exit status."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from imgtool.findings.ledger import LEDGER
from imgtool.model.schema import verdict_schema
from imgtool.policy.builtin import BUILTIN
from imgtool.policy.load import load_policy
from imgtool.render.verdicts import first_sentence
from tests.kit import FIXTURES, fixture
from tests.test_cli import call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good image, a bad one, one with a warning, one that is hidden behind a name."""
    (tmp_path / "good.qcow2").write_bytes(fixture("qcow2/plain.qcow2"))
    (tmp_path / "bad.qcow2").write_bytes(fixture("qcow2/backing.qcow2"))
    (tmp_path / "old.qcow2").write_bytes(fixture("qcow2/snapshots.qcow2"))
    return tmp_path


def test_text(folder: Path) -> None:
    """The verdict line, the findings by severity with code, name, place, what, and what to do."""
    done = call("validate", "bad.qcow2", cwd=folder)
    assert done.returncode == 1
    assert done.stdout.decode().splitlines() == [
        "bad.qcow2: rejected (policy default): 1 error, incomplete",
        *[line for line in done.stdout.decode().splitlines() if "rules did not see all" in line],
        "  error",
        "    IMG101 external-reference (backing, byte 136)",
        "      backing: 'base.qcow2'",
        "      what to do: make it self-contained: `qemu-img convert` it where its references are, "
        'or `qemu-img rebase -b ""`.',
    ]
    good = call("validate", "good.qcow2", cwd=folder)
    assert (good.stdout, good.returncode) == (b"good.qcow2: accepted (policy default)\n", 0)


def test_many_inputs_are_all_done(folder: Path) -> None:
    """Each has its verdict; a missing one is on stderr; the highest status wins, in any number of jobs."""
    for jobs in ("1", "3"):
        done = call("validate", "--jobs", jobs, "good.qcow2", "missing", "bad.qcow2", cwd=folder)
        heads = [line for line in done.stdout.decode().splitlines() if not line.startswith(" ")]
        assert [head.split(":")[0] for head in heads] == ["good.qcow2", "bad.qcow2"]
        assert done.stderr == b"imgtool: missing: No such file or directory\n"
        assert done.returncode == 3
    assert call("validate", "--recursive", ".", cwd=folder).returncode == 1


def test_quiet_shows_what_is_rejected(folder: Path) -> None:
    """Nothing for accepted inputs."""
    done = call("validate", "--quiet", "good.qcow2", "bad.qcow2", "old.qcow2", cwd=folder)
    heads = [line for line in done.stdout.decode().splitlines() if not line.startswith(" ")]
    assert heads == ["bad.qcow2: rejected (policy default): 1 error, incomplete"]


def test_thresholds_claims_and_selection(folder: Path) -> None:
    """Every option that makes a yes a no, or the other way round."""
    for status, arguments in (
        (0, ["old.qcow2"]),
        (1, ["--fail-on", "warning", "old.qcow2"]),
        (1, ["--policy", "strict", "old.qcow2"]),
        (0, ["--policy", "strict", "--fail-on", "error", "old.qcow2"]),
        (0, ["--disk-format", "qcow2", "good.qcow2"]),
        (1, ["--disk-format", "raw", "good.qcow2"]),
        (1, ["--container-format", "ova", "good.qcow2"]),
        (1, ["--min-disk", "1023K", "good.qcow2"]),
        (0, ["--min-disk", "1M", "good.qcow2"]),
        (1, ["--max-virtual-size", "1K", "good.qcow2"]),
        (1, ["--expect", f"md5:{'0' * 32}", "good.qcow2"]),
        (0, ["--ignore", "IMG101", "bad.qcow2"]),
        (0, ["--select", "VHD", "bad.qcow2"]),
        (0, ["--policy", "permissive", "bad.qcow2"]),
        (2, ["--policy", "lax", "good.qcow2"]),
        (2, ["--disk-format", "qcow9", "good.qcow2"]),
        (2, ["--min-disk", "big", "good.qcow2"]),
        (2, ["--select", "QCX", "good.qcow2"]),
        (2, ["--fail-on", "note", "good.qcow2"]),
        (2, ["--output-format", "yaml", "good.qcow2"]),
        (2, ["--json", "--output-format", "sarif", "good.qcow2"]),
        (2, ["--policy", "missing.toml", "good.qcow2"]),
        (2, []),
    ):
        done = call("validate", *arguments, cwd=folder)
        assert done.returncode == status, (arguments, done.stdout, done.stderr)
        assert b"Traceback" not in done.stderr


def test_usage_errors_come_before_any_verdict(folder: Path) -> None:
    """A wrong claim is told once, on stderr, before anything is read."""
    done = call("validate", "--container-format", "box", "good.qcow2", "bad.qcow2", cwd=folder)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"no such container format") == 1


def test_json(folder: Path) -> None:
    """One object a line, of the schema; errors are objects on stderr."""
    done = call("validate", "--json", "good.qcow2", "missing", "bad.qcow2", cwd=folder)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["path"], one["accepted"]) for one in told] == [("good.qcow2", True), ("bad.qcow2", False)]
    checker = jsonschema.Draft202012Validator(verdict_schema())
    for one in told:
        checker.validate(one)
    assert json.loads(done.stderr)["code"] == "not-found"
    assert call("validate", "--output-format", "json", "good.qcow2", cwd=folder).stdout == (
        call("validate", "--json", "good.qcow2", cwd=folder).stdout
    )
    assert json.loads(call("schema", "verdict").stdout) == json.loads(json.dumps(verdict_schema()))


def test_documents_for_all_inputs(folder: Path) -> None:
    """SARIF and JUnit are one document; GitHub one annotation a line."""
    sarif = json.loads(call("validate", "--output-format", "sarif", "good.qcow2", "bad.qcow2", cwd=folder).stdout)
    assert [result["ruleId"] for result in sarif["runs"][0]["results"]] == ["IMG101"]
    done = call("validate", "--output-format", "junit", "good.qcow2", "bad.qcow2", cwd=folder)
    suite = ElementTree.fromstring(done.stdout)
    assert (suite.get("tests"), suite.get("failures"), done.returncode) == ("2", "1", 1)
    lines = call("validate", "--output-format", "github", "good.qcow2", "bad.qcow2", cwd=folder).stdout.splitlines()
    assert all(line.startswith((b"::error ", b"::warning ", b"::notice ")) for line in lines)
    assert any(b"IMG101" in line for line in lines)


def test_inputs_that_cannot_be_judged_are_in_the_documents(folder: Path) -> None:
    """A missing file is an error of the run, a test in error, an annotation; the status is 3."""
    for form, mark in (("sarif", b'"executionSuccessful": false'), ("junit", b'errors="1"'), ("github", b"::error ")):
        done = call("validate", "--output-format", form, "good.qcow2", "missing", cwd=folder)
        assert done.returncode == 3
        assert mark in done.stdout
        assert b"missing" in done.stdout


def test_standard_input(folder: Path) -> None:
    """A stream has the file's verdict; what it kept from running is said."""
    done = call("validate", "--json", "-", stdin=fixture("qcow2/plain.qcow2"))
    told = json.loads(done.stdout)
    assert (told["path"], told["accepted"], told["incomplete"], told["not_run"]) == ("-", True, False, [])
    deep = json.loads(call("validate", "--json", "--deep", "-", stdin=fixture("vhd/dynamic.vhd")).stdout)
    assert deep["incomplete"]
    assert deep["not_run"]
    rejected = call("validate", "--deep", "--policy", "strict", "-", stdin=fixture("vhd/dynamic-exact.vhd"))
    assert rejected.returncode == 1
    assert b"rules did not see all that they look at (" in rejected.stdout


def test_a_policy_file(folder: Path) -> None:
    """Its name is on the verdict; its faults are on stderr, one a line, with status 2."""
    (folder / "site.toml").write_text('[severities]\nIMG101 = "warning"\n')
    done = call("validate", "--policy", "site.toml", "bad.qcow2", cwd=folder)
    assert done.returncode == 0
    assert done.stdout.startswith(b"bad.qcow2: accepted (policy site): 1 warning, incomplete\n")
    (folder / "site.toml").write_text('[severities]\nIMG1O1 = "warning"\n[formats]\ndisks = []\n')
    done = call("validate", "--policy", "site.toml", "bad.qcow2", cwd=folder)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"site.toml: severities: no rule is called 'IMG1O1'" in done.stderr
    assert b"formats.disks" in done.stderr


def test_names_are_escaped(folder: Path) -> None:
    """What came out of a file, and the file's own name, cannot move the terminal."""
    name = b"evil\x1b[2J\xe2\x80\xae.img"
    Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(bytes(700))
    done = call("validate", name, cwd=folder)
    assert done.stdout.startswith(b"evil\\x1b[2J\\u202e.img: accepted (policy default): 1 warning\n")


def test_rule_pages(folder: Path) -> None:
    """By code in any case, by name; the beginning of codes lists; the table has all; unknown: status 2."""
    page = call("rule", "IMG101").stdout
    assert page.startswith(b"IMG101 external-reference\nerror: The image refers to something outside the file.\n")
    for part in (b"What it checks:", b"Why it matters:", b"What to do:"):
        assert part in page
    assert call("rule", "img101").stdout == call("rule", "external-reference").stdout == page
    table = call("rule").stdout.decode().splitlines()
    assert [line.split()[0] for line in table] == [line.code for line in LEDGER]
    family = call("rule", "VDI").stdout.decode().splitlines()
    assert [line.split()[0] for line in family] == [line.code for line in LEDGER if line.code.startswith("VDI")]
    assert call("rule", "XYZ").returncode == 2
    told = [json.loads(line) for line in call("rule", "--json").stdout.splitlines()]
    assert [one["code"] for one in told] == [line.code for line in LEDGER]
    assert set(told[0]) == {"code", "name", "severity", "summary", "page"}


def test_policy_show(folder: Path) -> None:
    """Each built-in policy as TOML that reads back as itself; a file, effective; a list; usage."""
    for name, policy in BUILTIN.items():
        assert load_policy(call("policy", "show", name).stdout.decode(), "x.toml") == policy
    (folder / "site.toml").write_text('base = "strict"\n[ceilings]\nvirtual_size = "1T"\n')
    shown = call("policy", "show", "site.toml", cwd=folder).stdout.decode()
    assert "virtual_size = 1099511627776" in shown
    assert 'fail_on = "warning"' in shown
    listed = call("policy", "list").stdout.decode().splitlines()
    assert [line.split()[0] for line in listed] == list(BUILTIN)
    assert call("policy", "show").returncode == 2
    assert call("policy", "sell", "default").returncode == 2
    assert call("policy", "show", "lax").returncode == 2


def test_first_sentences() -> None:
    """A full stop inside backquotes, brackets or a name ends none."""
    assert first_sentence("Do `a. b` now. Then that.") == "Do `a. b` now."
    assert first_sentence("Use 1.5 (e.g. this. or that) here. And there.") == "Use 1.5 (e.g. this. or that) here."
    assert first_sentence("No end") == "No end"
    assert first_sentence("") == ""


def test_every_fixture_is_judged() -> None:
    """All fixtures in one command, two at once: a verdict each, no trace."""
    names = [path for path in FIXTURES.rglob("*") if path.suffix not in (".json", ".toml", ".py", ".md")]
    done = call("validate", "--jobs", "2", "--quiet", *[str(path) for path in names if path.is_file()])
    assert done.returncode == 1
    assert done.stderr == b""
