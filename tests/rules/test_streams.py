"""The same verdict from a stream as from the file, for every sample of a rule: or it says what it did not see."""

from __future__ import annotations

import io

import pytest

import imgtool
from tests.kit import Patch, patched, patches
from tests.test_golden import stream_of


def same(data: bytes) -> None:
    """Fail where a stream's verdict is another one, and says nothing of what was not seen."""
    whole = imgtool.validate(io.BytesIO(data))
    streamed = imgtool.validate(stream_of(data))
    if streamed.incomplete and not whole.incomplete:
        assert streamed.not_run
        return
    assert (streamed.accepted, streamed.findings) == (whole.accepted, whole.findings)
    assert streamed.report.format == whole.report.format


@pytest.mark.parametrize("patch", patches(), ids=lambda patch: patch.name)
def test_samples_of_rules(patch: Patch) -> None:
    """Every patched fixture of the manifest (tests/test_validate.py has the fixtures themselves)."""
    same(patched(patch))
