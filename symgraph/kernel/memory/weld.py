"""Buffers that look like the pieces of one: welded into blocks, a hard problem becomes a small one.

Owns a guess that is often right where memory is full to the last byte. Where one buffer ends and
another of the same size begins, the second probably takes the first one's place, since nobody else
fits there; so do several that live equally long, if their sizes add up to the same. Such pieces
become one block, blocks are pieces again, and so on until nothing fits any more. What straight
cuts do not explain may be the arms of a windmill (`windmill`): five stacks that become one block.

Welding keeps the bytes live at each step, hence the lower bound, and any packing of the blocks is
one of the buffers. It may lose all optimal packings, so whoever uses it must also try without.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .problem import Ints, Problem
from .windmill import windmills

MOST_STACKED = 4
MOST_IN_ARM = 3
LARGE_GROUP = 9


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle of time and bytes, and where each buffer lies in it."""

    first: int
    last: int
    size: int
    members: tuple[tuple[int, int], ...]  # (buffer, offset within the block)


Stack = tuple[Block, ...]


def weld(problem: Problem) -> tuple[Block, ...]:
    """The blocks of a problem, by first section; alignments above the granule are not handled."""
    columns = (problem.first.tolist(), problem.last.tolist(), problem.sizes.tolist())
    rows = enumerate(zip(*columns, strict=True))
    blocks = {Block(first, last, size, ((n, 0),)) for n, (first, last, size) in rows}
    while True:
        match = next(_matches(blocks), None)
        mill = None if match else min(windmills(_lives(blocks)), key=_rank, default=None)
        if match is not None:
            left, right = match
            blocks -= {*left, *right}
            blocks.add(_beside(_stacked(left), _stacked(right)))
        elif mill is not None:
            blocks -= {block for arm in mill for block in arm}
            blocks.add(_turned(mill))
        else:
            return tuple(sorted(blocks, key=lambda b: (b.first, b.last, b.members)))


def welded(problem: Problem, blocks: Sequence[Block]) -> Problem:
    """The problem of placing the blocks; its identities are their numbers."""
    first, last, sizes = (
        np.array([getattr(b, name) for b in blocks], np.int64) for name in ("first", "last", "size")
    )
    return Problem.of(tuple(range(len(blocks))), first, last, sizes, np.ones_like(sizes))


def unwelded(problem: Problem, blocks: Sequence[Block], offsets: Ints) -> Ints:
    """The offsets of the buffers from those of the blocks; fillers are left out."""
    count = 1 + max(buffer for block in blocks for buffer, _ in block.members)
    found = np.zeros(count, np.int64)
    for block, offset in zip(blocks, offsets.tolist(), strict=True):
        for buffer, shift in block.members:
            found[buffer] = offset + shift
    return found[: problem.count]


def _matches(blocks: set[Block]) -> Iterator[tuple[Stack, Stack]]:
    """Stacks that end where stacks of the same size begin, if each is the only one: single blocks
    first, then few."""
    ends: dict[int, list[Block]] = defaultdict(list)
    starts: dict[int, list[Block]] = defaultdict(list)
    for block in sorted(blocks, key=lambda b: (b.first, b.last, b.size, b.members)):
        ends[block.last].append(block)
        starts[block.first].append(block)
    meeting = sorted(ends.keys() & starts.keys())
    for most in range(1, MOST_STACKED + 1):
        for section in meeting:
            left = _stacks(ends[section], most)
            right = _stacks(starts[section], most)
            for size in sorted(left.keys() & right.keys()):
                if len(left[size]) == len(right[size]) == 1:
                    yield left[size][0], right[size][0]


def _stacks(blocks: Sequence[Block], most: int) -> dict[int, list[Stack]]:
    """Stacks of up to `most` blocks that live equally long, by their total size."""
    found: dict[int, list[Stack]] = defaultdict(list)
    for stacks in _lives(blocks, most).values():
        for size, same in stacks.items():
            found[size] += same
    return found


def _lives(
    blocks: Iterable[Block], most: int = MOST_IN_ARM
) -> dict[tuple[int, int], dict[int, list[Stack]]]:
    """The stacks of blocks that live equally long, by lifetime and total size."""
    alike: dict[tuple[int, int], list[Block]] = defaultdict(list)
    for block in sorted(blocks, key=lambda b: (b.first, b.last, b.size, b.members)):
        alike[block.first, block.last].append(block)
    found: dict[tuple[int, int], dict[int, list[Stack]]] = {}
    for life, group in alike.items():
        sums: dict[int, list[Stack]] = defaultdict(list)
        for count in range(1, 1 + (most if len(group) < LARGE_GROUP else min(most, 2))):
            for stack in combinations(group, count):
                sums[sum(b.size for b in stack)].append(stack)
        found[life] = sums
    return found


def _rank(mill: tuple[Stack, ...]) -> tuple[int, list[tuple[tuple[int, int], ...]]]:
    """Windmills of few blocks are the least likely to be accidents."""
    return sum(map(len, mill)), [block.members for arm in mill for block in arm]


def _turned(mill: tuple[Stack, ...]) -> Block:
    """The block of a windmill, in the order of `windmills`."""
    a, b, c, d, e = (_stacked(arm) for arm in mill)
    members = a.members + b.members + _raised(c, a.size + e.size)
    members += _raised(d, a.size) + _raised(e, a.size)
    return Block(a.first, b.last, a.size + d.size, members)


def _raised(block: Block, height: int) -> tuple[tuple[int, int], ...]:
    return tuple((buffer, shift + height) for buffer, shift in block.members)


def _stacked(blocks: Sequence[Block]) -> Block:
    members: list[tuple[int, int]] = []
    size = 0
    for block in blocks:
        members += [(buffer, shift + size) for buffer, shift in block.members]
        size += block.size
    return Block(blocks[0].first, blocks[0].last, size, tuple(members))


def _beside(left: Block, right: Block) -> Block:
    return Block(left.first, right.last, left.size, left.members + right.members)
