"""Maxima of linear forms: the same ends as stacking at each value, or more, never less."""

from __future__ import annotations

import random

import pytest

from symgraph.kernel.memory import forms
from symgraph.kernel.memory.forms import stacked, value_of


def tower(rng: random.Random, count: int) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Sizes a*N + b*M + c, and what each buffer rests on."""
    sizes = [tuple(64 * rng.randrange(9) for _ in range(3)) for _ in range(count)]
    below = [tuple(sorted(rng.sample(range(n), min(n, rng.randrange(3))))) for n in range(count)]
    return sizes, below


def true_ends(sizes, below, sample):
    ends: list[int] = []
    for size, under in zip(sizes, below, strict=True):
        start = max((ends[k] for k in under), default=0)
        ends.append(start + sum(a * b for a, b in zip(size, sample, strict=True)))
    return ends


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("most", [2, 1000])
def test_offsets_hold_for_every_value(seed: int, most: int, monkeypatch) -> None:
    monkeypatch.setattr(forms, "MOST_FORMS", most)
    rng = random.Random(seed)
    sizes, below = tower(rng, 25)
    tops = range(25)
    offsets, total = stacked(
        sizes, range(25), below, tops, (True, True, True), [(1, 1, 1), (1, 32, 7)]
    )
    for sample in ((1, 0, 0), (1, 1, 17), (1, 33, 2), (1, 1000, 1)):
        exact = true_ends(sizes, below, sample)
        ends = [
            value_of(o, sample) + sum(a * b for a, b in zip(s, sample, strict=True))
            for o, s in zip(offsets, sizes, strict=True)
        ]
        for j, under in enumerate(below):
            assert all(value_of(offsets[j], sample) >= ends[k] for k in under)
        assert value_of(total, sample) >= max(ends)
        if most == 1000:
            assert ends == exact and value_of(total, sample) == max(exact)
    assert len(total) <= most


def test_a_quantity_of_unknown_sign_is_not_compared() -> None:
    sizes = [(0, 1), (0, 2)]
    _, total = stacked(sizes, (0, 1), ((), ()), (0, 1), (True, False), [(1, 5)])
    assert sorted(total) == [(0, 1), (0, 2)]
    _, total = stacked(sizes, (0, 1), ((), ()), (0, 1), (True, True), [(1, 5)])
    assert total == [(0, 2)]


def test_nothing_to_stack() -> None:
    assert stacked([], (), (), (), (True,), [(1,)]) == ([], [])
