"""Recurrent cells, and layers of them as loops over the steps.

Gate order and equations are PyTorch's: LSTM i, f, g, o; GRU r, z, n.  One matrix product computes
all gates of a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import AttributeValueError
from ..ir.initializer import Constant, Orthogonal, Xavier
from ..ir.op import CompositeOp, Owned
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol, as_symbol, parameter
from ..kernel import dims
from .base import Array, make
from .contraction import linear
from .scan import scan

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


@dataclass(frozen=True, slots=True)
class _Cell(CompositeOp):
    """What the cells share: `units` outputs, `gates` blocks of rows in every weight."""

    units: int
    owned: ClassVar[tuple[Owned, ...]] = (
        Owned("weight", Xavier()),
        Owned("recurrent_weight", Orthogonal()),
        Owned("bias"),
    )

    @property
    def gates(self) -> int:
        raise NotImplementedError

    def check_attributes(self) -> None:
        if self.units < 1:
            raise AttributeValueError(f"{self.name}: units must be at least 1, got {self.units!r}")

    def relate(
        self, u: Unifier, x: ShapeView, h: ShapeView, weight: ShapeView, recurrent: ShapeView,
        biases: dict[str, ShapeView],
    ) -> tuple[Any, ...]:  # fmt: skip
        """The shape [n, units] of a state."""
        rows = self.gates * self.units
        (n, d), (m, units) = u.rank(x, 2, "x"), u.rank(h, 2, "h")
        u.equal(m, n, "h.shape[0] must equal x.shape[0]")
        u.equal(units, self.units, f"h.shape[1] must equal units {self.units}")
        for what, part, width in (("weight", weight, d), ("recurrent_weight", recurrent, units)):
            height, depth = u.rank(part, 2, what)
            u.equal(height, rows, f"{what}.shape[0] must equal {self.gates} times units, {rows}")
            u.equal(depth, width, f"{what}.shape[1] must fit its input")
        for what, bias in biases.items():
            u.equal(u.rank(bias, 1, what)[0], rows, f"{what}.shape[0] must equal {rows}")
        return (n, self.units)

    def gate(self, z: Symbol, number: int) -> Symbol:
        """The columns of one gate."""
        return z[:, number * self.units : (number + 1) * self.units]


@register
@dataclass(frozen=True, slots=True)
class RnnCell(_Cell):
    """h' = activation(weight x + recurrent_weight h + bias); see `rnn_cell`."""

    activation: str = "tanh"
    name = "rnn_cell"

    @property
    def gates(self) -> int:
        return 1

    def check_attributes(self) -> None:
        _Cell.check_attributes(self)
        if self.activation not in ("tanh", "relu"):
            raise AttributeValueError(
                f"rnn_cell: activation must be 'tanh' or 'relu', got {self.activation!r}"
            )

    def infer_shape(
        self, u: Unifier, x: ShapeView, h: ShapeView, weight: ShapeView,
        recurrent_weight: ShapeView, bias: ShapeView,
    ) -> tuple[Any, ...]:  # fmt: skip
        return (self.relate(u, x, h, weight, recurrent_weight, {"bias": bias}),)

    def forward(
        self, x: Symbol, h: Symbol, weight: Symbol, recurrent_weight: Symbol, bias: Symbol
    ) -> Symbol:
        z = linear(x, self.units, weight, bias)
        z = z + linear(h, self.units, recurrent_weight, use_bias=False)
        return make(self.activation, z)

    def reference(
        self, x: Array, h: Array, weight: Array, recurrent_weight: Array, bias: Array
    ) -> Any:
        z = x @ weight.T + h @ recurrent_weight.T + bias
        return np.tanh(z) if self.activation == "tanh" else np.maximum(z, 0)


