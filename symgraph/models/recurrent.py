"""Recurrent networks, unrolled over a known number of steps."""

from __future__ import annotations

from ..ir.initializer import Uniform
from ..ir.symbol import Symbol, parameter, var
from ..ops.activation import sigmoid
from ..ops.contraction import linear
from ..ops.trigonometry import tanh


def lstm(
    x: Symbol | None = None,
    *,
    length: int = 28,
    features: int = 28,
    units: int = 128,
    classes: int = 10,
    layers: int = 1,
) -> Symbol:
    """Logits from the last hidden state of layers of long short-term memory.

    One weight of each layer is shared by all steps; gates are in the order input, forget, cell,
    output.
    Shapes: x [N, length, features] (declared when not given) -> logits [N, classes].
    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
    """
    x = var("x", ("N", length, features)) if x is None else x
    steps = [x[:, step] for step in range(length)]
    for layer in range(1, layers + 1):
        steps = _layer(steps, units, features, "lstm" if layer == 1 else f"lstm{layer}")
        features = units
    return linear(steps[-1], classes, name="fc")


def _layer(steps: list[Symbol], units: int, features: int, name: str) -> list[Symbol]:
    """The hidden states after each step, from zeros."""
    limit = units**-0.5
    init = Uniform(-limit, limit)
    weights = parameter(f"{name}_input_weight", (4 * units, features), init=init)
    recurrent = parameter(f"{name}_hidden_weight", (4 * units, units), init=init)
    bias = parameter(f"{name}_bias", (4 * units,), init=init)
    states: list[Symbol] = []
    cell: Symbol | None = None
    for x in steps:
        gates = linear(x, 4 * units, weights, bias)
        if states:
            gates = gates + linear(states[-1], 4 * units, recurrent, use_bias=False)
        i, f, g, o = (gates[:, n * units : (n + 1) * units] for n in range(4))
        fresh = sigmoid(i) * tanh(g)
        cell = fresh if cell is None else sigmoid(f) * cell + fresh
        states.append(sigmoid(o) * tanh(cell))
    return states
