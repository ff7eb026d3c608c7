"""Random numbers: uniform, normal, Bernoulli, and dropout.

The state is explicit: an auxiliary variable whose next value is an output, so that a graph says
where its randomness comes from, saving it saves the sequence, and a gradient can draw the same
numbers again instead of storing them.  Bits are equal on every target (see philox.py); what a
normal number makes of them is as exact as the target's logarithm and cosine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.initializer import RandomKey
from ..ir.op import CompositeOp, Op, Owned
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from ..ir.tensor_type import TensorType, as_shape
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, call, cast, compute, where
from ..kernel.dims import Dim
from ..kernel.dtypes import as_dtype, uint32, uint64
from ..kernel.ir import Expr, as_expr, const
from .base import Array, Gradients, with_extents
from .philox import advanced, advanced_array, block, flat_index, pair, stream, word

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier

STATE = Owned("state", RandomKey(), auxiliary=True, dtype="uint32")


def relate_state(u: Unifier, state: ShapeView) -> None:
    u.equal(u.rank(state, 1, "state")[0], 4, "state.shape[0] must equal 4")


def _unit(bits: Expr) -> Expr:
    """24 bits as a float32 in [0, 1)."""
    return cast(bits >> const(8, uint32), "float32") * const(2.0**-24, "float32")


def _unit_wide(high: Expr, low: Expr) -> Expr:
    """53 bits as a float64 in [0, 1)."""
    top = cast(high >> const(5, uint32), uint64) << const(26, uint64)
    bits = top | cast(low >> const(6, uint32), uint64)
    return cast(bits, "float64") * const(2.0**-53, "float64")


def _units(words: Array, wide: bool) -> Any:
    """numpy: the words as floats in [0, 1)."""
    if not wide:
        return (words >> np.uint32(8)).astype(np.float64) * 2.0**-24
    high, low = words[0::2].astype(np.uint64), words[1::2].astype(np.uint64)
    bits = (high >> np.uint64(5)) << np.uint64(26) | low >> np.uint64(6)
    return bits.astype(np.float64) * 2.0**-53


@dataclass(frozen=True, slots=True)
class _Draw(Op):
    """A tensor of random numbers of a stated shape, and the state behind them."""

    shape: tuple[Dim, ...]
    dtype: str
    outputs = ("output", "next_state")
    owned = (STATE,)
    state = (("state", "next_state"),)
    no_gradient = ("state",)

    @property
    def wide(self) -> bool:
        """Two words make a number, for its 53 bits."""
        return self.dtype == "float64"

    @property
    def words(self) -> Dim:
        """How many words of the stream are drawn."""
        return dims.mul(dims.product(self.shape), 2 if self.wide else 1)

    def infer_shape(self, u: Unifier, state: ShapeView) -> tuple[Any, ...]:
        relate_state(u, state)
        return (self.shape, (4,))

    def infer_dtype(self, u: Unifier, state: DTypeView) -> tuple[Any, ...]:
        u.same(state, uint32, "the state must be uint32")
        return (as_dtype(self.dtype), uint32)

    def typed(self, outs: Sequence[TensorType]) -> Op:
        return with_extents(self, outs)

    def forward(self, state: Tensor) -> tuple[Compute, ...]:
        def element(*i: Any) -> Expr:
            return cast(self.number(state, flat_index(self.shape, i)), self.dtype)

        return compute(self.shape, element), advanced(state, self.words)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None,)

    def reference(self, state: Array) -> Any:
        extents: Any = self.shape
        count, words = math.prod(extents), int(self.words)  # type: ignore[arg-type]
        numbers = self.numbers(state, count).reshape(self.shape)
        return numbers.astype(as_dtype(self.dtype).numpy), advanced_array(state, words)

    def number(self, state: Tensor, i: Any) -> Expr:
        """Number i of the sequence."""
        raise NotImplementedError

    def numbers(self, state: Array, count: int) -> Any:
        """numpy: the first numbers of the sequence."""
        raise NotImplementedError


@register
@dataclass(frozen=True, slots=True)
class RandomUniform(_Draw):
    """Uniform in [low, high); see `random_uniform`."""

    low: float = 0.0
    high: float = 1.0
    name = "random_uniform"

    def check_attributes(self) -> None:
        if not self.low <= self.high:
            raise AttributeValueError(
                f"random_uniform: low must not exceed high: {self.low} > {self.high}"
            )

    def number(self, state: Tensor, i: Any) -> Expr:
        unit = _unit_wide(*pair(state, i)) if self.wide else _unit(word(state, i))
        return unit * (self.high - self.low) + self.low

    def numbers(self, state: Array, count: int) -> Any:
        words = stream(state, count * (2 if self.wide else 1))
        return _units(words, self.wide) * (self.high - self.low) + self.low


@register
@dataclass(frozen=True, slots=True)
class RandomNormal(_Draw):
    """Normal, two at a time by Box and Muller 1958; see `random_normal`."""

    mean: float = 0.0
    std: float = 1.0
    name = "random_normal"

    def check_attributes(self) -> None:
        if self.std < 0:
            raise AttributeValueError(f"random_normal: std must not be negative, got {self.std!r}")

    def number(self, state: Tensor, i: Any) -> Expr:
        if self.wide:
            a, b, c, d = block(state, i // 2)
            first, second, kind = _unit_wide(a, b), _unit_wide(c, d), "float64"
        else:
            a, b = pair(state, i // 2)
            first, second, kind = _unit(a), _unit(b), "float32"
        # 1 - u lies in (0, 1], where the logarithm is finite.
        radius = call("sqrt", call("log", 1.0 - first) * -2.0)
        angle = second * const(2.0 * math.pi, kind)
        even = as_expr(i % 2) < 1
        return radius * where(even, call("cos", angle), call("sin", angle)) * self.std + self.mean

    def numbers(self, state: Array, count: int) -> Any:
        pairs = -(-count // 2)
        units = _units(stream(state, pairs * (4 if self.wide else 2)), self.wide)
        radius, angle = np.sqrt(-2 * np.log1p(-units[0::2])), 2 * np.pi * units[1::2]
        both = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        return both.reshape(-1)[:count] * self.std + self.mean


@register
@dataclass(frozen=True, slots=True)
class RandomBernoulli(_Draw):
    """1 with probability p, else 0; see `random_bernoulli`."""

    p: float = 0.5
    name = "random_bernoulli"

    def check_attributes(self) -> None:
        if not 0.0 <= self.p <= 1.0:
            raise AttributeValueError(f"random_bernoulli: p must be in [0, 1], got {self.p!r}")

    @property
    def wide(self) -> bool:
        return False

    def number(self, state: Tensor, i: Any) -> Expr:
        return cast(cast(word(state, i), uint64) < const(_threshold(self.p), uint64), "int32")

    def numbers(self, state: Array, count: int) -> Any:
        return stream(state, count).astype(np.uint64) < _threshold(self.p)


def _threshold(p: float) -> int:
    """A word is below it with probability p."""
    return round(p * 2.0**32)


def _check_rate(op: Any) -> None:
    if not 0.0 <= op.rate < 1.0:
        raise AttributeValueError(f"{op.name}: rate must be in [0, 1), got {op.rate!r}")


@register
@dataclass(frozen=True, slots=True)
class RandomKeep(Op):
    """y = x / (1 - rate) where the element's random word is high enough, else 0.

    Linear in x, and its own gradient: the same state keeps the same elements.
    Shapes: x [*s], state [4] -> y [*s].   Dtypes: x any float, kept; state uint32.
    """

    rate: float
    name = "random_keep"
    no_gradient = ("state",)

    def check_attributes(self) -> None:
        _check_rate(self)

    def infer_shape(self, u: Unifier, x: ShapeView, state: ShapeView) -> tuple[Any, ...]:
        relate_state(u, state)
        return (x,)

    def infer_dtype(self, u: Unifier, x: DTypeView, state: DTypeView) -> tuple[Any, ...]:
        u.same(state, uint32, "the state must be uint32")
        return (u.floating(x),)

    def forward(self, x: Tensor, state: Tensor) -> Compute:
        limit = const(_threshold(self.rate), uint64)
        scale = const(1.0 / (1.0 - self.rate), x.dtype)

        def element(*i: Any) -> Expr:
            dropped = cast(word(state, flat_index(x.shape, i)), uint64) < limit
            return where(dropped, const(0.0, x.dtype), x[i] * scale)

        return compute(x.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (RandomKeep(self.rate)(grads[0], ins[1]), None)

    def reference(self, x: Array, state: Array) -> Any:
        words = stream(state, x.size).astype(np.uint64).reshape(x.shape)
        kept = x.astype(np.float64) / (1 - self.rate)
        return np.where(words < _threshold(self.rate), 0.0, kept).astype(x.dtype)


@register
@dataclass(frozen=True, slots=True)
class AdvanceState(Op):
    """The state behind as many words as x has elements.

    Shapes: state [4], x [*s] -> next [4]; only the shape of x is used.   Dtypes: uint32.
    """

    name = "advance_state"
    no_gradient = ("state", "x")

    def infer_shape(self, u: Unifier, state: ShapeView, x: ShapeView) -> tuple[Any, ...]:
        relate_state(u, state)
        return ((4,),)

    def infer_dtype(self, u: Unifier, state: DTypeView, x: DTypeView) -> tuple[Any, ...]:
        u.same(state, uint32, "the state must be uint32")
        return (uint32,)

    def forward(self, state: Tensor, x: Tensor) -> Compute:
        return advanced(state, dims.product(x.shape))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None, None)

    def reference(self, state: Array, x: Array) -> Any:
        return advanced_array(state, x.size)


@register
@dataclass(frozen=True, slots=True)
class Dropout(CompositeOp):
    """x with elements dropped at random and the rest scaled up; see `dropout`."""

    rate: float = 0.5
    name = "dropout"
    outputs = ("output", "next_state")
    owned = (STATE,)
    state = (("state", "next_state"),)
    no_gradient = ("state",)

    def check_attributes(self) -> None:
        _check_rate(self)

    def infer_shape(self, u: Unifier, x: ShapeView, state: ShapeView) -> tuple[Any, ...]:
        relate_state(u, state)
        return (x, (4,))

    def infer_dtype(self, u: Unifier, x: DTypeView, state: DTypeView) -> tuple[Any, ...]:
        u.same(state, uint32, "the state must be uint32")
        return (u.floating(x), uint32)

    def forward(self, x: Symbol, state: Symbol) -> tuple[Symbol, ...]:
        return RandomKeep(self.rate)(x, state), AdvanceState()(state, x)

    def inference(self, ins: tuple[Symbol, ...]) -> Sequence[Symbol]:
        return ins

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        # The same state keeps the same elements, so nothing is stored for the backward pass.
        return (None if grads[0] is None else RandomKeep(self.rate)(grads[0], ins[1]), None)

    def reference(self, x: Array, state: Array) -> Any:
        return RandomKeep(self.rate).reference(x, state), advanced_array(state, x.size)


def random_uniform(
    shape: Any, *, low: float = 0.0, high: float = 1.0, dtype: Any = "float32",
    state: Symbol | None = None, name: str | None = None,
) -> Symbol:  # fmt: skip
    """Random numbers uniform in [low, high), multiples of 2^-24 (2^-53 for float64) of the range.

    Shapes: -> y of `shape`; state [4], a variable of its own when not given.
    Dtypes: `dtype`, any float; state uint32.   Source: Philox4x32-10, Salmon et al. 2011.
    """
    op = RandomUniform(_shape(shape), as_dtype(dtype).name, low, high)
    return op(state, name=name)[0]  # type: ignore[no-any-return]


def random_normal(
    shape: Any, *, mean: float = 0.0, std: float = 1.0, dtype: Any = "float32",
    state: Symbol | None = None, name: str | None = None,
) -> Symbol:  # fmt: skip
    """Random numbers of a normal distribution.

    Shapes: -> y of `shape`; state [4], a variable of its own when not given.
    Dtypes: `dtype`, any float; state uint32.   Source: Philox4x32-10; Box and Muller 1958.
    """
    op = RandomNormal(_shape(shape), as_dtype(dtype).name, mean, std)
    return op(state, name=name)[0]  # type: ignore[no-any-return]


def random_bernoulli(
    shape: Any, p: float = 0.5, *, dtype: Any = "float32", state: Symbol | None = None,
    name: str | None = None,
) -> Symbol:  # fmt: skip
    """1 with probability p, else 0.

    Shapes: -> y of `shape`; state [4], a variable of its own when not given.
    Dtypes: `dtype`, any; state uint32.   Source: Philox4x32-10, Salmon et al. 2011.
    """
    op = RandomBernoulli(_shape(shape), as_dtype(dtype).name, p)
    return op(state, name=name)[0]  # type: ignore[no-any-return]


def dropout(
    x: Symbol, rate: float = 0.5, *, state: Symbol | None = None, name: str | None = None
) -> Symbol:
    """x with each element set to 0 with probability `rate`, the rest over 1 - rate; x at inference.

    Shapes: x [*s] -> y [*s]; state [4], a variable of its own when not given.
    Dtypes: any float, kept.   Source: Srivastava et al. 2014, inverted form.
    """
    return Dropout(rate)(x, state, name=name)[0]  # type: ignore[no-any-return]


def _shape(shape: Any) -> tuple[Dim, ...]:
    known = as_shape(shape, "random")
    if known is None or not all(dims.is_closed(d) for d in known):
        raise AttributeValueError(f"random: the shape must be known, got {shape!r}")
    return known


_KEY = np.array([0xA4093822, 0x299F31D0, 0xFFFFFFFE, 0x7], np.uint32)
_SHAPES: tuple[tuple[tuple[int, ...], str], ...] = (
    ((3, 5, 7), "float32"), ((17,), "float64"), ((0, 3), "float32"), ((), "float32"),
    ((1, 33), "float16"),
)  # fmt: skip
RandomUniform.samples = tuple(
    Sample(RandomUniform(s, t, -2.0, 3.0), (_KEY,), gradient=False) for s, t in _SHAPES
)
RandomNormal.samples = tuple(
    Sample(RandomNormal(s, t, 1.0, 2.0), (_KEY,), gradient=False, rtol=_R, atol=_R)
    for (s, t), _R in zip(_SHAPES, (2e-6, 1e-13, 1e-6, 2e-6, 2e-3), strict=True)
)
RandomBernoulli.samples = tuple(
    Sample(RandomBernoulli(s, t, 0.3), (_KEY,), gradient=False)
    for s, t in (*_SHAPES, ((5, 3), "bool"), ((7,), "int32"))
)
RandomKeep.samples = (
    Sample(RandomKeep(0.4), ((3, 5, 7), _KEY)),
    Sample(RandomKeep(0.25), ((2, 17), _KEY), dtype="float64"),
    Sample(RandomKeep(0.5), ((0, 3), _KEY)),
    Sample(RandomKeep(0.5), ((1,), _KEY)),
    Sample(RandomKeep(0.0), ((), _KEY)),
)
AdvanceState.samples = (
    Sample(AdvanceState(), (_KEY, (3, 5, 17)), gradient=False),
    Sample(AdvanceState(), (_KEY, (0, 1)), gradient=False),
)
Dropout.samples = (
    Sample(Dropout(0.4), ((3, 5, 7), _KEY)),
    Sample(Dropout(0.25), ((2, 17), _KEY), dtype="float64"),
    Sample(Dropout(0.5), ((0, 3), _KEY)),
    Sample(Dropout(0.5), ((1,), _KEY)),
)
