"""Verdicts for the tests of output formats: every shape of one, and whatever names and messages a file may hold."""

from __future__ import annotations

from hypothesis import strategies as st

from imgtool.findings.core import SEVERITIES, Finding
from imgtool.model.report import Report
from imgtool.model.verdict import Claims, Verdict


def verdict(
    path: str,
    *findings: Finding,
    accepted: bool = True,
    not_run: tuple[str, ...] | None = None,
    policy: str = "default",
    checksums: tuple[tuple[str, str], ...] = (),
) -> Verdict:
    """A verdict; incomplete where `not_run` is given."""
    report = Report(path=path, size=4096, checksums=dict(checksums))
    return Verdict(path, accepted, not_run is not None, not_run or (), policy, Claims(), findings, report)


BACKING = Finding(
    "IMG101", "external-reference", "error", "backing file '/etc/passwd' (raw)", "backing_file_offset", 8, 8
)
SNAPSHOTS = Finding("QCW030", "qcow2-snapshots-present", "warning", "2 snapshots: 'a', 'b'", "nb_snapshots", 60, 4)
HOSTILE = Finding(
    "IMG101",
    "external-reference",
    "error",
    "backing file '\x1b[2J\u202e</failure>]]>::error::{0}[here](http://x) 100%\r\n::warning::\udcff\ufffe'",
)
MEMBER = Finding("VMD101", "x", "note", "seen in a member", "createType", 512, None, "/disk 1.vmdk → luks")

#: One of each shape: clean, warned, incomplete, rejected, rejected for what could not be seen, hostile, with members.
SAMPLES = (
    verdict("images/good.qcow2", checksums=(("sha256", "ab" * 32), ("blake2b", "cd" * 64))),
    verdict("./images/warned.qcow2", SNAPSHOTS),
    verdict("-", not_run=("QCW201", "QCW202")),
    verdict("/srv/images/bad.qcow2", BACKING, SNAPSHOTS, accepted=False),
    verdict("dir/what:a,b%\n::error::\udcff é.img", HOSTILE, accepted=False, policy="mine, yours"),
    verdict("stream.iso", accepted=False, not_run=("ISO301",), policy="strict"),
    verdict("box.ova", MEMBER, MEMBER._replace(member="disk.vmdk", offset=None), accepted=False, policy="strict"),
)

#: Inputs that could not be judged.
FAILURES = (("gone.img", "gone.img: No such file or directory"), ("a<b:\n", "a<b:\n: Permission denied, {0}"))

_texts = st.text(st.characters(codec=None), max_size=30) | st.sampled_from(
    [
        "]]>",
        "::error file=a::b",
        "%0A::x::",
        "\r\n::warning::y",
        "<a b='c'>&",
        "{0}",
        "[a](b)",
        "//x",
        "a → b",
        "\ud800",
    ]
)
_numbers = st.none() | st.integers(-1, 2**64)
_findings = st.builds(
    Finding,
    st.sampled_from(["IMG101", "QCW030", "VMD101", "ZZZ999"]),
    st.just("a-name"),
    st.sampled_from(SEVERITIES),
    _texts,
    st.none() | _texts,
    _numbers,
    _numbers,
    st.none() | _texts,
)


@st.composite
def verdicts(draw: st.DrawFn) -> Verdict:
    """Any verdict, its strings whatever may come out of a file or a command line."""
    return verdict(
        draw(_texts),
        *draw(st.lists(_findings, max_size=3)),
        accepted=draw(st.booleans()),
        not_run=draw(st.none() | st.lists(st.sampled_from(["ISO301", "ZIP201"]), max_size=2).map(tuple)),
        policy=draw(_texts),
    )
