"""The deep check of a docker archive: every digest, every layer unpacked in one pass, the names in its tar.

A layer that is packed is decoded once: its bytes go to the digest of its diff_id and to the walk over its tar.
Nothing is kept of them. What is not packed is digested with the blobs, and of its tar only headers are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from imgtool.codecs.decode import decode
from imgtool.codecs.feed import CodecError
from imgtool.containers.docker.claims import parse_digest
from imgtool.containers.docker.facts import DockerFacts, StoredLayer
from imgtool.containers.integrity import IntegrityFacts, computed, judged
from imgtool.containers.tar.archive import Walk
from imgtool.ingest import digests
from imgtool.limits import Limits
from imgtool.model.values import Problem
from imgtool.sources.base import RangeError, Source
from imgtool.sources.forward import ForwardSource
from imgtool.sources.memory import Window
from imgtool.structs.view import View

if TYPE_CHECKING:
    from hashlib import _Hash


class LayerOutcome(NamedTuple):
    """What came of a layer: `size` bytes came out, with these digests (algorithm, hex) where it was packed.

    `unsafe`: names of its tar that are absolute or leave the folder. `fault`: why it could not be read whole.
    """

    layer: StoredLayer
    size: int
    digests: tuple[tuple[str, str], ...] = ()
    unsafe: tuple[str, ...] = ()
    fault: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerIntegrity(IntegrityFacts):
    """Facts of the digests and layers of a docker archive."""

    layers: tuple[LayerOutcome, ...] = ()


class _Budget:
    """What all layers of one archive may come to: bytes that come out, headers that are read."""

    def __init__(self, limits: Limits) -> None:
        self.output = limits.docker_unpacked
        self.entries = limits.docker_entries

    def limits(self, limits: Limits) -> Limits:
        """Limits for the next layer."""
        return limits._replace(
            wrapper_output=min(self.output, limits.wrapper_output),
            wrapper_ratio=limits.docker_ratio,
            tar_headers=self.entries,
            tar_extended_total=limits.docker_entry_headers,
            records=0,
            problems=1,
        )


def walk(source: Source, facts: DockerFacts, limits: Limits) -> DockerIntegrity:
    """Compute every digest, unpack every layer. Reads the file once, and packed layers once more."""
    found, problems = computed(source, facts)
    budget = _Budget(limits)
    layers = tuple(_looked_into(source, layer, limits, budget) for layer in facts.stored if layer.method)
    told = judged(facts, found, problems)
    totals = told.totals._replace(
        corruptions=told.totals.corruptions + sum(_differs(outcome) for outcome in layers),
        check_errors=told.totals.check_errors + sum(outcome.fault is not None for outcome in layers),
    )
    return DockerIntegrity(facts=facts, totals=totals, problems=problems, outcomes=told.outcomes, layers=layers)


def differing(outcome: LayerOutcome) -> Iterator[tuple[str, str, str]]:
    """Algorithm, computed and stated hex of each diff_id that the unpacked layer has not."""
    actual = dict(outcome.digests)
    for diff_id in outcome.layer.diff_ids:
        digest = parse_digest(diff_id)
        if digest and digest[0] in actual and actual[digest[0]] != digest[1]:
            yield digest[0], actual[digest[0]], digest[1]


def _differs(outcome: LayerOutcome) -> bool:
    return next(differing(outcome), None) is not None


def _looked_into(source: Source, layer: StoredLayer, limits: Limits, budget: _Budget) -> LayerOutcome:
    limits = budget.limits(limits)
    if layer.method == "stored":
        outcome, entries = _plain(Window(source, layer.offset, layer.length, layer.name), layer, limits)
    else:
        outcome, entries = _packed(source, layer, limits)
        budget.output = max(0, budget.output - outcome.size)
    budget.entries = max(0, budget.entries - entries)
    return outcome


def _plain(source: Source, layer: StoredLayer, limits: Limits) -> tuple[LayerOutcome, int]:
    if not layer.tar:
        return LayerOutcome(layer, source.size), 0
    names = _Names(source, limits)
    try:
        names.read()
    except RangeError as error:
        names.fault = Problem(error.problem, layer.name, str(error), layer.offset)
    return LayerOutcome(layer, source.size, (), tuple(names.unsafe), names.fault), names.count


def _packed(source: Source, layer: StoredLayer, limits: Limits) -> tuple[LayerOutcome, int]:
    algorithms = dict.fromkeys(digest[0] for digest in map(parse_digest, layer.diff_ids) if digest)
    hashes = {name: digests.new(name) for name in algorithms}
    decoding = decode(layer.method or "stored", source, limits, start=layer.offset, length=layer.length)
    forward = ForwardSource(_digested(decoding, list(hashes.values())), layer.name)
    names = _Names(forward, limits)
    fault = None
    try:
        if layer.tar:
            names.read()
        forward.drain()
        told = tuple((name, one.hexdigest()) for name, one in hashes.items())
    except CodecError as error:
        fault, told = Problem(error.reason, layer.name, error.message, error.offset), ()
    except RangeError as error:
        fault, told = Problem(error.problem, layer.name, str(error), layer.offset), ()
    if fault is None and not (forward.ended and names.end <= forward.position <= names.position):
        fault = names.fault  # else it just ends without an end mark, and perhaps without padding, as some tools do
        if fault is not None and fault.kind == "truncated":
            fault = fault._replace(message=f"{fault.what}: its tar is cut, it ends at {forward.position}")
    return LayerOutcome(layer, decoding.produced, told, tuple(names.unsafe), fault), names.count


def _digested(chunks: Iterable[bytes], hashes: list[_Hash]) -> Iterator[bytes]:
    for chunk in chunks:
        for one in hashes:
            one.update(chunk)
        yield chunk


class _Names:
    """The names in a layer's tar: links, devices, FIFOs and whiteouts are ordinary there.

    `end`: where the bytes of the last member end, `position` where the next header would lie.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        self.unsafe: list[str] = []
        self.fault: Problem | None = None
        self.count = 0
        self.end = 0
        self.position = 0
        self._view = View(source, limits)
        self._most = limits.docker_names

    def read(self) -> None:
        """Walk over all members."""
        walk = Walk(self._view, self._view.limits)
        for member in walk:
            self.count += 1
            name = member.name
            leaves = (name.startswith("/") and name.strip("/")) or ".." in name.split("/")
            if leaves and len(self.unsafe) < self._most:
                self.unsafe.append(name)
            self.end = member.offset + member.size
        self.position = walk.position
        if not walk.sound and self._view.problems:
            self.fault = self._view.problems[-1]
