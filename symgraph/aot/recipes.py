"""From parameters to the block of weights: the constant part of a model as a graph of its own.

Each constant of a program that keeps recipes knows how it follows from the parameters: scales
folded in, transformed, brought into another layout, packed in panels.  Together they are a graph
from the parameters to every array of the block; compiled like any other entry, it lets a program
without Python put other numbers in.

The entry is compiled for the same bits everywhere (strict), which are those of the export.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.graph import Graph, topological
from ..ir.node import Node, Value
from ..ir.op import Constant, Op
from ..ir.program import ConstantData
from ..ir.symbol import Symbol
from ..ir.tensor_type import TensorType
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.dtypes import as_dtype
from ..kernel.ir import call, const, where
from ..kernel.packing import Packing

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier

Array = np.ndarray[Any, np.dtype[Any]]


def parameters_of(recipe: Value | None) -> tuple[str, ...]:
    """The names of the parameters that a constant follows from, in order."""
    if recipe is None:
        return ()
    nodes = topological([recipe.node])
    return tuple(sorted({node.name or "" for node in nodes if node.is_variable}))


def recipe_graph(constants: Sequence[ConstantData]) -> Graph:
    """The graph from the parameters to each constant, as it lies in memory.

    Constants come from several programs; a parameter is one variable in all of them.
    """
    merged: dict[Node, Node] = {}
    variables: dict[str, Node] = {}
    return Graph([_result(data, merged, variables) for data in constants])


def _result(data: ConstantData, merged: dict[Node, Node], variables: dict[str, Node]) -> Value:
    if data.recipe is None:
        return _constant(data.array)
    value = _merged(data.recipe, merged, variables)
    if data.packing is None:
        return value
    packed: Symbol = Panels(data.packing)(Symbol(value))
    return packed.value


def _constant(array: Array) -> Value:
    return Node(Constant(array), (), (TensorType(array.shape, as_dtype(array.dtype)),))[0]


def _merged(recipe: Value, merged: dict[Node, Node], variables: dict[str, Node]) -> Value:
    """The recipe over the common variables."""
    for node in topological([recipe.node]):
        if node in merged:
            continue
        if node.is_variable:
            merged[node] = variables.setdefault(node.name or "", node)
            continue
        inputs = tuple(merged[v.node][v.index] for v in node.inputs)
        merged[node] = Node(node.op, inputs, node.types, node.name, node.origin, node.scope)
    return merged[recipe.node][recipe.index]


@dataclass(frozen=True, slots=True)
class Panels(Op):
    """x as `Packing.apply` puts it; what lies beyond the end of its last axis is zero.

    Shapes: x [*s] -> packing.shape.   Dtypes: any, kept.
    """

    packing: Packing

    name = "panels"

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        return (self.packing.shape,)

    def forward(self, x: Tensor) -> Compute:
        view, order, panel = self.packing.view, self.packing.order, self.packing.panel

        def element(outer: Any, *inner: Any) -> Any:
            places = dict(zip(order, (*inner[:-1], outer * panel + inner[-1]), strict=True))
            flat: Any = 0
            for axis, extent in enumerate(view):
                flat = flat * extent + places[axis]
            value = x[_unflattened(flat, x.shape)]
            last, end = places[order[-1]], view[order[-1]]
            if end % panel == 0:
                return value
            return where(call("lt", last, const(end, "int64")), value, 0)

        return compute(self.packing.shape, element)

    def reference(self, x: Array) -> Any:
        return self.packing.apply(x)


def _unflattened(flat: Any, shape: Sequence[Any]) -> tuple[Any, ...]:
    """The index of the element at a position in memory."""
    index: list[Any] = []
    for extent in reversed(shape):
        index.append(flat % extent)
        flat = flat // extent
    return tuple(reversed(index))
