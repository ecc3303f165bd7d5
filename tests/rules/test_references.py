"""References in every disguise, in every place that a format has for one: named, and called unsafe where they are."""

from __future__ import annotations

import io

import pytest

import imgtool
from imgtool.inspection.checks.references import reference_fault
from imgtool.model.values import Reference
from tests.kit import no_bug
from tests.policy.kit import errors
from tests.rules.disguises import LINES, NAMES, PLACES, PLAIN, ova_href

#: Every place with every disguise that it can hold: what stands between quotes on a line ends with either.
DISGUISED = [(place, name) for place in PLACES for name in NAMES if place not in LINES or not set(name) & set('\n"')]


def rejected(data: bytes) -> imgtool.Verdict:
    """The verdict of `default` on an image that refers to something: rejected, and told so."""
    told = imgtool.validate(io.BytesIO(data))
    no_bug(told.report)
    assert not told.accepted
    assert "IMG101" in errors(told) or "VMD101" in errors(told), told.findings
    return told


@pytest.mark.parametrize(("place", "name"), DISGUISED)
def test_a_disguise_is_seen(place: str, name: str) -> None:
    """Rejected with IMG101 and IMG102 wherever it stands; the report has the name as it is in the file."""
    told = rejected(PLACES[place](name.encode()))
    assert {"IMG102", "VMD102"} & set(errors(told)), told.findings
    assert name.strip() in {reference.value.strip() for reference in told.report.references}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_name_is_a_reference(place: str, name: str) -> None:
    """Rejected with IMG101; there is no more to say of it."""
    told = rejected(PLACES[place](name.encode()))
    assert "IMG102" not in errors(told), told.findings


@pytest.mark.parametrize("place", [place for place in PLACES if place.startswith("q")])
@pytest.mark.parametrize("name", ["/etc/passwd\0.qcow2", "disk\0/etc/passwd", "../x\0", "\0/etc/passwd"])
def test_what_a_nul_hides(place: str, name: str) -> None:
    """A NUL is a fault by itself; what a C program reads up to it is judged, too."""
    told = rejected(PLACES[place](name.encode()))
    assert "IMG102" in errors(told), told.findings


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("/etc/passwd\0.img", ("control characters", "an absolute path")),
        ("C:\\x", ("a backslash", "a drive")),
        ("\\\\server\\x", ("a path of the network", "a backslash")),
        ("..\\x", ("a backslash", "leaves its folder by `..`")),
        ("json:{}", ("a protocol (json:)",)),
        ("a\u202eb", ("characters that are not seen",)),
        ("nul.txt", ("a device of Windows",)),
    ],
)
def test_every_reason_is_told(value: str, words: tuple[str, ...]) -> None:
    """All that is wrong with a name, not the first of it."""
    told = reference_fault(Reference("backing", value))
    assert told is not None
    assert all(word in told for word in words)


@pytest.mark.parametrize("name", [name for name in (*NAMES, *PLAIN) if min(name) >= " "])
def test_names_in_an_ovf(name: str) -> None:
    """An OVF names members of its package only: anything that leads out of it is an error."""
    told = imgtool.validate(io.BytesIO(ova_href(name.encode())))
    no_bug(told.report)
    assert not told.accepted
    assert {"OVA101", "OVF101", "IMG101"} & set(errors(told)), told.findings
