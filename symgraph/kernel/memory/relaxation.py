"""What every search needs to know of an unfinished packing: how low, and how high, it must go.

An unfinished packing is a vector of *levels*: the lowest offset each unplaced buffer can still
have, and `Tables.far` for those placed. One extra entry, always `far`, pads the tables.

`bounds` looks at one section at a time: its unplaced buffers are jobs of one machine with release
times (the levels) and processing times (the sizes); the makespan of the machine, which is known in
closed form when jobs run by release time, is a height that no completion can stay below. It
subsumes "floor plus remaining sizes", the section inference of MiniMalloc (Moffitt, ASPLOS 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .problem import Bools, Ints, Problem


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """Buffers per section, padded with the index `problem.count` to a rectangle.

    `far` is above every level of an unplaced buffer, and survives a shift by `bits`; small problems
    take half the memory traffic in 32 bits.
    """

    problem: Problem
    residents: Ints  # [section, place]
    columns: Ints  # the same transposed, contiguous: minima over it run along sections
    resident_sizes: Ints  # the same, flat, 0 for padding
    places: Ints
    rows: Ints
    bits: int
    far: int
    dtype: type[np.int32] | type[np.int64]


def tabulate(problem: Problem) -> Tables:
    """The tables of a problem."""
    width = int(problem.live.sum(axis=1).max())
    bits = width.bit_length()
    highest = 2 * int((problem.sizes + problem.alignments).sum())
    dtype = np.int32 if highest < 1 << (30 - bits) else np.int64
    far = 1 << (30 - bits if dtype is np.int32 else 62 - bits)
    return Tables(problem, *_padded(problem, problem.live, dtype), bits, far, dtype)


def _padded(
    problem: Problem, live: Bools, dtype: type[np.int32] | type[np.int64]
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Residents, their sizes, places and row starts for a table of live buffers."""
    counts = live.sum(axis=1)
    width = int(counts.max(initial=1))
    residents: Ints = np.full((problem.sections, width), problem.count, np.int64)
    sections, buffers = live.nonzero()
    starts = np.cumsum(counts) - counts
    residents[sections, np.arange(len(sections)) - starts[sections]] = buffers
    sizes: Ints = np.append(problem.sizes, 0)[residents].ravel().astype(dtype)
    rows: Ints = (np.arange(problem.sections)[:, None] * width).astype(dtype)
    columns: Ints = np.ascontiguousarray(residents.T)
    places: Ints = np.arange(width).astype(dtype)
    return residents, columns, sizes, places, rows


def entries(problem: Problem) -> int:
    """Table entries that one call of `bounds` examines per packing: the unit of work."""
    return problem.sections * int(problem.live.sum(axis=1).max(initial=1))


def start_levels(tables: Tables) -> Ints:
    """Nothing is placed: every level is the ground."""
    levels = np.zeros(tables.problem.count + 1, tables.dtype)
    levels[-1] = tables.far
    return levels


def floors(tables: Tables, levels: Ints) -> Ints:
    """The lowest level per section (last axis), `far` where nothing is left to place."""
    lowest: Ints = levels.take(tables.columns, axis=-1, mode="clip").min(axis=-2)
    return lowest


def bounds(tables: Tables, levels: Ints) -> Ints:
    """The height that no completion can stay below, per section; 0 where nothing is left."""
    keys = levels.take(tables.residents, axis=-1, mode="clip")
    keys <<= tables.bits
    keys |= tables.places
    keys.sort(axis=-1)
    released = keys >> tables.bits
    keys &= (1 << tables.bits) - 1
    keys += tables.rows
    placed = released >= tables.far
    sizes = tables.resident_sizes.take(keys, mode="clip")
    sizes[placed] = 0
    before = sizes.cumsum(axis=-1, dtype=tables.dtype)
    released -= before
    released += sizes
    released += before[..., -1:]
    released[placed] = 0
    highest: Ints = released.max(axis=-1)
    return highest
