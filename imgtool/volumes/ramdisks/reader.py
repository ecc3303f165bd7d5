"""Initial ramdisks: chains of cpio archives, plain or compressed, and uImages of type ramdisk.

Reference: Linux Documentation/driver-api/early-userspace/buffer-format.
"""

from __future__ import annotations

from imgtool.codecs.decode import Method, decode
from imgtool.codecs.feed import CodecError
from imgtool.limits import Limits
from imgtool.model.values import Problem
from imgtool.structs.view import Unreadable, View
from imgtool.volumes.ramdisks import layout as lay
from imgtool.volumes.ramdisks.cpio import kind_at, walk
from imgtool.volumes.ramdisks.facts import RamdiskFacts, Segment
from imgtool.volumes.uimage import layout as ulay
from imgtool.volumes.uimage.reader import uimage

_PADDING = 1024 * 1024  #: zeros between two parts of a chain that are passed over
_STEP = 64 * 1024

_PACKED: tuple[tuple[bytes, Method], ...] = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"BZh", "bzip2"),
    (b"\x5d\0\0", "lzma"),
)
_MICROCODE = "kernel/x86/microcode/"


def read(view: View, limits: Limits) -> RamdiskFacts | None:
    """The facts of a ramdisk; None for a uImage of another type. Raises Unreadable for a first header cut short."""
    if view.peek(0, 4) == ulay.MAGIC:
        return _uimage(view)
    if kind_at(view, 0) is None:
        return None
    chain = _Chain(view, limits)
    chain.run()
    vendors = (name.removeprefix(_MICROCODE) for name in chain.names if name.startswith(_MICROCODE))
    return RamdiskFacts(
        format="ari",
        file_size=view.size,
        partial=bool(view.problems),
        kind="cpio",
        compression=next((part.kind for part in chain.segments if part.entries is None), "none"),
        entries=len(chain.names),
        complete=chain.complete,
        microcode=tuple(dict.fromkeys(name.removesuffix(".bin") for name in vendors if name)),
        names=tuple(chain.names[: limits.ramdisk_names]),
        segments=tuple(chain.segments),
        rest=chain.rest,
        unsafe=tuple(name for name in chain.names if ".." in name.split("/"))[: limits.ramdisk_names],
        problems=view.problems,
    )


class _Chain:
    """The parts of a ramdisk, one after the other, as Linux takes them."""

    def __init__(self, view: View, limits: Limits) -> None:
        self.segments: list[Segment] = []
        self.names: list[str] = []
        self.complete = True
        self.rest: int | None = None
        self._view = view
        self._limits = limits

    def run(self) -> None:
        """Walk until the end, a compressed part, something unknown, or a cap."""
        at: int | None = 0
        while at is not None and len(self.segments) < self._limits.ramdisk_segments:
            try:
                at = self._next(at)
            except Unreadable as error:
                if not self.segments:
                    raise
                self._stopped(error.problem)
                return

    def _stopped(self, problem: Problem) -> None:
        """The walk ends early. What a stream has not kept is no problem: the first entries tell what it is."""
        self.complete = False
        if problem.kind != "not-read":
            self._view.note(problem)

    def _next(self, at: int) -> int | None:
        """Take the part at `at`; where the next one begins, None where no more can be told."""
        at = _after_zeros(self._view, at)
        if at >= self._view.size:
            return None
        if kind_at(self._view, at) is None:
            self._other(at)
            return None
        archive = walk(self._view, at, self._limits.ramdisk_entries - len(self.names), self._limits)
        if archive.problem is not None:
            if not self.names and not archive.names:
                raise Unreadable(archive.problem)
            self._stopped(archive.problem)
        self.names += archive.names
        length = archive.end - at if archive.whole else None
        self.segments.append(Segment(archive.kind, at, length, len(archive.names)))
        self.complete = self.complete and archive.whole
        return archive.end if archive.whole else None

    def _other(self, at: int) -> None:
        """What is no cpio: the compressed main part, or bytes that nobody knows."""
        method = _packed(self._view.peek(at, 6))
        if method is None:
            self.rest = at
            return
        self.segments.append(Segment(method, at, None, None, self._begins(method, at)))

    def _begins(self, method: Method, at: int) -> str:
        """What a compressed part holds: its first chunk is decoded."""
        try:
            first = next(decode(method, self._view.source, self._limits, start=at), b"")
        except CodecError:
            return "unknown"
        return "cpio" if first[:6] in (lay.NEWC_MAGIC, lay.CRC_MAGIC, lay.ODC_MAGIC) else "unknown"


def _packed(raw: bytes) -> Method | None:
    """By which method something is compressed that begins with `raw`."""
    return next((name for magic, name in _PACKED if raw.startswith(magic)), None)


def _after_zeros(view: View, at: int) -> int:
    """The first byte from `at` on that is not padding."""
    end = min(view.size, at + _PADDING)
    while at < end:
        piece = view.peek(at, min(_STEP, end - at))
        kept = piece.lstrip(b"\0")
        at += len(piece) - len(kept)
        if kept:
            break
    return at


def _uimage(view: View) -> RamdiskFacts | None:
    head, facts = uimage(view)
    if head.type != ulay.RAMDISK:
        return None
    return RamdiskFacts(
        format="ari",
        file_size=view.size,
        kind="uImage",
        compression=_packed(view.peek(ulay.UIMAGE.size, 6)) or facts.compression,
        uimage=facts,
    )
