"""Evaluate two graphs on the same random inputs, to find the pass that changes the numbers.

Nodes are evaluated one by one through their operators' numpy references, so nothing here depends on
lowering or a target; an operator without a reference is evaluated by `evaluate`, which the compiler
gives.  Open extents take small distinct sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.closed import closed
from ..ir.graph import Graph
from ..ir.host import OnHost
from ..ir.node import Node, Value
from ..ir.tensor_type import TensorType
from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from ..kernel.dtypes import DType, as_dtype

Array = np.ndarray[Any, np.dtype[Any]]
EvaluateNode = Callable[[Node, Sequence[Array], Mapping[str, int]], Sequence[Array]]

SIZES = (3, 4, 5, 7, 11, 13, 17, 19, 23, 29)
"""Sizes for open extents, in the order of their names."""


def compare_graphs(
    before: Graph,
    after: Graph,
    *,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
    evaluate: EvaluateNode | None = None,
) -> str | None:
    """None when both graphs give the same outputs within rounding, else what differs.

    Graphs with random operators, and those that cannot be evaluated at small sizes, are not
    compared.
    """
    if any(not n.op.pure for g in (before, after) for n in g.nodes):
        return None
    chosen = dict(sizes or {}) or _sizes((before, after))
    if chosen is None:
        return None
    for signed in (True, False):
        inputs = _inputs((before, after), chosen, seed, signed)
        run = _Evaluation(inputs, chosen, evaluate)
        wanted, got = run.outputs(before), run.outputs(after)
        if wanted is None or got is None:
            return None
        for value, expected, actual in zip(before.results, wanted, got, strict=True):
            difference = _difference(value, expected, actual)
            if difference is not None:
                return f"{before.names[value.node]}: {difference} (seed {seed}, sizes {chosen})"
    return None


def _sizes(graphs: Sequence[Graph]) -> dict[str, int] | None:
    """A size for each open extent so that no extent in the graphs is below one."""
    extents = {
        extent
        for graph in graphs
        for node in graph.nodes
        for type in node.types
        for extent in type.shape or ()
        if not isinstance(extent, int)
    }
    names = sorted({v.name for extent in extents for v in dims.dim_vars(extent)})
    for factor in (1, 2, 4, 8, 16, 32):
        chosen = {name: factor * SIZES[n % len(SIZES)] for n, name in enumerate(names)}
        env = {DimVar(name): size for name, size in chosen.items()}
        if all(dims.evaluate(e, env) >= 1 for e in extents if dims.is_closed(e)):
            return chosen
    return None


def _inputs(
    graphs: Sequence[Graph], sizes: Mapping[str, int], seed: int, signed: bool
) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    # The later graph first: its types are the more complete.
    for graph in reversed(graphs):
        for node in graph.variables:
            name = graph.names[node]
            if name not in found:
                found[name] = _random(node.types[0], sizes, rng, signed)
    return found


def _random(
    type: TensorType, sizes: Mapping[str, int], rng: np.random.Generator, signed: bool
) -> Array:
    shape = shape_at(type, sizes)
    dtype = as_dtype(type.dtype)
    if dtype.is_bool:
        return rng.random(shape) < 0.5
    if dtype.is_integer:
        return rng.integers(0, 3, shape).astype(dtype.numpy)
    low, high = (-1.0, 1.0) if signed else (0.1, 1.0)
    return np.asarray(rng.uniform(low, high, shape)).astype(dtype.numpy)


def shape_at(type: TensorType, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The extents with every open one given."""
    env = {DimVar(name): size for name, size in sizes.items()}
    return tuple(int(dims.evaluate(d, env)) for d in type.shape or ())


@dataclass(frozen=True)
class _Evaluation:
    """The outputs of graphs on one set of inputs; None where some node cannot be evaluated."""

    inputs: Mapping[str, Array]
    sizes: Mapping[str, int]
    evaluate: EvaluateNode | None

    def outputs(self, graph: Graph) -> tuple[Array, ...] | None:
        values: dict[Value, Array] = {}
        for node in graph.nodes:
            results = self._node(graph, node, [values[v] for v in node.inputs])
            if results is None:
                return None
            for value, result in zip(node.values, results, strict=True):
                kind = value.type.dtype
                values[value] = result if kind is None else np.asarray(result, kind.numpy)
        return tuple(values[v] for v in graph.results)

    def _node(self, graph: Graph, node: Node, arrays: Sequence[Array]) -> Sequence[Array] | None:
        if node.is_variable:
            return (self.inputs[graph.names[node]],)
        env: dict[DimVar, Dim] = {DimVar(name): size for name, size in self.sizes.items()}
        with np.errstate(all="ignore"):
            if isinstance(node.op, OnHost):
                return self._host(node, node.op, arrays)
            try:
                result = closed(node.op, env).reference(*arrays)
            except NotImplementedError:
                if self.evaluate is None:
                    return None
                return self.evaluate(node, arrays, self.sizes)
        return tuple(result) if node.op.output_count > 1 else (result,)

    def _host(self, node: Node, op: OnHost, arrays: Sequence[Array]) -> Sequence[Array]:
        out = [np.zeros(shape_at(t, self.sizes), as_dtype(t.dtype).numpy) for t in node.types]
        op.call_host(arrays, out)
        return out


def _difference(value: Value, expected: Array, actual: Array) -> str | None:
    if expected.shape != actual.shape:
        return f"shape {expected.shape} became {actual.shape}"
    if expected.size == 0:
        return None
    if not np.issubdtype(expected.dtype, np.floating):
        wrong = np.asarray(expected != actual)
        return _place(wrong, expected, actual) if wrong.any() else None
    tolerance = _tolerance(as_dtype(value.type.dtype if value.type.dtype else expected.dtype))
    wide, other = expected.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(wide)
    scale = float(np.max(np.abs(wide[finite]), initial=0.0))
    with np.errstate(all="ignore"):
        close = np.abs(wide - other) <= tolerance * (np.abs(wide) + scale + 1e-30)
    # Where the result was no number before, an identity may give any.
    wrong = ~(close | (wide == other) | np.isnan(wide))
    return _place(wrong, expected, actual) if wrong.any() else None


def _tolerance(dtype: DType) -> float:
    return {8: 1e-10, 4: 2e-5, 2: 2e-2}.get(dtype.nbytes, 1e-2)


def _place(wrong: Array, expected: Array, actual: Array) -> str:
    index = tuple(int(i) for i in np.argwhere(wrong)[0]) if wrong.ndim else ()
    return (
        f"{int(wrong.sum())} of {wrong.size} elements differ, first at {list(index)}: "
        f"{expected[index]} became {actual[index]}"
    )
