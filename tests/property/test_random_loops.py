"""Random loops: the interpreter, every target and the unrolled steps agree, gradients included."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.target import find_target, target_names

N, UNITS = 3, 5
TARGETS = [n for n in target_names() if find_target(n).available() is None]


def body(
    seed: int, weight: sg.Symbol, x: sg.Symbol, states: Sequence[sg.Symbol]
) -> list[sg.Symbol]:
    """Next states and one result of a random step; the same for the same seed."""
    rng = random.Random(seed)
    values = [x, *states]

    def pick() -> sg.Symbol:
        return rng.choice(values)

    for _ in range(rng.randrange(3, 9)):
        kind = rng.randrange(6)
        if kind == 0:
            values.append(sg.tanh(pick() + pick()))
        elif kind == 1:
            values.append(sg.linear(pick(), UNITS, weight, use_bias=False) * 0.3)
        elif kind == 2:
            values.append(sg.sigmoid(pick()) * pick())
        elif kind == 3:
            values.append(pick() - sg.mean(pick(), axis=1, keepdims=True))
        elif kind == 4:
            values.append(sg.reshape(sg.reshape(pick(), (UNITS, N)), (N, UNITS)) * 0.5)
        else:
            values.append(sg.where(sg.greater(pick(), 0.1), pick(), pick() * 0.5))
    return [sg.tanh(rng.choice(values)) for _ in states] + [rng.choice(values)]


@pytest.mark.parametrize("seed", range(12))
def test_loops_are_their_steps(seed: int) -> None:
    rng = random.Random(seed)
    steps, count, reverse = rng.choice((1, 2, 4)), rng.choice((1, 2)), rng.random() < 0.5
    x = sg.var("x", (steps, N, UNITS), "float64")
    weight = sg.var("w", (UNITS, UNITS), "float64")
    start = [sg.var(f"s{n}", (N, UNITS), "float64") for n in range(count)]

    def step(x: sg.Symbol, *states: sg.Symbol) -> tuple[tuple[sg.Symbol, ...], sg.Symbol]:
        *after, result = body(seed, weight, x, states)
        return tuple(after), result

    last, ys = sg.scan(step, x, tuple(start), reverse=reverse)
    states: list[sg.Symbol] = list(start)
    rows: dict[int, sg.Symbol] = {}
    for t in range(steps)[:: -1 if reverse else 1]:
        *states, rows[t] = body(seed, weight, x[t], states)
    unrolled = sg.stack([rows[t] for t in range(steps)], axis=0)
    outputs = []
    for results, finals in ((ys, last), (unrolled, states)):
        loss = sg.sum(results * results) + sum((sg.sum(sg.sin(s)) for s in finals), sg.sum(x) * 0)
        grads = sg.gradients(loss + sg.sum(weight) * 0.0, [x, weight])
        outputs.append(sg.group(results, *finals, *grads))
    random_arrays = np.random.default_rng(seed)
    shapes = {v.name: v.shape for group in outputs for v in group.variables}
    arrays = {name: random_arrays.normal(size=shape) for name, shape in sorted(shapes.items())}

    def run(network: sg.Group, **options: object) -> Sequence[np.ndarray]:
        given = {v.name: arrays[v.name] for v in network.variables}
        return sg.compile(network, **options)(**given)

    expected = run(outputs[1], target="interp", level=0)
    for target in TARGETS:
        got = run(outputs[0], target=target, verify=2)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)
