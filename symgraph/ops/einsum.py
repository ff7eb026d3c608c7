"""Einstein summation: one general contraction, closed under differentiation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol
from ..kernel.compute import Compute, Tensor, all_of, compute, reduce
from ..kernel.dims import Dim
from ..kernel.ir import Expr, call, where
from .base import Array, Gradients, make, specified_by

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def parse(equation: str) -> tuple[tuple[str, ...], str]:
    """(subscripts of each operand, of the output) of an equation such as "bij,bjk->bik".

    Without "->" the output has every label that occurs once, in alphabetical order, after the
    broadcast axes.   Raises: AttributeValueError.
    """
    if not isinstance(equation, str):
        raise AttributeValueError(f'einsum: give an equation such as "ij,jk->ik", got {equation!r}')
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    operands = tuple(left.split(","))
    for part in (*operands, right):
        plain = part.replace("...", "", 1)
        if any(c not in LETTERS for c in plain):
            raise AttributeValueError(
                f"einsum: subscripts are letters and one '...', got {part!r} in {equation!r}"
            )
    if not arrow:
        labels = left.replace(",", "").replace("...", "")
        once = sorted(c for c in set(labels) if labels.count(c) == 1)
        right = ("..." if "..." in left else "") + "".join(once)
    for label in right.replace("...", ""):
        if label not in left:
            raise AttributeValueError(
                f"einsum: output label {label!r} is in no operand: {equation!r}"
            )
        if right.count(label) > 1:
            raise AttributeValueError(f"einsum: output label {label!r} occurs twice: {equation!r}")
    if "..." in left and "..." not in right:
        raise AttributeValueError(f"einsum: the output must keep '...': {equation!r}")
    return operands, right


Labels = tuple[Any, ...]
"""One label for each axis: a letter, or a negative number for an axis of "..." from the end."""


def _labels(subscript: str, rank: int) -> Labels:
    if "..." not in subscript:
        return tuple(subscript)
    front, _, back = subscript.partition("...")
    count = rank - len(front) - len(back)
    return (*front, *range(-count, 0), *back)


def _plan(
    equation: str, shapes: Sequence[Sequence[Dim]]
) -> tuple[list[Labels], Labels, dict[Any, Dim]]:
    """Labels of each operand and of the output, and the extent of each label."""
    subscripts, output = parse(equation)
    operands = [_labels(s, len(shape)) for s, shape in zip(subscripts, shapes, strict=True)]
    extents: dict[Any, Dim] = {}
    for labels, shape in zip(operands, shapes, strict=True):
        for label, extent in zip(labels, shape, strict=True):
            if extents.get(label, 1) == 1:
                extents[label] = extent
    spread = max((-n for labels in operands for n in labels if isinstance(n, int)), default=0)
    result = _labels(output, len(output.replace("...", "")) + spread)
    return operands, result, extents


def _common(u: Unifier, label: Any, extents: list[tuple[Dim, str]]) -> Dim:
    """The extent of one label: axes of "..." broadcast, those of a letter are equal."""
    if isinstance(label, int):
        return u.broadcast_axis(extents, label, "axes of '...' must broadcast")
    first, there = extents[0]
    for extent, here in extents[1:]:
        u.equal(first, extent, f"label {label!r}: {there} must equal {here}")
    return u.resolve(first)


def _load(x: Tensor, labels: Labels, at: dict[Any, Any]) -> Expr:
    return x[
        tuple(
            0 if extent == 1 else at[label] for label, extent in zip(labels, x.shape, strict=True)
        )
    ]


def _times(factors: Sequence[Expr]) -> Expr:
    result = factors[0]
    for factor in factors[1:]:
        result = result * factor
    return result


def _operand_samples(cls: Any, **more: Any) -> list[Sample]:
    cases: list[tuple[str, tuple[Any, ...], str]] = [
        ("bij,bjk->bik", ((2, 3, 5), (2, 5, 7)), "float32"),
        ("ij,kj->ik", ((17, 33), (5, 33)), "float32"),
        ("...ij,jk->...ik", ((2, 3, 5, 7), (7, 4)), "float32"),
        ("i,j->ij", ((3,), (5,)), "float64"),
        ("ij,j", ((3, 5), (5,)), "float32"),
        ("ii->i", ((5, 5),), "float64"),
        ("ii", ((3, 3),), "float32"),
        ("ijk->ki", ((2, 3, 5),), "float32"),
        ("ij,i,j->", ((3, 5), (3,), (5,)), "float64"),
        ("...i,...i->...", ((2, 1, 5), (3, 5)), "float32"),
        (",i->i", ((), (3,)), "float32"),
        ("ij,jk->ik", ((3, 0), (0, 5)), "float32"),
        ("ij,jk->ik", ((0, 3), (3, 1)), "float32"),
    ]
    return [Sample(cls(e), s, dtype=t, **more) for e, s, t in cases]


@register
@dataclass(frozen=True, slots=True)
class Einsum(Op):
    """y[output] = the sum over all labels that the output lacks of the product of the operands.

    `equation` as numpy's: letters, one "..." for axes that broadcast, a repeated letter for a
    diagonal.   Shapes: equal extents for equal letters.   Dtypes: any number, the same for all.
    Raises: AttributeValueError for a malformed equation.
    """

    equation: str
    name = "einsum"
    samples = Samples(
        lambda cls: (
            *(s if 0 not in s.inputs[-1] else Sample(s.op, s.inputs, gradient=False)
              for s in _operand_samples(cls)),
            Sample(cls("ij,jk->ik"), ((3, 5), (5, 7)), dtype="int32", low=-9, high=9,
                   gradient=False),
        )
    )  # fmt: skip

    def check_attributes(self) -> None:
        parse(self.equation)

    def infer_shape(self, u: Unifier, *x: ShapeView) -> tuple[Any, ...]:
        subscripts, _ = parse(self.equation)
        u.require(len(subscripts) == len(x),
                  f"{self.equation!r} has {len(subscripts)} operands, got {len(x)}")  # fmt: skip
        for number, (subscript, view) in enumerate(zip(subscripts, x, strict=True)):
            if "..." in subscript:
                u.at_least(view, len(subscript) - 3, f"x{number}")
            else:
                u.rank(view, len(subscript), f"x{number}")
        operands, result, _ = _plan(self.equation, [v.dims for v in x])
        extents: dict[Any, list[tuple[Dim, str]]] = {}
        for number, (labels, view) in enumerate(zip(operands, x, strict=True)):
            for axis, label in enumerate(labels):
                here = (view[axis], f"x{number}.shape[{axis}]")
                extents.setdefault(label, []).append(here)
        common = {label: _common(u, label, extents[label]) for label in extents}
        return (tuple(common[label] for label in result),)

    def infer_dtype(self, u: Unifier, *x: DTypeView) -> tuple[Any, ...]:
        for other in x[1:]:
            u.same(x[0], other, "all operands must have one dtype")
        return (u.number(x[0]),)

    def forward(self, *x: Tensor) -> Compute:
        operands, result, extents = _plan(self.equation, [t.shape for t in x])
        summed = [label for label in extents if label not in result]

        def element(*i: Any) -> Any:
            def term(*r: Any) -> Expr:
                at = {**dict(zip(result, i, strict=True)), **dict(zip(summed, r, strict=True))}
                return _times([_load(t, n, at) for t, n in zip(x, operands, strict=True)])

            return reduce("sum", [extents[label] for label in summed], term)

        return compute([extents[label] for label in result], element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return [
            make("einsum_gradient", grads[0], *ins, equation=self.equation, position=n)
            for n in range(len(ins))
        ]

    def reference(self, *x: Array) -> Any:
        return np.asarray(np.einsum(self.equation, *x))


@register
@dataclass(frozen=True, slots=True)
class EinsumGradient(Op):
    """y = the gradient of einsum for operand `position`, when x is that of its output.

    It is linear in x and in every other operand; of operand `position` only the shape is read.
    Shapes: x as einsum's output -> y as operand `position`.   Dtypes: any number, the same for all.
    """

    equation: str
    position: int
    name = "einsum_gradient"
    samples = Samples(
        lambda cls: [
            Sample(cls(_equation(s), p),
                   (_result_shape(s), *s.inputs),
                   dtype=s.dtype, gradient=False)
            for s in _operand_samples(Einsum)
            for p in range(len(s.inputs))
        ]
    )  # fmt: skip

    def infer_shape(self, u: Unifier, x: ShapeView, *operands: ShapeView) -> tuple[Any, ...]:
        return (operands[self.position],)

    def infer_dtype(self, u: Unifier, x: DTypeView, *operands: DTypeView) -> tuple[Any, ...]:
        for other in operands:
            u.same(x, other, "all operands must have one dtype")
        return (u.number(x),)

    def forward(self, x: Tensor, *operands: Tensor) -> Compute:
        labels, result, extents = _plan(self.equation, [t.shape for t in operands])
        own = labels[self.position]
        target = operands[self.position]
        # A label of extent 1 here that is broadcast elsewhere is summed, like one it lacks.
        kept = [n for n, d in zip(own, target.shape, strict=True) if d == extents[n]]
        summed = [n for n in extents if n not in kept]
        others = [n for n in range(len(operands)) if n != self.position]

        def element(*i: Any) -> Any:
            at: dict[Any, Any] = {}
            same = []
            for label, place, extent in zip(own, i, target.shape, strict=True):
                if extent != extents[label]:
                    continue
                if label in at:
                    same.append(call("eq", at[label], place))
                at[label] = place

            def term(*r: Any) -> Expr:
                everywhere = {**at, **dict(zip(summed, r, strict=True))}
                factors = [_load(operands[n], labels[n], everywhere) for n in others]
                return _times([_load(x, result, everywhere), *factors])

            value = reduce("sum", [extents[n] for n in summed], term)
            return where(all_of(*same), value, 0) if same else value

        return compute(target.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), x, operands = grads, ins[0], list(ins[1:])
        moved = [g if n == self.position else v for n, v in enumerate(operands)]
        result: list[Symbol | None] = [Einsum(self.equation)(*moved)]
        for n in range(len(operands)):
            own = n == self.position
            result.append(None if own else EinsumGradient(self.equation, n)(x, *moved))
        return result

    def reference(self, x: Array, *operands: Array) -> Any:
        """By linearity: the derivative along each unit vector of the operand."""
        shape = operands[self.position].shape
        result = np.zeros(shape, np.float64)
        wide = [v.astype(np.float64) for v in operands]
        for place in np.ndindex(*shape):
            unit = np.zeros(shape)
            unit[place] = 1.0
            wide[self.position] = unit
            result[place] = np.sum(np.einsum(self.equation, *wide) * x)
        return result.astype(x.dtype)


def _equation(sample: Sample) -> str:
    assert isinstance(sample.op, Einsum)
    return sample.op.equation


def _result_shape(sample: Sample) -> tuple[int, ...]:
    arrays = [np.zeros(shape) for shape in sample.inputs]
    return tuple(np.einsum(_equation(sample), *arrays).shape)


@specified_by(Einsum)
def einsum(equation: str, *operands: Symbol, name: str | None = None) -> Symbol:
    """Einstein summation.

    More than two operands are contracted in pairs from the left, each pair keeping the labels that
    are still needed, so that the work is that of the greatest pair and not of all labels together.
    """
    subscripts, output = parse(equation)
    values = list(operands)
    if len(values) != len(subscripts):
        raise AttributeValueError(
            f"einsum: {equation!r} has {len(subscripts)} operands, got {len(values)}"
        )
    parts = list(subscripts)
    while len(values) > 2:
        later = "".join((*parts[2:], output))
        kept = dict.fromkeys(c for c in (parts[0] + parts[1]).replace("...", "") if c in later)
        spread = "..." if "..." in parts[0] + parts[1] else ""
        merged = spread + "".join(kept)
        values[:2] = [Einsum(f"{parts[0]},{parts[1]}->{merged}")(values[0], values[1])]
        parts[:2] = [merged]
    return Einsum(f"{','.join(parts)}->{output}")(*values, name=name)  # type: ignore[no-any-return]


__all__ = ["einsum"]
