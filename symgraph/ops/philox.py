"""Philox4x32-10: random bits as a function of a key and a counter.

Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".  Integer arithmetic
alone, so every target gives the same bits, in any order, on any number of threads.

The state of a random operator is uint32[4]: the key (low, high) and the counter (low, high).
Block b of four words is Philox(key, counter + b); word w of the stream is word w%4 of block w//4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernel import dims
from ..kernel.compute import Compute, Tensor, cast, compute, where
from ..kernel.dims import Dim
from ..kernel.dtypes import uint32, uint64
from ..kernel.ir import Expr, IndexValue, as_expr, const
from .base import Array

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10


def _multiply(factor: int, value: Expr) -> tuple[Expr, Expr]:
    """(high, low) words of a product."""
    product = cast(value, uint64) * const(factor, uint64)
    return cast(product >> const(32, uint64), uint32), cast(product, uint32)


def block(state: Tensor, number: Any) -> tuple[Expr, ...]:
    """The four words of block `number` after the state's counter."""
    counter = (cast(state[3], uint64) << const(32, uint64)) | cast(state[2], uint64)
    counter = counter + cast(as_expr(number), uint64)
    zero = const(0, uint32)
    words: tuple[Expr, ...] = (
        cast(counter, uint32), cast(counter >> const(32, uint64), uint32), zero, zero,
    )  # fmt: skip
    keys = (state[0], state[1])
    for _ in range(ROUNDS):
        high0, low0 = _multiply(MULTIPLIERS[0], words[0])
        high1, low1 = _multiply(MULTIPLIERS[1], words[2])
        words = (high1 ^ words[1] ^ keys[0], low1, high0 ^ words[3] ^ keys[1], low0)
        keys = (keys[0] + const(WEYL[0], uint32), keys[1] + const(WEYL[1], uint32))
    return words


def word(state: Tensor, position: Any) -> Expr:
    """Word `position` of the stream."""
    a, b, c, d = block(state, position // 4)
    lane = as_expr(position % 4)
    return where(lane < 2, where(lane < 1, a, b), where(lane < 3, c, d))


def pair(state: Tensor, number: Any) -> tuple[Expr, Expr]:
    """Words 2*number and 2*number + 1 of the stream."""
    a, b, c, d = block(state, number // 2)
    first = as_expr(number % 2) < 1
    return where(first, a, c), where(first, b, d)


def flat_index(shape: Sequence[Dim], index: Sequence[Any]) -> Any:
    """The row-major number of an element."""
    total: Any = IndexValue(0)
    for extent, i in zip(shape, index, strict=True):
        total = total * extent + i
    return total


def advanced(state: Tensor, words: Dim) -> Compute:
    """The state behind `words` words, rounded up to whole blocks."""
    blocks = cast(IndexValue(dims.ceildiv(words, 4)), uint64)

    def element(i: Any) -> Expr:
        counter = (cast(state[3], uint64) << const(32, uint64)) | cast(state[2], uint64)
        counter = counter + blocks
        low, high = cast(counter, uint32), cast(counter >> const(32, uint64), uint32)
        at = as_expr(i)
        return where(at < 2, state[i], where(at < 3, low, high))

    return compute((4,), element)


def philox(key: Array, counter: Array) -> Array:
    """numpy: the words [4, n] for counters [4, n] under one key [2]."""
    mask = np.uint64(0xFFFFFFFF)
    words = [np.asarray(c, np.uint64) for c in counter]
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(ROUNDS):
        p0, p1 = words[0] * np.uint64(MULTIPLIERS[0]), words[2] * np.uint64(MULTIPLIERS[1])
        words = [
            (p1 >> np.uint64(32)) ^ words[1] ^ np.uint64(k0), p1 & mask,
            (p0 >> np.uint64(32)) ^ words[3] ^ np.uint64(k1), p0 & mask,
        ]  # fmt: skip
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return np.stack(words).astype(np.uint32)


def stream(state: Array, count: int) -> Array:
    """numpy: the first `count` words of a state's stream."""
    start = int(state[2]) | int(state[3]) << 32
    blocks = -(-count // 4)
    numbers = [(start + b) % 2**64 for b in range(blocks)]
    low = np.array([n & 0xFFFFFFFF for n in numbers], np.uint64)
    high = np.array([n >> 32 for n in numbers], np.uint64)
    words = philox(state[:2], np.stack([low, high, np.zeros_like(low), np.zeros_like(low)]))
    return np.asarray(words.T.reshape(-1)[:count])


def advanced_array(state: Array, words: int) -> Array:
    """numpy: the state behind `words` words."""
    counter = ((int(state[2]) | int(state[3]) << 32) + -(-words // 4)) % 2**64
    return np.array([state[0], state[1], counter & 0xFFFFFFFF, counter >> 32], np.uint32)