@register
@dataclass(frozen=True, slots=True)
class LstmCell(_Cell):
    """One step of a long short-term memory; see `lstm_cell`."""

    name = "lstm_cell"
    outputs = ("next_h", "next_c")

    @property
    def gates(self) -> int:
        return 4

    def infer_shape(
        self, u: Unifier, x: ShapeView, h: ShapeView, c: ShapeView, weight: ShapeView,
        recurrent_weight: ShapeView, bias: ShapeView,
    ) -> tuple[Any, ...]:  # fmt: skip
        state = self.relate(u, x, h, weight, recurrent_weight, {"bias": bias})
        for axis, (a, b) in enumerate(zip(u.rank(c, 2, "c"), state, strict=True)):
            u.equal(a, b, f"c.shape[{axis}] must equal h.shape[{axis}]")
        return (state, state)

    def forward(
        self, x: Symbol, h: Symbol, c: Symbol, weight: Symbol, recurrent_weight: Symbol,
        bias: Symbol,
    ) -> tuple[Symbol, ...]:  # fmt: skip
        rows = 4 * self.units
        z = linear(x, rows, weight, bias) + linear(h, rows, recurrent_weight, use_bias=False)
        take, forget = make("sigmoid", self.gate(z, 0)), make("sigmoid", self.gate(z, 1))
        new, show = make("tanh", self.gate(z, 2)), make("sigmoid", self.gate(z, 3))
        next_c = forget * c + take * new
        return show * make("tanh", next_c), next_c

    def reference(
        self, x: Array, h: Array, c: Array, weight: Array, recurrent_weight: Array, bias: Array
    ) -> Any:
        z = x @ weight.T + h @ recurrent_weight.T + bias
        i, f, g, o = np.split(z, 4, axis=1)
        next_c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        return _sigmoid(o) * np.tanh(next_c), next_c


@register
@dataclass(frozen=True, slots=True)
class GruCell(_Cell):
    """One step of a gated recurrent unit; see `gru_cell`."""

    name = "gru_cell"
    owned = (
        Owned("weight", Xavier()),
        Owned("recurrent_weight", Orthogonal()),
        Owned("bias"),
        Owned("recurrent_bias"),
    )

    @property
    def gates(self) -> int:
        return 3

    def infer_shape(
        self, u: Unifier, x: ShapeView, h: ShapeView, weight: ShapeView,
        recurrent_weight: ShapeView, bias: ShapeView, recurrent_bias: ShapeView,
    ) -> tuple[Any, ...]:  # fmt: skip
        biases = {"bias": bias, "recurrent_bias": recurrent_bias}
        return (self.relate(u, x, h, weight, recurrent_weight, biases),)

    def forward(
        self, x: Symbol, h: Symbol, weight: Symbol, recurrent_weight: Symbol, bias: Symbol,
        recurrent_bias: Symbol,
    ) -> Symbol:  # fmt: skip
        rows = 3 * self.units
        a, b = linear(x, rows, weight, bias), linear(h, rows, recurrent_weight, recurrent_bias)
        reset = make("sigmoid", self.gate(a, 0) + self.gate(b, 0))
        keep = make("sigmoid", self.gate(a, 1) + self.gate(b, 1))
        new = make("tanh", self.gate(a, 2) + reset * self.gate(b, 2))
        return new + keep * (h - new)

    def reference(
        self, x: Array, h: Array, weight: Array, recurrent_weight: Array, bias: Array,
        recurrent_bias: Array,
    ) -> Any:  # fmt: skip
        a = np.split(x @ weight.T + bias, 3, axis=1)
        b = np.split(h @ recurrent_weight.T + recurrent_bias, 3, axis=1)
        reset, keep = _sigmoid(a[0] + b[0]), _sigmoid(a[1] + b[1])
        new = np.tanh(a[2] + reset * b[2])
        return (1 - keep) * new + keep * h


def _sigmoid(x: Array) -> Any:
    return 1 / (1 + np.exp(-x))


def rnn_cell(
    x: Symbol, h: Symbol, units: int, weight: Symbol | None = None,
    recurrent_weight: Symbol | None = None, bias: Symbol | None = None, *,
    activation: str = "tanh", name: str | None = None,
) -> Symbol:  # fmt: skip
    """h' = activation(weight x + recurrent_weight h + bias), activation "tanh" or "relu".

    Shapes: x [n, d], h [n, units], weight [units, d], recurrent_weight [units, units], bias
    [units] -> h' [n, units].   Dtypes: any float.   Missing weights become parameters.
    """
    op = RnnCell(units, activation)
    return op(x, h, weight, recurrent_weight, bias, name=name)  # type: ignore[no-any-return]


