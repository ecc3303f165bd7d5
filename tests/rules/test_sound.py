"""No false alarms: what real tools make is accepted by `default`, tables included; what is not sound is rejected for
the one reason that it has, and for what comes with that."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import imgtool
from tests.kit import no_bug
from tests.policy.kit import errors
from tests.rules.sound import FAMILIES, Made

pytestmark = pytest.mark.oracle

#: Images of each family in the default run.
SHARE = {"luks": 1, "qcow2": 12, "vmdk": 10, "qcow2_filled": 8, "filesystems": 10, "tables": 10, "iso": 8}

#: What an empty disk above 1 TiB is warned of.
EMPTY = "IMG206"

#: What may come with a code: names in references are absolute paths here, a format may not be served either.
WITH = {
    "IMG101": {"IMG102", "VMD101", "VMD102", "VMD502", "QCW401", "IMG401"},
    "VMD009": {"VMD502"},
    "IMG401": {"IMG013"},
}


def cases() -> list[object]:
    """All images of all families; a seeded sample of each runs by default."""
    found: list[object] = []
    for family, make in FAMILIES.items():
        every = list(make())
        chosen = random.Random(family).sample(range(len(every)), min(SHARE.get(family, 5), len(every)))
        for index, made in enumerate(every):
            marks = [] if index in chosen else [pytest.mark.full]
            found.append(pytest.param(made, id=f"{family}-{index}-{made.name}", marks=marks))
    return found


@pytest.mark.parametrize("made", cases())
def test_what_tools_make(made: Made, tmp_path: Path) -> None:
    """Accepted without an error, with the warnings that its page tells of at most; or rejected for its reason."""
    told = imgtool.validate(made.make(tmp_path), deep=True)
    no_bug(told.report)
    found = errors(told)
    if made.raises:
        assert not told.accepted
        assert made.raises in found
        assert set(found) - {made.raises} <= WITH.get(made.raises, set())
    else:
        assert found == []
        assert told.accepted
    warned = {finding.code for finding in told.findings if finding.severity == "warning"}
    assert warned - {EMPTY} <= made.warns
