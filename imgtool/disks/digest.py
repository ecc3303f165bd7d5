"""Digests of what a guest sees: equal for the same disk in any format, any wrapper, sparse or not.

The block digest is a tree hash, so that a hole costs next to nothing and threads share the work. Its definition
(imgtool block digest, version 1), with H = SHA-256 and || joining bytes:

- The disk is cut into blocks of 65,536 bytes; the last one is filled up with zeros.
- A leaf is H(0x00 || block). A node is H(0x01 || digests of up to 256 children, in order).
- The leaves are grouped by 256 into nodes, those by 256 again, until one is left; a single leaf is its own root.
- The digest is H(0x02 || size of the disk in bytes, 8 bytes big-endian || root); the root of no blocks is 32 zeros.

A run of zeros is a subtree that depends only on its height, so it is made once a height.
"""

from __future__ import annotations

from collections.abc import Iterable

from imgtool.disks.stream import Run, over_pieces
from imgtool.ingest.digests import algorithm
from imgtool.ingest.pump import Progress, digest_source
from imgtool.sources.disk import Disk

BLOCK = 65_536
FANOUT = 256

#: What the block digest is called beside the algorithms of `imgtool.ingest.digests`.
BLOCKS = "blocks"


def content_digests(disk: Disk, names: Iterable[str], progress: Progress | None = None) -> dict[str, str]:
    """Hex digests of the guest's bytes, by name: `blocks` (the tree hash) or any plain algorithm.

    Raises UsageError for an unknown name, and what reading the disk raises.
    """
    wanted = [name if name == BLOCKS else algorithm(name) for name in names]
    plain = [name for name in wanted if name != BLOCKS]
    sums = digest_source(disk, plain, progress) if plain else {}
    if BLOCKS in wanted:
        sums[BLOCKS] = block_digest(disk, None if plain else progress)
    return {name: sums[name] for name in wanted}


def block_digest(disk: Disk, progress: Progress | None = None) -> str:
    """The block digest of a disk, in hex. Holes and zeros are not read."""
    return content_tree(disk, progress).digest(disk.size).hex()


def content_tree(disk: Disk, progress: Progress | None = None, threads: int | None = None) -> BlockTree:
    """The tree over a disk: `digest(size)` of it is the block digest, also of a size that zeros fill up."""
    tree = BlockTree()
    for run, made in over_pieces(disk, lambda run, data: leaves(data), threads=threads):
        tree.take(run, made)
        if progress is not None:
            progress(run.length)
    return tree


def leaves(data: bytes) -> list[bytes]:
    """The leaves of a piece that begins at a multiple of `BLOCK`; the last one is filled up."""
    view = memoryview(data)
    return [_leaf(view[start : start + BLOCK]) for start in range(0, len(view), BLOCK)]


def _leaf(block: memoryview) -> bytes:
    from hashlib import sha256

    hashed = sha256(b"\0")
    hashed.update(block)
    if len(block) < BLOCK:
        hashed.update(bytes(BLOCK - len(block)))
    return hashed.digest()


def _sha256(data: bytes) -> bytes:
    from hashlib import sha256

    return sha256(data).digest()


def _node(children: list[bytes]) -> bytes:
    return _sha256(b"\1" + b"".join(children))


class BlockTree:
    """The tree as it grows from the left: at each height the children that wait for their node."""

    def __init__(self) -> None:
        self._waiting: list[list[bytes]] = [[]]
        self._zero = [_leaf(memoryview(b""))]
        self._blocks = 0

    def take(self, run: Run, made: list[bytes] | None) -> None:
        """Append the leaves of a run, which begins at a multiple of `BLOCK`; None where it is all zeros."""
        if made is None:
            self._fill(-(-run.length // BLOCK))
        else:
            self._blocks += len(made)
            for leaf in made:
                self._add(0, leaf)

    def digest(self, size: int) -> bytes:
        """The digest of the disk of `size` bytes: what is not appended yet are zeros."""
        self._fill(-(-size // BLOCK) - self._blocks)
        return _sha256(b"\2" + size.to_bytes(8, "big") + self._root())

    def _add(self, height: int, digest: bytes) -> None:
        """Append a complete subtree of `height`."""
        row = self._row(height)
        row.append(digest)
        if len(row) == FANOUT:
            node = _node(row)
            row.clear()
            self._add(height + 1, node)

    def _fill(self, blocks: int) -> None:
        """Append `blocks` blocks of zeros: the largest subtrees that fit, one after the other."""
        self._blocks += blocks
        while blocks > 0:
            height, span = 0, 1
            while blocks >= span * FANOUT and not self._row(height):
                height, span = height + 1, span * FANOUT
            room = FANOUT - len(self._row(height))
            for _ in range(min(room, blocks // span)):
                self._add(height, self._zero_of(height))
                blocks -= span

    def _root(self) -> bytes:
        """The root over everything appended."""
        digest: bytes | None = None
        for row in self._waiting:
            children = row if digest is None else [*row, digest]
            if not children:
                continue
            alone = len(children) == 1 and self._nothing_above(row)
            digest = children[0] if alone else _node(children)
        return digest if digest is not None else bytes(32)

    def _nothing_above(self, row: list[bytes]) -> bool:
        after = next(index for index, other in enumerate(self._waiting) if other is row) + 1
        return not any(self._waiting[after:])

    def _row(self, height: int) -> list[bytes]:
        while len(self._waiting) <= height:
            self._waiting.append([])
        return self._waiting[height]

    def _zero_of(self, height: int) -> bytes:
        while len(self._zero) <= height:
            self._zero.append(_node([self._zero[-1]] * FANOUT))
        return self._zero[height]