def lstm_cell(
    x: Symbol, h: Symbol, c: Symbol, units: int, weight: Symbol | None = None,
    recurrent_weight: Symbol | None = None, bias: Symbol | None = None, *,
    name: str | None = None,
) -> tuple[Symbol, Symbol]:  # fmt: skip
    """(h', c') of one LSTM step: c' = f c + i g, h' = o tanh(c') (Hochreiter, Schmidhuber 1997).

    Shapes: x [n, d], h, c [n, units], weight [4 units, d], recurrent_weight [4 units, units],
    bias [4 units], gates i, f, g, o -> both [n, units].   Dtypes: any float.
    Missing weights become parameters.
    """
    op = LstmCell(units)
    return op(x, h, c, weight, recurrent_weight, bias, name=name)  # type: ignore[no-any-return]


def gru_cell(
    x: Symbol, h: Symbol, units: int, weight: Symbol | None = None,
    recurrent_weight: Symbol | None = None, bias: Symbol | None = None,
    recurrent_bias: Symbol | None = None, *, name: str | None = None,
) -> Symbol:  # fmt: skip
    """h' = (1-z) n + z h of one GRU step, n = tanh(W x + b + r (U h + c)) (Cho et al. 2014).

    Shapes: x [n, d], h [n, units], weight [3 units, d], recurrent_weight [3 units, units], bias,
    recurrent_bias [3 units], gates r, z, n -> h' [n, units].   Dtypes: any float.
    Missing weights become parameters.
    """
    inputs = (x, h, weight, recurrent_weight, bias, recurrent_bias)
    return GruCell(units)(*inputs, name=name)  # type: ignore[no-any-return]


States = tuple[Symbol, ...]
Step = Callable[..., tuple[States, Symbol]]
"""The body of a loop: (states after the step, what is stacked)."""


def lstm(
    x: Symbol, hidden: int, *, layers: int = 1, reverse: bool = False, name: str = "lstm"
) -> tuple[Symbol, list[tuple[Symbol, Symbol]]]:
    """(y, [(h, c) of each layer after the last step]) of an LSTM that starts from zeros.

    The number of steps may be open.  The parameters are `{name}_l{layer}_weight`,
    `_recurrent_weight` and `_bias`, shared by all steps; see `lstm_cell`.

    Shapes: x [n, t, d] -> y [n, t, hidden], h, c [n, hidden].   Dtypes: any float.
    Raises: AttributeValueError when the batch is neither known nor named.
    """

    def step(prefix: str) -> Step:
        weights = _weights(prefix)

        def run(x: Symbol, h: Symbol, c: Symbol) -> tuple[States, Symbol]:
            after = lstm_cell(x, h, c, hidden, *weights)
            return after, after[0]

        return run

    y, last = _layers(x, hidden, layers, 2, reverse, name, step)
    return y, [(h, c) for h, c in last]


def gru(
    x: Symbol, hidden: int, *, layers: int = 1, reverse: bool = False, name: str = "gru"
) -> tuple[Symbol, list[Symbol]]:
    """(y, [h of each layer after the last step]) of gated recurrent units that start from zeros.

    The number of steps may be open.  The parameters are `{name}_l{layer}_weight`,
    `_recurrent_weight`, `_bias` and `_recurrent_bias`, shared by all steps; see `gru_cell`.

    Shapes: x [n, t, d] -> y [n, t, hidden], h [n, hidden].   Dtypes: any float.
    Raises: AttributeValueError when the batch is neither known nor named.
    """

    def step(prefix: str) -> Step:
        weights = (*_weights(prefix), parameter(f"{prefix}_recurrent_bias", init=Constant(0.0)))

        def run(x: Symbol, h: Symbol) -> tuple[States, Symbol]:
            after = gru_cell(x, h, hidden, *weights)
            return (after,), after

        return run

    y, last = _layers(x, hidden, layers, 1, reverse, name, step)
    return y, [h for (h,) in last]


