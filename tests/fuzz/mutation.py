"""Changed fixtures: bytes patched (fields first), cut, spliced, with junk before or behind.

One function makes them from anything that chooses like `random.Random`, so hypothesis can shrink what it finds
and a long run needs a seed only.
"""

from __future__ import annotations

import functools
import json
import time
from random import Random
from typing import NamedTuple

import imgtool
from tests.fuzz.mending import mend
from tests.kit import fixture, images, no_bug, patched, patches, report_of
from tests.test_golden import stream_of

#: Seconds of processor time that one inspection may take.
SECONDS = 1.0

MOST = 4 << 20  #: bytes of the largest sample taken


class Sample(NamedTuple):
    """A changed fixture; `story` says how it came about."""

    story: str
    data: bytes


@functools.cache
def bases() -> tuple[str, ...]:
    """The fixtures that are taken: all but the largest."""
    return tuple(name for name in images() if len(fixture(name)) <= MOST)


@functools.cache
def places(name: str) -> tuple[tuple[int, int], ...]:
    """Offset and length of every annotated field of a fixture: where a change means something."""
    fields = [field for one in report_of(fixture(name), structures=True).structures for field in one.fields]
    size = len(fixture(name))
    return tuple((field.offset, field.length) for field in fields if 0 < field.length <= 64 and field.offset < size)


def number(chance: Random, length: int) -> bytes:
    """A number that readers stumble over, of either byte order."""
    top = (1 << 8 * length) - 1
    value = chance.choice(
        (
            0,
            1,
            top,
            top >> 1,
            (top >> 1) + 1,
            (top - 511) & top,
            chance.randrange(256) & top,
            1 << chance.randrange(8 * length),
            ((1 << chance.randrange(8 * length)) - 1) & top,
            chance.randrange(top + 1),
        )
    )
    return value.to_bytes(length, "big" if chance.random() < 0.5 else "little")


def edit(chance: Random, name: str, data: bytearray) -> str:
    """Patch one place of `data`, a field of fixture `name` more often than not."""
    fields = places(name)
    if fields and chance.random() < 0.7:
        at, length = fields[chance.randrange(len(fields))]
        length = min(length, 8)
    else:
        near = chance.choice((512, 4096, len(data), len(data)))
        at = chance.randrange(max(1, min(near, len(data))))
        at = len(data) - 1 - at if chance.random() < 0.2 else at
        length = chance.choice((1, 2, 4, 8))
    raw = number(chance, length) if chance.random() < 0.8 else bytes(chance.randrange(256) for _ in range(length))
    data[at : at + length] = raw
    return f"{raw.hex()} at {at}"


def mutate(chance: Random) -> Sample:
    """One changed fixture, in half of all cases with its checksums made right again."""
    sample = changed(chance)
    if chance.random() < 0.5:
        return sample
    data = bytearray(sample.data)
    mend(data)
    return Sample(f"{sample.story}; mended", bytes(data))


def changed(chance: Random) -> Sample:
    """One changed fixture."""
    kind = chance.choice(("patch", "patch", "patch", "cut", "splice", "junk", "prefix", "sample", "graft"))
    if kind == "sample" and (given := patches()):
        sample = given[chance.randrange(len(given))]
        data = bytearray(patched(sample))
        story = [sample.name, *(edit(chance, sample.base, data) for _ in range(chance.randrange(1, 3)) if data)]
        return Sample("; ".join(story), bytes(data[:MOST]))
    name = bases()[chance.randrange(len(bases()))]
    data, story = bytearray(fixture(name)), [name]
    if data and kind != "cut":
        story += [edit(chance, name, data) for _ in range(chance.randrange(kind == "patch", 6))]
    if kind == "cut":
        at = boundary(chance, name)
        del data[at:]
        story.append(f"cut at {at}")
    elif kind == "splice":
        other = bases()[chance.randrange(len(bases()))]
        at, start = boundary(chance, name), boundary(chance, other)
        data[at:] = fixture(other)[start:]
        story.append(f"to {at}, then {other} from {start}")
    elif kind == "graft":
        other = bases()[chance.randrange(len(bases()))]
        at, length = boundary(chance, name), chance.choice((512, 4096, 65536))
        data[at : at + length] = fixture(other)[:length]
        story.append(f"{length} bytes of {other} at {at}")
    elif kind == "junk":
        other = bases()[chance.randrange(len(bases()))]
        tail = chance.choice((b"\0", b"\xff", b"junk", fixture(other)[-1024:], fixture(other)))
        data += tail * chance.choice((1, 1, 2, 512)) if len(tail) < 64 else tail
        story.append(f"{len(tail)} bytes behind")
    elif kind == "prefix":
        length = chance.choice((1, 3, 63, 64, 512, 2048))
        data[:0] = bytes(chance.randrange(256) for _ in range(min(length, 8))) * (length // 8 + 1)
        story.append(f"{length} bytes before")
    return Sample("; ".join(story), bytes(data[:MOST]))


def boundary(chance: Random, name: str) -> int:
    """Where to cut a fixture: at a field, at a sector, or anywhere."""
    size, fields = len(fixture(name)), places(name)
    way = chance.randrange(3)
    if way == 0 and fields:
        return fields[chance.randrange(len(fields))][0]
    anywhere = chance.randrange(size + 1)
    return anywhere // 512 * 512 if way == 1 else anywhere


def check(sample: Sample, chance: Random) -> None:
    """Inspect it: a report, no bug caught by a guard, a JSON object, in time; at times from a pipe."""
    structures, piped = chance.random() < 0.5, chance.random() < 0.1
    before = time.thread_time()
    if piped:
        report = imgtool.inspect(stream_of(sample.data), (), structures=structures)
    else:
        report = report_of(sample.data, structures=structures)
    taken = time.thread_time() - before
    no_bug(report)
    assert report.size == len(sample.data)
    json.dumps(report.to_dict())
    assert taken < SECONDS, f"{taken:.2f} s"
