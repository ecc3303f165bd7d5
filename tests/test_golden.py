"""Every fixture's report is the one beside it; from a stream it is the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import IO, Any

import pytest

import imgtool
from tests.kit import FIXTURES, faults, fixture, images, manifest, no_bug, report_of


class Pipe:
    """Bytes as a stream that cannot seek and gives them in odd pieces."""

    def __init__(self, data: bytes) -> None:
        self._chunks = self._pieces(data)

    @staticmethod
    def _pieces(data: bytes) -> Iterator[bytes]:
        position, step = 0, 1
        while position < len(data):
            yield data[position : position + step]
            position, step = position + step, min(step * 7 + 3, 300_000)

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        return next(self._chunks, b"")


def stream_of(data: bytes) -> IO[bytes]:
    """`data` as a pipe."""
    return Pipe(data)  # type: ignore[return-value] # as much of IO[bytes] as a pipe has


def plain(report: imgtool.Report) -> dict[str, Any]:
    """A report without what depends on where it is stored."""
    told = dict(report.to_dict())
    return _without(told)


def _without(told: dict[str, Any]) -> dict[str, Any]:
    told = {key: value for key, value in told.items() if key not in ("allocated", "streamed")}
    told["members"] = [_without(member) for member in told["members"]]
    return told


@pytest.mark.parametrize("name", images())
def test_golden(name: str, update: bool) -> None:
    """The report equals the golden one, field by field."""
    report = report_of(fixture(name), checksums=("sha256",))
    no_bug(report)
    told = json.loads(json.dumps(plain(report)))
    told.pop("path")
    path = FIXTURES / (name.removesuffix(".gz") + ".json")
    if update:
        path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    assert told == json.loads(path.read_text())


@pytest.mark.parametrize("name", images())
def test_manifest_line(name: str) -> None:
    """The manifest's digest and codes hold."""
    entry = next(image for image in manifest()["image"] if image["file"] == name)
    data = fixture(name)
    assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    assert sorted(faults(report_of(data))) == sorted(entry.get("codes", []))


@pytest.mark.parametrize("name", images())
def test_stream_tells_the_same(name: str) -> None:
    """From a pipe the report is the file's, but for `streamed` and the name."""
    data = fixture(name)
    streamed = imgtool.inspect(stream_of(data))
    assert streamed.streamed
    first, second = plain(streamed), plain(report_of(data, checksums=("sha256",)))
    first.pop("path")
    second.pop("path")
    assert first == second
