"""Softmax, its logarithm, and attention: composites that fusion makes one kernel each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.op import CompositeOp, Op
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol, as_symbol
from ..kernel.compute import Compute, Tensor, compute, where
from ..kernel.ir import const
from .base import Array, Gradients, make

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


@dataclass(frozen=True, slots=True)
class _Normalised(CompositeOp):
    """What softmax and its logarithm share."""

    axis: int = -1

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        if x.rank is not None:
            u.axis(self.axis, len(u.at_least(x, 1, "x")))
        return (x,)

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return (u.floating(x),)

    def along(self, name: str, x: Symbol) -> Symbol:
        """A reduction over the axis, which stays as one element."""
        return make(name, x, axis=(self.axis,), keepdims=True)

    def shifted(self, x: Symbol) -> Symbol:
        """x less its largest element, so that no exponential overflows."""
        return x - self.along("max", x)


@register
@dataclass(frozen=True, slots=True)
class Softmax(_Normalised):
    """y = exp(x - max x) / sum exp(x - max x) along one axis.   Shapes: x [*s] -> y [*s]."""

    name = "softmax"

    def forward(self, x: Symbol) -> Symbol:
        powers = make("exp", self.shifted(x))
        total = self.along("sum", powers)
        if x.dtype is None or x.dtype.nbytes < 4:  # a reciprocal in half precision loses digits
            return powers / total
        return powers * make("reciprocal", total)  # one division for a row

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (y,) = grads, outs
        return (y * (g - self.along("sum", g * y)),)

    def reference(self, x: Array) -> Any:
        wide = x.astype(np.float64)
        powers = np.exp(wide - wide.max(axis=self.axis, keepdims=True, initial=-np.inf))
        return (powers / powers.sum(axis=self.axis, keepdims=True)).astype(x.dtype)


@register
@dataclass(frozen=True, slots=True)
class LogSoftmax(_Normalised):
    """y = x - max x - log sum exp(x - max x) along one axis.   Shapes: x [*s] -> y [*s]."""

    name = "log_softmax"

    def forward(self, x: Symbol) -> Symbol:
        shifted = self.shifted(x)
        return shifted - make("log", self.along("sum", make("exp", shifted)))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (y,) = grads, outs
        return (g - make("exp", y) * self.along("sum", g),)

    def reference(self, x: Array) -> Any:
        wide = x.astype(np.float64)
        total = np.logaddexp.reduce(wide, axis=self.axis, keepdims=True)
        return (wide - total).astype(x.dtype)


@register
@dataclass(frozen=True, slots=True)
class CausalMask(Op):
    """y[..., i, j] = x[..., i, j] where j <= i, else -inf (or 0): nothing from later positions.

    Shapes: x [*b, l, s] -> y the same.   Dtypes: any float, kept.
    """

    zero: bool = False
    name = "causal_mask"

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        if x.rank is not None:
            u.at_least(x, 2, "x")
        return (x,)

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return (u.floating(x),)

    def forward(self, x: Tensor) -> Compute:
        hidden = const(0.0 if self.zero else -math.inf, x.dtype)
        return compute(x.shape, lambda *i: where(i[-1] <= i[-2], x[i], hidden))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (CausalMask(zero=True)(grads[0]),)

    def reference(self, x: Array) -> Any:
        seen = np.tril(np.ones(x.shape[-2:], bool))
        return np.where(seen, x, 0.0 if self.zero else -np.inf).astype(x.dtype)


@register
@dataclass(frozen=True, slots=True)
class ScaledDotProductAttention(CompositeOp):
    """softmax(q k^T * scale + mask) v, Vaswani et al. 2017; see the function of that name."""

    scale: float | None = None
    is_causal: bool = False
    additive: bool = False
    name = "scaled_dot_product_attention"

    @property
    def no_gradient(self) -> tuple[str, ...]:  # type: ignore[override]
        return () if self.additive else ("mask",)

    def infer_shape(
        self, u: Unifier, q: ShapeView, k: ShapeView, v: ShapeView, mask: ShapeView | None = None
    ) -> tuple[Any, ...]:
        from ..ir.infer import ShapeView as View

        qs, ks, vs = u.at_least(q, 2, "q"), u.at_least(k, 2, "k"), u.at_least(v, 2, "v")
        u.equal(qs[-1], ks[-1], "q.shape[-1] must equal k.shape[-1]")
        u.equal(ks[-2], vs[-2], "k.shape[-2] must equal v.shape[-2]")
        why = "the leading axes of q, k and v must broadcast"
        lead = u.broadcast(View(u, qs[:-2]), View(u, ks[:-2]), View(u, vs[:-2]), why=why)
        if mask is not None and mask.rank is not None:
            scores = View(u, (*lead, qs[-2], ks[-2]))
            u.broadcast(scores, mask, why="mask must broadcast to the scores [*b, l, s]")
        return ((*lead, qs[-2], vs[-1]),)

    def infer_dtype(
        self, u: Unifier, q: DTypeView, k: DTypeView, v: DTypeView, mask: DTypeView | None = None
    ) -> tuple[Any, ...]:
        u.same(q, k, "q and k must have one dtype")
        u.same(q, v, "q and v must have one dtype")
        if mask is not None and self.additive:
            u.same(q, mask, "an additive mask must have the dtype of q")
        elif mask is not None:
            from ..kernel.dtypes import bool_

            u.same(mask, bool_, "the mask must be bool, or have a float dtype where it is declared")
        return (u.floating(q),)

    def forward(self, q: Symbol, k: Symbol, v: Symbol, mask: Symbol | None = None) -> Any:
        factor = self._factor(q)
        if q.dtype is None or q.dtype.nbytes < 4:  # scores in half precision could overflow
            scores = make("matmul", q * factor, k, transpose_y=True)
        else:  # a factor of the scores costs no pass of its own
            scores = make("matmul", q, k, transpose_y=True) * factor
        if mask is not None:
            scores = scores + mask if self.additive else make("where", mask, scores, -math.inf)
        if self.is_causal:
            scores = CausalMask()(scores)
        return make("matmul", Softmax(-1)(scores), v)

    def _factor(self, q: Any) -> float:
        if self.scale is not None:
            return self.scale
        depth = None if q.shape is None else q.shape[-1]
        if not isinstance(depth, int):
            from ..errors import AttributeValueError

            raise AttributeValueError(
                f"{self.name}: give scale=, since the last extent of q is not known"
            )
        return 1.0 / math.sqrt(depth)

    def reference(self, q: Array, k: Array, v: Array, mask: Array | None = None) -> Any:
        scores = np.einsum("...ld,...sd->...ls", q, k).astype(np.float64) * self._factor(q)
        if mask is not None:
            scores = scores + mask if self.additive else np.where(mask, scores, -np.inf)
        if self.is_causal:
            scores = np.where(np.tri(*scores.shape[-2:]) > 0, scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return np.einsum("...ls,...sd->...ld", weights, v).astype(q.dtype)


def softmax(x: Symbol, axis: int = -1, *, name: str | None = None) -> Symbol:
    """y = exp(x) / sum exp(x) along one axis, without overflow.

    Shapes: x [*s] -> y [*s].   Dtypes: any float, kept.
    """
    return Softmax(axis)(x, name=name)  # type: ignore[no-any-return]


def log_softmax(x: Symbol, axis: int = -1, *, name: str | None = None) -> Symbol:
    """y = log(softmax(x)) along one axis, without overflow or loss of small values.

    Shapes: x [*s] -> y [*s].   Dtypes: any float, kept.
    """
    return LogSoftmax(axis)(x, name=name)  # type: ignore[no-any-return]


def scaled_dot_product_attention(
    q: Symbol,
    k: Symbol,
    v: Symbol,
    mask: Symbol | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    name: str | None = None,
) -> Symbol:
    """softmax(q k^T * scale + mask) v, Vaswani et al. 2017.

    A float mask is added to the scores; a bool mask lets pass where it is true.  `is_causal` hides
    later positions; `scale` is 1/sqrt(d) by default.

    Shapes: q [*b, l, d], k [*b, s, d], v [*b, s, e], mask [*b, l, s] broadcast -> y [*b, l, e].
    Dtypes: any float, the same for q, k and v.   Raises: ShapeError, DTypeError.
    """
    dtype = None if mask is None else as_symbol(mask).dtype
    additive = dtype is not None and dtype.is_float
    op = ScaledDotProductAttention(scale, is_causal, additive)
    return op(q, k, v, name=name) if mask is None else op(q, k, v, mask, name=name)  # type: ignore[no-any-return]


_MASK = np.array([[True, True, False, True, False], [False, True, True, False, False],
                  [True, False, False, False, True]])  # fmt: skip
Softmax.samples = (
    Sample(Softmax(), ((3, 37),)),
    Sample(Softmax(1), ((2, 5, 7),), low=-50, high=50),
    Sample(Softmax(0), ((4, 3),), dtype="float64"),
    Sample(Softmax(), ((0, 3),)),
    Sample(Softmax(), ((1, 1),)),
)
LogSoftmax.samples = (
    Sample(LogSoftmax(), ((0, 3),)),
    Sample(LogSoftmax(), ((1, 1),)),
    Sample(LogSoftmax(), ((3, 37),)),
    Sample(LogSoftmax(1), ((2, 5, 7),), low=-50, high=50),
    Sample(LogSoftmax(0), ((4, 3),), dtype="float64"),
)
CausalMask.samples = (
    Sample(CausalMask(zero=True), ((1, 3, 17),)),
    Sample(CausalMask(zero=True), ((0, 3),)),
    Sample(CausalMask(), ((2, 3, 5),), gradient=False),
    Sample(CausalMask(zero=True), ((2, 7, 5),)),
    Sample(CausalMask(zero=True), ((3, 3),), dtype="float64"),
)
ScaledDotProductAttention.samples = (
    Sample(ScaledDotProductAttention(), ((1, 17, 7), (1, 5, 7), (1, 5, 4))),
    Sample(ScaledDotProductAttention(), ((0, 3, 7), (0, 5, 7), (0, 5, 4))),
    Sample(ScaledDotProductAttention(), ((2, 3, 7), (2, 5, 7), (2, 5, 4))),
    Sample(ScaledDotProductAttention(0.3, True), ((2, 6, 3, 7), (2, 1, 5, 7), (2, 6, 5, 4))),
    Sample(ScaledDotProductAttention(), ((2, 3, 7), (2, 5, 7), (2, 5, 4), _MASK)),
    Sample(
        ScaledDotProductAttention(None, False, True), ((3, 7), (5, 7), (5, 4), (3, 5)),
        dtype="float64",
    ),
)  # fmt: skip