def rnn(
    x: Symbol, hidden: int, *, activation: str = "tanh", layers: int = 1, reverse: bool = False,
    name: str = "rnn",
) -> tuple[Symbol, list[Symbol]]:  # fmt: skip
    """(y, [h of each layer after the last step]) of a simple recurrent network, from zeros.

    The number of steps may be open.  The parameters are `{name}_l{layer}_weight`,
    `_recurrent_weight` and `_bias`, shared by all steps; see `rnn_cell`.

    Shapes: x [n, t, d] -> y [n, t, hidden], h [n, hidden].   Dtypes: any float.
    Raises: AttributeValueError when the batch is neither known nor named.
    """

    def step(prefix: str) -> Step:
        weights = _weights(prefix)

        def run(x: Symbol, h: Symbol) -> tuple[States, Symbol]:
            after = rnn_cell(x, h, hidden, *weights, activation=activation)
            return (after,), after

        return run

    y, last = _layers(x, hidden, layers, 1, reverse, name, step)
    return y, [h for (h,) in last]


def _weights(prefix: str) -> tuple[Symbol, Symbol, Symbol]:
    return (
        parameter(f"{prefix}_weight", init=Xavier()),
        parameter(f"{prefix}_recurrent_weight", init=Orthogonal()),
        parameter(f"{prefix}_bias", init=Constant(0.0)),
    )


def _layers(
    x: Symbol,
    hidden: int,
    layers: int,
    states: int,
    reverse: bool,
    name: str,
    step: Callable[[str], Step],
) -> tuple[Symbol, list[tuple[Symbol, ...]]]:
    """Layers one after the other, each a loop over the steps."""
    x = as_symbol(x)
    shape = x.shape
    if shape is None or len(shape) != 3 or not dims.is_closed(shape[0]):
        raise AttributeValueError(
            f"{name}: x must be [n, steps, features] with a known or named batch, got {x.type} "
            f"(declared at {x.node.origin}); declare it as in sg.var('x', ('N', 'T', 28))"
        )
    if layers < 1:
        raise AttributeValueError(f"{name}: layers must be at least 1, got {layers!r}")
    dtype = "float32" if x.dtype is None else x.dtype.name
    zeros = make("full", shape=(shape[0], hidden), value=0.0, dtype=dtype)
    last: list[tuple[Symbol, ...]] = []
    for layer in range(layers):
        prefix = f"{name}_l{layer}"
        # Between layers the steps come first, so that the steps of a batch are rows of one matrix.
        after, x = scan(
            step(prefix), x, (zeros,) * states, reverse=reverse,
            axis=1 if layer == 0 else 0, output_axis=1 if layer == layers - 1 else 0, name=prefix,
        )  # fmt: skip
        last.append(after)
    return x, last


RnnCell.samples = (
    Sample(RnnCell(5), ((17, 3), (17, 5), (5, 3), (5, 5), (5,))),
    Sample(RnnCell(4, "relu"), ((2, 3), (2, 4), (4, 3), (4, 4), (4,)), dtype="float64"),
    Sample(RnnCell(1), ((2, 3), (2, 1), (1, 3), (1, 1), (1,))),
    Sample(RnnCell(2), ((0, 3), (0, 2), (2, 3), (2, 2), (2,))),
)
LstmCell.samples = (
    Sample(LstmCell(5), ((17, 3), (17, 5), (17, 5), (20, 3), (20, 5), (20,))),
    Sample(LstmCell(4), ((2, 3), (2, 4), (2, 4), (16, 3), (16, 4), (16,)), dtype="float64"),
    Sample(LstmCell(1), ((1, 3), (1, 1), (1, 1), (4, 3), (4, 1), (4,))),
    Sample(LstmCell(2), ((0, 3), (0, 2), (0, 2), (8, 3), (8, 2), (8,))),
)
GruCell.samples = (
    Sample(GruCell(5), ((17, 3), (17, 5), (15, 3), (15, 5), (15,), (15,))),
    Sample(GruCell(4), ((2, 3), (2, 4), (12, 3), (12, 4), (12,), (12,)), dtype="float64"),
    Sample(GruCell(1), ((1, 3), (1, 1), (3, 3), (3, 1), (3,), (3,))),
    Sample(GruCell(2), ((0, 3), (0, 2), (6, 3), (6, 2), (6,), (6,))),
)
