"""A large-margin linear layer, declared outside the package in each of the three ways.

Liu, Wen, Yu, Yang 2016, "Large-Margin Softmax Loss for Convolutional Neural Networks": a linear
layer without bias that makes the logit of the right class harder to raise.  With r = |x|,
s = |w_y| and c = cos(angle) = x.w_y / (r s), the logit r s c of the label y becomes

    r s h(c),   h(c) = (psi(c) + beta c) / (1 + beta),   psi(c) = (-1)^k T_m(c) - 2k

for the k in 0..m-1 with cos((k+1) pi/m) <= c <= cos(k pi/m); T_m is the Chebyshev polynomial
(cos m*angle).  h is continuously differentiable, so ties between two k do not matter.  Its slope
holds m U_(m-1), the polynomial of the second kind; both come from their recurrences, which have no
0/0 at orthogonal vectors.  c is clamped into [-1, 1]; a row of zeros has c = 0.

    native     `MarginLogits` in index expressions, fused behind the matrix product
    composite  the same out of the package's operators; its gradient is derived
    host       numpy, forward and backward by hand

beta is state: it is multiplied by `scale` after every training step, down to `beta_min`.  At
inference the layer is linear, needs no label and leaves beta alone.

    logits = large_margin_linear(x, label, 10, margin=4, beta=100.0, scale=0.99, name="fc")
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import AttributeValueError
from symgraph.kernel.compute import call, compute, reduce, where
from symgraph.kernel.ir import const

TINY = 1e-12
"""Lengths are kept above it, so that zeros divide to zero."""


def boundaries(margin: int) -> list[float]:
    """The cosines at which k goes up by one."""
    return [math.cos(j * math.pi / margin) for j in range(1, margin)]


# -- native ----------------------------------------------------------------------------------------


def _margin(c: Any, margin: int) -> tuple[Any, Any]:
    """(psi, its derivative) of a cosine, as index expressions."""
    one, zero = const(1.0, c.dtype), const(0.0, c.dtype)
    k, sign = zero, one
    for bound in boundaries(margin):
        below = c < bound
        k, sign = where(below, k + 1.0, k), where(below, -sign, sign)
    before, now = one, c
    before_u, now_u = zero, one
    for _ in range(margin - 1):
        before, now = now, c * now * 2.0 - before
        before_u, now_u = now_u, c * now_u * 2.0 - before_u
    return sign * now - k * 2.0, sign * now_u * float(margin)


def _terms(margin: int, z: Any, r: Any, s: Any, beta: Any) -> tuple[Any, Any]:
    """(h(c), h'(c)) for the product z of two vectors of lengths r and s."""
    const(1.0, z.dtype)
    c = _cosine(z, r, s)
    psi, slope = _margin(c, margin)
    return (psi + beta * c) / (beta + 1.0), (slope + beta) / (beta + 1.0)


def _cosine(z: Any, r: Any, s: Any) -> Any:
    one = const(1.0, z.dtype)
    c = z / call("max", r * s, const(TINY, z.dtype))
    return call("min", call("max", c, -one), one)


@dataclass(frozen=True, slots=True)
class MarginLogits(sg.Op):
    """y[i,j] = z[i,j], but r[i] s[j] h(z[i,j] / (r[i] s[j])) where j is the label.

    Shapes: z [n, c], r [n], s [c], label [n], beta [] -> y [n, c].   Dtypes: any float; label any
    integer.
    """

    margin: int
    name = "margin_logits"
    no_gradient = ("label", "beta")

    def infer_shape(self, u: Any, z: Any, r: Any, s: Any, label: Any, beta: Any) -> tuple[Any, ...]:
        return _relate(u, z, r, s, label, beta)

    def infer_dtype(self, u: Any, z: Any, r: Any, s: Any, label: Any, beta: Any) -> tuple[Any, ...]:
        u.integer(label, "label")
        for other in (r, s, beta):
            u.same(z, other, "z, r, s and beta must have one dtype")
        return (u.floating(z),)

    def forward(self, z: Any, r: Any, s: Any, label: Any, beta: Any) -> Any:
        def element(i: Any, j: Any) -> Any:
            h, _ = _terms(self.margin, z[i, j], r[i], s[j], beta[()])
            return where(label[i].astype("int64").equal(j), r[i] * s[j] * h, z[i, j])

        return compute(z.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Any:
        return (*MarginLogitsGradient(self.margin)(grads[0], *ins), None, None)

    def reference(self, z: Any, r: Any, s: Any, label: Any, beta: Any) -> Any:
        rows = np.arange(len(z))
        lengths = r * s[label]
        h, _, _ = margin_terms(z[rows, label], lengths, self.margin, beta)
        y = z.copy()
        y[rows, label] = lengths * h
        return y


@dataclass(frozen=True, slots=True)
class MarginLogitsGradient(sg.Op):
    """The gradients of `margin_logits` in z, r and s, from that of y."""

    margin: int
    name = "margin_logits_gradient"
    outputs = ("dz", "dr", "ds")

    def infer_shape(
        self, u: Any, g: Any, z: Any, r: Any, s: Any, label: Any, beta: Any
    ) -> tuple[Any, ...]:
        _relate(u, z, r, s, label, beta)
        u.same_shape(g, z, "g must have the shape of z")
        return (z, r, s)

    def infer_dtype(
        self, u: Any, g: Any, z: Any, r: Any, s: Any, label: Any, beta: Any
    ) -> tuple[Any, ...]:
        u.same(g, z, "g must have the dtype of z")
        return (z, z, z)

    def forward(self, g: Any, z: Any, r: Any, s: Any, label: Any, beta: Any) -> Any:
        zero = const(0.0, z.dtype)

        def rest(i: Any, j: Any) -> Any:
            """h - c h': what is left of y's derivative when both lengths grow together."""
            h, slope = _terms(self.margin, z[i, j], r[i], s[j], beta[()])
            return h - _cosine(z[i, j], r[i], s[j]) * slope

        def along_z(i: Any, j: Any) -> Any:
            _, slope = _terms(self.margin, z[i, j], r[i], s[j], beta[()])
            return g[i, j] * where(label[i].astype("int64").equal(j), slope, const(1.0, z.dtype))

        def along_s(j: Any) -> Any:
            return reduce("sum", z.shape[0], lambda i: where(
                label[i].astype("int64").equal(j), g[i, j] * r[i] * rest(i, j), zero
            ))  # fmt: skip

        def along_r(i: Any) -> Any:
            return reduce("sum", z.shape[1], lambda j: where(
                label[i].astype("int64").equal(j), g[i, j] * s[j] * rest(i, j), zero
            ))  # fmt: skip

        return (
            compute(z.shape, along_z), compute(r.shape, along_r), compute(s.shape, along_s),
        )  # fmt: skip


def _relate(u: Any, z: Any, r: Any, s: Any, label: Any, beta: Any) -> tuple[Any, ...]:
    n, c = u.rank(z, 2, "z")
    u.equal(u.rank(r, 1, "r")[0], n, "r.shape[0] must equal z.shape[0]")
    u.equal(u.rank(s, 1, "s")[0], c, "s.shape[0] must equal z.shape[1]")
    u.equal(u.rank(label, 1, "label")[0], n, "label.shape[0] must equal z.shape[0]")
    u.rank(beta, 0, "beta")
    return (z,)


# -- what the three forms share --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _LargeMargin:
    """Attributes, inputs, state and the inference form of the layer.

    Shapes: x [n, d], weight [units, d], label [n], beta [] -> y [n, units], next_beta [].
    """

    units: int
    margin: int = 2
    scale: float = 1.0
    beta_min: float = 0.0
    outputs = ("output", "next_beta")
    owned = (sg.Owned("weight", sg.initializers.Xavier()),)
    state = (("beta", "next_beta"),)
    no_gradient = ("label", "beta")

    def check_attributes(self) -> None:
        if self.margin < 1 or self.units < 1:
            raise AttributeValueError(
                f"large_margin: units and margin must be at least 1, got {self.units} and "
                f"{self.margin}"
            )

    def infer_shape(self, u: Any, x: Any, weight: Any, label: Any, beta: Any) -> tuple[Any, ...]:
        (n, d), (units, depth) = u.rank(x, 2, "x"), u.rank(weight, 2, "weight")
        u.equal(units, self.units, f"weight.shape[0] must equal units {self.units}")
        u.equal(depth, d, "weight.shape[1] must equal x.shape[1]")
        u.equal(u.rank(label, 1, "label")[0], n, "label.shape[0] must equal x.shape[0]")
        u.rank(beta, 0, "beta")
        return ((n, self.units), ())

    def infer_dtype(self, u: Any, x: Any, weight: Any, label: Any, beta: Any) -> tuple[Any, ...]:
        u.integer(label, "label")
        u.same(x, weight, "x and weight must have one dtype")
        u.same(x, beta, "x and beta must have one dtype")
        return (u.floating(x), beta)

    def inference(self, ins: Any) -> Any:
        x, weight, _, beta = ins
        return sg.linear(x, self.units, weight, use_bias=False), beta

    def next_beta(self, beta: Any) -> Any:
        return sg.maximum(beta * self.scale, self.beta_min)

    def reference(self, x: Any, weight: Any, label: Any, beta: Any) -> Any:
        y = x @ weight.T
        rows, chosen = np.arange(len(x)), weight[label]
        lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(chosen, axis=1)
        h, _, _ = margin_terms(y[rows, label], lengths, self.margin, beta)
        y[rows, label] = lengths * h
        return y, np.maximum(beta * self.scale, self.beta_min).astype(beta.dtype)


def lengths(x: Any) -> Any:
    """|row| for each row, with a slope of 0 at rows of zeros."""
    return sg.sqrt(sg.maximum(sg.sum(sg.square(x), axis=1), TINY**2))


@dataclass(frozen=True, slots=True)
class LargeMarginNative(_LargeMargin, sg.CompositeOp):
    """The package's matrix product, then one native operator for the margin."""

    name = "large_margin_native"

    def forward(self, x: Any, weight: Any, label: Any, beta: Any) -> Any:
        z = sg.linear(x, self.units, weight, use_bias=False)
        y = MarginLogits(self.margin)(z, lengths(x), lengths(weight), label, beta)
        return y, self.next_beta(beta)


@dataclass(frozen=True, slots=True)
class LargeMarginComposite(_LargeMargin, sg.CompositeOp):
    """Out of the package's operators alone; nothing is said about gradients."""

    name = "large_margin_composite"

    def forward(self, x: Any, weight: Any, label: Any, beta: Any) -> Any:
        z = sg.linear(x, self.units, weight, use_bias=False)
        chosen = sg.take(weight, label, axis=0)
        both = lengths(x) * lengths(chosen)
        product = sg.sum(x * chosen, axis=1)
        c = sg.clip(product / both, min=-1.0, max=1.0)
        wanted = both * (self._psi(c) + beta * c) / (beta + 1.0)
        is_label = sg.one_hot(label, self.units, dtype="bool")
        return sg.where(is_label, sg.expand_dims(wanted, axis=1), z), self.next_beta(beta)

    def _psi(self, c: Any) -> Any:
        one, zero = sg.ones_like(c), sg.zeros_like(c)
        k, sign = zero, one
        for bound in boundaries(self.margin):
            below = c < bound
            k, sign = sg.where(below, k + 1.0, k), sg.where(below, -sign, sign)
        before, now = one, c
        for _ in range(self.margin - 1):
            before, now = now, 2.0 * c * now - before
        return sign * now - 2.0 * k


@dataclass(frozen=True, slots=True)
class LargeMarginHost(_LargeMargin, sg.HostOp):
    """numpy, called back from the compiled graph."""

    name = "large_margin_host"
    arguments = ("x", "weight", "label", "beta")

    def forward(self, is_train: bool, in_data: Any, out_data: Any) -> None:
        y, next_beta = self.reference(*in_data)
        out_data[0][...] = y if is_train else in_data[0] @ in_data[1].T
        out_data[1][...] = next_beta if is_train else in_data[3]

    def backward(self, in_data: Any, out_data: Any, in_grad: Any, out_grad: Any) -> None:
        (x, weight, label, beta), g = in_data, out_grad[0]
        rows, chosen = np.arange(len(x)), weight[label]
        r, s = np.linalg.norm(x, axis=1), np.linalg.norm(chosen, axis=1)
        product = np.einsum("nd,nd->n", x, chosen)
        h, slope, c = margin_terms(product, r * s, self.margin, beta)
        rest = g[rows, label] * (h - c * slope)
        scaled = g.copy()
        scaled[rows, label] *= slope
        in_grad[0][...] = scaled @ weight + (rest * s / np.maximum(r, TINY))[:, None] * x
        in_grad[1][...] = scaled.T @ x
        np.add.at(in_grad[1], label, (rest * r / np.maximum(s, TINY))[:, None] * chosen)


def margin_terms(product: Any, both: Any, margin: int, beta: Any) -> tuple[Any, Any, Any]:
    """numpy: (h, h', c) for products of two vectors and the products of their lengths."""
    c = np.clip(product / np.maximum(both, TINY), -1.0, 1.0)
    k = sum((c < bound).astype(c.dtype) for bound in boundaries(margin)) + np.zeros_like(c)
    sign = np.where(k % 2 == 0, 1.0, -1.0).astype(c.dtype)
    chebyshev = np.polynomial.chebyshev.Chebyshev.basis(margin)
    psi, slope = sign * chebyshev(c) - 2 * k, sign * chebyshev.deriv()(c)
    return (psi + beta * c) / (1 + beta), (slope + beta) / (1 + beta), c


FORMS: dict[str, Any] = {
    "native": LargeMarginNative,
    "composite": LargeMarginComposite,
    "host": LargeMarginHost,
}


def large_margin_linear(
    x: Any,
    label: Any,
    units: int,
    *,
    margin: int = 2,
    beta: float | sg.Symbol = 1.0,
    scale: float = 1.0,
    beta_min: float = 0.0,
    weight: sg.Symbol | None = None,
    form: str = "native",
    name: str = "large_margin",
) -> Any:
    """The logits [n, units]; a number as beta makes the state variable `{name}_beta`."""
    if not isinstance(beta, sg.Symbol):
        init = sg.initializers.Constant(float(beta))
        beta = sg.var(f"{name}_beta", (), init=init, auxiliary=True)
    op = FORMS[form](units, margin, scale, beta_min)
    return op(x, weight, label, beta, name=name)[0]
