"""The multilayer perceptron."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..ir.symbol import Symbol, var
from ..ops.activation import relu
from ..ops.contraction import linear
from ..ops.shape import flatten


def mlp(
    x: Symbol | None = None,
    *,
    hidden: Sequence[int] = (128, 64),
    classes: int = 10,
    activation: Callable[..., Symbol] = relu,
) -> Symbol:
    """Logits of fully connected layers with an activation between them.

    Shapes: x [N, *s] (declared as [N, 1, 28, 28] when not given) -> logits [N, classes].
    """
    h = flatten(var("x", ("N", 1, 28, 28)) if x is None else x, name="flatten")
    for number, units in enumerate(hidden, 1):
        h = activation(linear(h, units, name=f"fc{number}"), name=f"activation{number}")
    return linear(h, classes, name=f"fc{len(hidden) + 1}")
