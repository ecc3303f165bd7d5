"""Policies as TOML: what is read, what is refused and how that is said, and that what is shown reads back."""

from __future__ import annotations

import pytest

from imgtool.errors import UsageError
from imgtool.findings.core import Finding, Severity
from imgtool.policy.builtin import BUILTIN, builtin
from imgtool.policy.dump import to_toml
from imgtool.policy.load import load_policy
from imgtool.policy.policy import Policy

WHOLE = """
name = "site"
title = "ours \\"and\\" Ångström's"
base = "none"
fail_on = "warning"

[formats]
disk = ["qcow2", "vpc", "ploop"]
container = ["bare", "oci"]
inspected = ["bare"]

[content]
encrypted = true
incomplete = false
refuse = ["qcow2.extended_l2", "luks.version=2"]
vmdk_create_types = ["streamOptimized"]
creators = ["qemu", "win*"]

[references]
allow = ["backing"]
follow = ["extent"]

[ceilings]
virtual_size = "2T"
file_size = 1000
expansion_ratio = 100
depth = 2

[checksums]
required = ["SHA-256"]

[severities]
QCW = "warning"
QCW101 = "off"
external-reference = "note"
"""


def test_every_key() -> None:
    """Each key of a policy file, with names as imgtool prints them and sizes in bytes."""
    assert load_policy(WHOLE, "x.toml") == Policy(
        name="site",
        title='ours "and" Ångström\'s',
        disk_formats=("qcow2", "vhd", "parallels"),
        container_formats=("bare", "docker"),
        inspected=("bare",),
        severities=(("QCW", "warning"), ("QCW101", "off"), ("external-reference", "note")),
        fail_on="warning",
        encrypted=True,
        incomplete=False,
        refuse=("qcow2.extended_l2", "luks.version=2"),
        allow_references=("backing",),
        follow_references=("extent",),
        create_types=("streamOptimized",),
        creators=("qemu", "win*"),
        virtual_size=2 * 1024**4,
        file_size=1000,
        expansion_ratio=100,
        depth=2,
        require_checksums=("sha256",),
    )


def test_what_is_shown_reads_back() -> None:
    """The TOML of each built-in policy, and of one with everything in it, is that policy."""
    for policy in (*BUILTIN.values(), load_policy(WHOLE, "x.toml"), Policy("odd\x7f\n\t\"'\\ \u202e")):
        assert load_policy(to_toml(policy), "x.toml") == policy


def test_a_file_changes_its_base() -> None:
    """`default` where no base is named; its severities stay but for those that the file moves; the file's name."""
    changed = load_policy('[severities]\nIMG202 = "warning"\nQCW = "note"', "folder/site.toml")
    assert changed == builtin("default")._replace(name="site", severities=(("IMG202", "warning"), ("QCW", "note")))
    assert load_policy('base = "strict"', "a.toml") == builtin("strict")._replace(name="a")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("disk = [", "not TOML"),
        ("a = " + "[" * 5000, "not TOML: its values are nested too deeply"),
        ("a = " + "9" * 5000, "not TOML: a number has too many digits"),
        ('fail_off = "error"', "unknown key 'fail_off' (did you mean 'fail_on'?)"),
        ('fail_on = "note"', "fail_on: one of error, warning is needed, not 'note'"),
        ('base = "lax"', "base: no such policy: 'lax'"),
        ("base = 3", "base: text is needed, not a number"),
        ("formats = 3", "formats: a table is needed, not a number"),
        ("severities = []", "severities: a table is needed, not a list"),
        ("[formats]\ndisks = []", "unknown key 'formats.disks' (did you mean 'formats.disk'?)"),
        ('[formats]\ndisk = "qcow2"', "formats.disk: a list is needed, not text"),
        ("[formats]\ndisk = [1]", "formats.disk: text is needed, not a number"),
        ('[formats]\ndisk = ["qcow9"]', "formats.disk: no such disk format: 'qcow9'"),
        ('[formats]\ncontainer = ["tar"]', "formats.container: no such container format: 'tar'"),
        ("[content]\nencrypted = 1", "content.encrypted: true or false is needed, not a number"),
        ('[content]\nrefuse = ["all"]', "content.refuse: not a condition: 'all'"),
        ('[content]\nrefuse = ["tar.x"]', "content.refuse: no such format: 'tar', in 'tar.x'"),
        ('[content]\nrefuse = ["vdi.sparkle"]', "content.refuse: vdi has no fact 'sparkle' (it has "),
        ('[references]\nallow = ["url"]', "references.allow: one of backing, data-file, "),
        ('[ceilings]\nvirtual_size = "big"', "ceilings.virtual_size: not a size: 'big'"),
        ("[ceilings]\nfile_size = -1", "ceilings.file_size: a whole number from 0 is needed, not -1"),
        ("[ceilings]\nfile_size = true", "ceilings.file_size: a whole number from 0 is needed, not True"),
        (
            "[ceilings]\nexpansion_ratio = 1.5",
            "ceilings.expansion_ratio: a whole number from 0 is needed, not a fraction",
        ),
        ("[ceilings]\ndepth = 17", "ceilings.depth: from 1 to 16"),
        ('[checksums]\nrequired = ["crc"]', "checksums.required: "),
        ('[severities]\nQCX = "error"', "severities: no rule is called 'QCX'"),
        ('[severities]\nQCW101 = "fatal"', "severities: QCW101: one of error, warning, note, off is needed"),
        ('[severities]\nIMG901 = "off"', "severities: IMG901: a check that failed always rejects"),
    ],
)
def test_faults_are_told_with_their_place(text: str, told: str) -> None:
    """Unknown keys, wrong types, unknown formats and codes: the file, the key, what is wrong, what is right."""
    with pytest.raises(UsageError) as error:
        load_policy(text, "folder/site.toml")
    assert str(error.value).startswith("folder/site.toml: ")
    assert told in str(error.value)


def test_every_fault_at_once() -> None:
    """One line for each."""
    with pytest.raises(UsageError) as error:
        load_policy("fail_on = 1\nbase = 1\n[formats]\ndisk = 1\nx = 1", "site.toml")
    assert len(str(error.value).splitlines()) == 4


def test_the_longest_selector_decides() -> None:
    """A code goes before its hundred, that before its family, a rule's name before them; a failed check stays.

    The beginning of codes leaves notes what they are, unless it leaves them out.
    """
    policy = Policy(
        "x",
        severities=(
            ("QCW", "error"),
            ("QCW1", "warning"),
            ("QCW101", "off"),
            ("IMG", "off"),
            ("empty-file", "error"),
            ("VHD503", "warning"),
        ),
    )

    def level(code: str, name: str, severity: Severity) -> str:
        return policy.level(Finding(code, name, severity, ""))

    assert level("QCW001", "a", "warning") == "error"
    assert level("QCW001", "a", "note") == "note"
    assert level("QCW102", "b", "error") == "warning"
    assert level("QCW101", "c", "error") == "off"
    assert level("IMG005", "empty-file", "note") == "error"
    assert level("IMG007", "d", "note") == "off"
    assert level("VHD001", "e", "error") == "error"
    assert level("VHD503", "f", "note") == "warning"
    assert level("IMG901", "reader-failed", "error") == "error"
