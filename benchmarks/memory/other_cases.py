"""Placement cases cut in other ways than those of `hard_cases`, as CSV files for its `--csv`.

    python -m benchmarks.memory.other_cases FOLDER
    python -m benchmarks.memory.hard_cases --csv FOLDER/*.csv

  guillotine  straight cuts alone, some in units of 1/1024 of the capacity, where many sizes agree
  bricks      valleys of a skyline are filled with bricks of any length and height: no straight cut
              and no windmill has to explain them
  windmills   five pieces around a centre, again and again
  gaps        the first two without some of their buffers; one column of time is kept whole

Every file's lower bound is its capacity of 2^20 bytes, and a plan without a free byte exists.  The
planner was not tuned for any of them.
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

CAPACITY = 1 << 20

Piece = tuple[int, int, int, int]
"""start, end, low, high: steps, and units of the capacity."""


def guillotine(count: int, steps: int, height: int, rng: random.Random) -> list[Piece]:
    """Cuts through one of the larger pieces, along time or across it."""
    share = rng.choice((0.4, 0.5, 0.6))
    pieces: list[Piece] = [(0, steps, 0, height)]
    while len(pieces) < count:
        index = _large(pieces, 3, rng)
        start, end, low, high = pieces[index]
        if rng.random() < share and end - start > 1:
            cut = rng.randrange(start + 1, end)
            pieces[index : index + 1] = [(start, cut, low, high), (cut, end, low, high)]
        elif high - low > 1:
            cut = rng.randrange(low + 1, high)
            pieces[index : index + 1] = [(start, end, low, cut), (start, end, cut, high)]
    return pieces


def windmills(count: int, steps: int, height: int, rng: random.Random) -> list[Piece]:
    """Five pieces for one of the larger ones."""
    pieces: list[Piece] = [(0, steps, 0, height)]
    while len(pieces) < count:
        index = _large(pieces, 4, rng)
        start, end, low, high = pieces[index]
        if end - start < 3 or high - low < 3:
            continue
        left, right = sorted(rng.sample(range(start + 1, end), 2))
        under, over = sorted(rng.sample(range(low + 1, high), 2))
        arms = [(start, right, low, under), (right, end, low, over), (left, end, over, high),
                (start, left, under, high), (left, right, under, over)]  # fmt: skip
        if rng.random() < 0.5:
            arms = [(start + end - b, start + end - a, c, d) for a, b, c, d in arms]
        pieces[index : index + 1] = arms
    return pieces


def bricks(count: int, steps: int, height: int, rng: random.Random) -> list[Piece]:
    """Bricks at either end of a lowest valley, until the skyline is flat at the top."""
    sky = [0] * steps
    pieces: list[Piece] = []
    while min(sky) < height:
        low = min(sky)
        start = rng.choice([t for t in range(steps) if sky[t] == low])
        end = start + 1
        while start > 0 and sky[start - 1] == low:
            start -= 1
        while end < steps and sky[end] == low:
            end += 1
        length = max(1, min(end - start, int(rng.lognormvariate(0, 0.9) * steps**0.5 * 1.2)))
        length = end - start if end - start - length < 2 else length
        walls = [sky[t] for t in (start - 1, end) if 0 <= t < steps and sky[t] > low]
        thick = int(steps * height / count / length * rng.lognormvariate(-0.3, 0.8))
        if walls and rng.random() < 0.3:
            thick = min(walls) - low
        top = min(height, low + max(1, thick))
        top = height if height - top < max(1, height // 400) else top
        first = start if rng.random() < 0.5 else end - length
        pieces.append((first, first + length, low, top))
        sky[first : first + length] = [top] * length
    return pieces


def _large(pieces: list[Piece], among: int, rng: random.Random) -> int:
    """The largest of some pieces."""
    chosen = rng.sample(range(len(pieces)), min(among, len(pieces)))
    return max(chosen, key=lambda n: (pieces[n][1] - pieces[n][0]) * (pieces[n][3] - pieces[n][2]))


def with_gaps(pieces: list[Piece], steps: int, rng: random.Random) -> list[Piece]:
    """Some buffers less, none of those that are alive in one step."""
    column, share = rng.randrange(steps), rng.choice((0.02, 0.05, 0.1))
    return [p for p in pieces if p[0] <= column < p[1] or rng.random() > share]


def cases() -> dict[str, tuple[list[Piece], int]]:
    """The pieces of each case and the bytes of a unit."""
    found: dict[str, tuple[list[Piece], int]] = {}
    kinds = (("guillotine", guillotine, 6), ("bricks", bricks, 6), ("windmills", windmills, 3))
    for seed, (name, cut, number) in enumerate(kinds):
        for n in range(number):
            rng = random.Random(1000 * seed + n)
            unit, steps = rng.choice((64, 256, 1024)), rng.choice((60, 120, 400))
            pieces = cut(rng.randrange(150, 450), steps, CAPACITY // unit, rng)
            found[f"{name}{n}"] = pieces, unit
            if n < 2 and cut is not windmills:
                found[f"{name}{n}_gaps"] = with_gaps(pieces, steps, rng), unit
    return found


def main() -> None:
    """Write one file for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, (pieces, unit) in cases().items():
        random.Random(name).shuffle(pieces)
        with (folder / f"{name}.{CAPACITY}.csv").open("w", newline="") as file:
            rows = [(n, a, b, (d - c) * unit) for n, (a, b, c, d) in enumerate(pieces)]
            csv.writer(file).writerows([("id", "lower", "upper", "size"), *rows])


if __name__ == "__main__":
    main()
