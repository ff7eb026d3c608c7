"""Recurrent networks, one loop over the steps for each layer."""

from __future__ import annotations

from ..ir.initializer import Uniform
from ..ir.symbol import Symbol, parameter, var
from ..kernel import dims
from ..ops.base import make
from ..ops.contraction import linear
from ..ops.recurrent import lstm_cell
from ..ops.scan import scan


def lstm(
    x: Symbol | None = None,
    *,
    length: int | str = 28,
    features: int = 28,
    units: int = 128,
    classes: int = 10,
    layers: int = 1,
) -> Symbol:
    """Logits from the last hidden state of layers of long short-term memory.

    One weight of each layer is shared by all steps; gates are in the order input, forget, cell,
    output.  `length` may be the name of an open extent, such as "T".
    Shapes: x [N, length, features] (declared when not given) -> logits [N, classes].
    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
    """
    x = var("x", ("N", length, features)) if x is None else x
    last = x
    for layer in range(layers):
        name = "lstm" if layer == 0 else f"lstm{layer + 1}"
        x, last = _layer(
            x, units, x.shape[-1] if x.shape else features, name, 1 if layer == 0 else 0
        )
    return linear(last, classes, name="fc")


def _layer(
    x: Symbol, units: int, features: dims.Dim, name: str, axis: int
) -> tuple[Symbol, Symbol]:
    """The hidden states after each step, steps first, and after the last; from zeros."""
    limit = units**-0.5
    init = Uniform(-limit, limit)
    weights = (
        parameter(f"{name}_input_weight", (4 * units, features), init=init),
        parameter(f"{name}_hidden_weight", (4 * units, units), init=init),
        parameter(f"{name}_bias", (4 * units,), init=init),
    )
    assert x.shape is not None
    batch = x.shape[0] if axis == 1 else x.shape[1]
    zeros = make("full", shape=(batch, units), value=0.0, dtype="float32")

    def step(x: Symbol, h: Symbol, c: Symbol) -> tuple[tuple[Symbol, Symbol], Symbol]:
        h, c = lstm_cell(x, h, c, units, *weights)
        return (h, c), h

    (h, _), ys = scan(step, x, (zeros, zeros), axis=axis, output_axis=0, name=name)
    return ys, h
