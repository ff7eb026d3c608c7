"""Holes guessed: rectangles that fill what a problem leaves free below its lower bound.

Owns a guess for problems that are nearly full. Where the free bytes of a step grow by some amount
and later shrink by the same, one rectangle of that size may lie free in between; as a buffer of
its own it lets the pieces around it be recognised (`weld`). A rise that equals the sum of two
falls, or the reverse, is taken for two. Filling loses packings that leave other holes, so whoever
uses it must also try without.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .problem import Problem


def filled(problem: Problem) -> Problem:
    """The problem with fillers behind its own buffers; alignments are those of granules."""
    free = (problem.bound - problem.load).tolist()
    fillers: list[tuple[int, int, int]] = []
    while True:
        found = min(_guesses(free), default=None)
        if found is None:
            break
        for first, last, size in found[2]:
            fillers.append((first, last, size))
            for t in range(first, last):
                free[t] -= size
    added = np.array(fillers, np.int64).reshape(-1, 3)
    count = problem.count + len(fillers)
    return Problem.of(
        tuple(range(count)),
        np.concatenate([problem.first, added[:, 0]]),
        np.concatenate([problem.last, added[:, 1]]),
        np.concatenate([problem.sizes, added[:, 2]]),
        np.ones(count, np.int64),
    )


_Guess = tuple[int, int, tuple[tuple[int, int, int], ...]]


def _guesses(free: list[int]) -> Iterator[_Guess]:
    """(how many rectangles, how long, the rectangles)."""
    change = [b - a for a, b in zip([0, *free], [*free, 0], strict=True)]
    backwards = free[::-1]
    for at, size in enumerate(change):
        if size > 0:
            yield from _from(free, change, at)
        elif size < 0:
            for count, length, holes in _from(backwards, [-c for c in change[::-1]],
                                              len(free) - at):  # fmt: skip
                yield count, length, tuple((len(free) - b, len(free) - a, s) for a, b, s in holes)


def _from(free: list[int], change: list[int], first: int) -> Iterator[_Guess]:
    """Rectangles that begin at a rise and end at a fall as large, or at two that are together."""
    size, room, falls = change[first], free[first], dict[int, int]()
    for last in range(first + 1, len(change)):
        room = min(room, free[last - 1])
        fall = -change[last]
        if fall == size and room >= size:
            yield 1, last - first, ((first, last, size),)
        elif 0 < fall < size and room >= fall:
            if size - fall in falls:
                early = (first, falls[size - fall], size - fall)
                yield 2, last - first, (early, (first, last, fall))
            falls.setdefault(fall, last)
