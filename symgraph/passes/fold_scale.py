"""Fold scales and shifts after a contraction into its constant weights and bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..ir.graph import Graph
from ..ir.node import Node, Value
from ..ir.op import Constant, Op, recipe_of
from ..ir.symbol import Symbol
from ..kernel.compute import Compute, Tensor, compute
from .expand import replacement, to_fixpoint
from .fold_constants import FoldConstants, evaluate
from .manager import Fact, Pass

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class FoldScale(Pass):
    """%c = conv2d(%x, %w, %b); %y = %c * %s + %t   ->   %y = conv2d(%x, %w * s, %b * s + t)

    Any operator may say that it is a scale and a shift of one input (`Op.affine`), any that it can
    take them in (`Op.absorb_affine`): this pass names neither.  Only constants are folded, and only
    where nobody else reads the value before the scale.
    """

    name: ClassVar[str] = "fold_scale"
    requires: ClassVar[Fact] = Fact.TYPED | Fact.PRIMITIVE

    def run(self, graph: Graph) -> Graph:
        # The weights taken in are constants again before the next scale of a chain is looked at.
        return to_fixpoint(self.name, graph, lambda g: FoldConstants().run(_absorbed(g)))


def _absorbed(graph: Graph) -> Graph:
    once = {v for v, uses in graph.users.items() if len(uses) == 1} - set(graph.results)

    def change(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        single = tuple(v in once for v in node.inputs)
        return replacement(node, inputs, lambda op, ins: _folded(op, ins, single, node))

    return graph.rewrite(change)


def _folded(op: Any, ins: tuple[Symbol, ...], single: tuple[bool, ...], node: Node) -> Any:
    form = op.affine(ins)
    if form is None or form.value.value not in {s.value for s in ins}:
        return None
    position = [s.value for s in ins].index(form.value.value)
    producer = form.value.value.node
    if not single[position] or form.value.value.index or form.value.type != node.types[0]:
        return None
    if not any(isinstance(v.node.op, Constant) for v in producer.inputs):
        return None
    rank = len(node.types[0].shape or ())
    found = [_along_axis(s, rank) for s in (form.scale, form.shift)]
    axes = {axis for axis in found if axis is not None}
    if len(axes) > 1 or -1 in axes:
        return None
    axis = axes.pop() if axes else None
    inner = tuple(Symbol(v) for v in producer.inputs)
    vectors = [_spread(s, axis, node) for s in (form.scale, form.shift)]
    return producer.op.absorb_affine(inner, axis, vectors[0], vectors[1])


def _along_axis(symbol: Symbol | None, rank: int) -> int | None:
    """The axis of the output along which a constant varies (None: nowhere, -1: not just one)."""
    if symbol is None:
        return None
    array = _constant(symbol)
    if array is None or array.ndim > rank:
        return -1
    wide = [n for n, extent in enumerate(array.shape) if extent != 1]
    if not wide:
        return None
    return rank - array.ndim + wide[0] if len(wide) == 1 else -1


def _constant(symbol: Symbol) -> Array | None:
    """The array of a constant, or of one step from constants (such as 1 / c)."""
    node = symbol.node
    if isinstance(node.op, Constant):
        return node.op.value
    if not node.inputs or not all(isinstance(v.node.op, Constant) for v in node.inputs):
        return None
    found = evaluate(node, [v.node.op.value for v in node.inputs])  # type: ignore[attr-defined]
    if found is None:
        return None
    # What other numbers may be put in the place of has one form for all of them.
    is_open = any(recipe_of(v.node) is not None for v in node.inputs)
    if not is_open and not np.isfinite(found[symbol.value.index]).all():
        return None
    return found[symbol.value.index]


@dataclass(frozen=True, slots=True)
class AlongAxis(Op):
    """The elements of x, of which at most one axis is longer than 1, as a vector; or the only one.

    Shapes: x [1,...,n,...,1] -> [extent]; extent is n, or any where n is 1; None gives [].
    Dtypes: any, kept.
    """

    extent: int | None

    name = "along_axis"
    folded_growth = 1 << 20

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        return (() if self.extent is None else (self.extent,),)

    def forward(self, x: Tensor) -> Compute:
        if self.extent is None:
            return compute((), lambda: x[(0,) * len(x.shape)])
        return compute((self.extent,), lambda i: x[tuple(0 if n == 1 else i for n in x.shape)])

    def reference(self, x: Array) -> Any:
        flat = np.asarray(x).reshape(-1)
        return flat[0] if self.extent is None else np.broadcast_to(flat, (self.extent,))


def _spread(symbol: Symbol | None, axis: int | None, node: Node) -> Symbol | None:
    """The constant as a vector along the axis, or one number where there is no axis."""
    if symbol is None:
        return None
    shape = node.types[0].shape
    extent = None if axis is None or shape is None else shape[axis]
    assert extent is None or isinstance(extent, int), "a constant along this axis has a fixed one"
    return AlongAxis(extent)(symbol)  # type: ignore[no-any-return]
