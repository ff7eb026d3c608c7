"""Evaluate at compile time what depends on constants only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..ir.graph import Graph
from ..ir.node import Node, Value
from ..ir.op import BoundParameter, Constant, recipe_of
from ..ir.tensor_type import TensorType
from ..kernel.dtypes import as_dtype
from .manager import Fact, Pass

SMALL_BYTES = 4096
"""Results up to this size are always kept as constants."""


@dataclass(frozen=True)
class FoldConstants(Pass):
    """%c = multiply(%w, %s), both constant   ->   %c = constant()

    The operator's own numpy reference does the work; where it has none, or it fails, the node
    stays.  What merely repeats its input (a broadcast, zeros) stays too when it is large: the
    operator says what is too large (`Op.folded_growth`).
    """

    name: ClassVar[str] = "fold_constants"
    requires: ClassVar[Fact] = Fact.TYPED

    def run(self, graph: Graph) -> Graph:
        return graph.rewrite(_fold)


def _fold(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
    if not _is_foldable(node, inputs):
        return None
    arrays = [v.node.op.value for v in inputs if isinstance(v.node.op, Constant)]
    results = evaluate(node, arrays)
    if results is None:
        return None
    is_bound = any(isinstance(v.node.op, BoundParameter) for v in inputs)
    recipes = _recipes(node, inputs)
    values = []
    for type, result, recipe in zip(node.types, results, recipes, strict=True):
        op = BoundParameter(result, recipe) if is_bound else Constant(result)
        name = node.name if len(results) == 1 else None
        more = {"serial": node.serial} if len(results) == 1 else {}
        values.append(Node(op, (), (type,), name, node.origin, node.scope, node.attributes,
                           **more)[0])  # fmt: skip
    return values


def _recipes(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value | None]:
    """How each output follows from bound variables; None where nothing does."""
    known = [recipe_of(value.node) for value in inputs]
    if all(recipe is None for recipe in known):
        return [None] * len(node.types)
    ins = tuple(v if r is None else r for v, r in zip(inputs, known, strict=True))
    return Node(node.op, ins, node.types, node.name, node.origin, node.scope).values


def _is_foldable(node: Node, inputs: tuple[Value, ...]) -> bool:
    op = node.op
    if op.is_variable or isinstance(op, Constant) or op.is_host or op.state or not op.pure:
        return False
    if not all(isinstance(v.node.op, Constant) for v in inputs):
        return False
    size = _nbytes(node.types)
    given = _nbytes([v.type for v in inputs])
    return (
        size is not None
        and given is not None
        and size <= max(SMALL_BYTES, op.folded_growth * given)
    )


def _nbytes(types: Sequence[TensorType]) -> int | None:
    """The bytes of all values together; None where an extent is open."""
    total = 0
    for type in types:
        if not type.is_complete or not isinstance(type.nbytes, int):
            return None
        total += type.nbytes
    return total


def _plain(item: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """An array of its own, or a view of one that is no larger: weights are copied when they must.

    Nothing writes to the arrays of constants, so those of operators that only reshape are shared.
    """
    array = np.asarray(item, dtype=dtype, order="C")
    base = array.base
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    whole = base is None or (isinstance(base, np.ndarray) and base.nbytes == array.nbytes)
    return array.view() if whole else np.array(array)


def evaluate(node: Node, arrays: Sequence[Any]) -> tuple[np.ndarray[Any, Any], ...] | None:
    """The arrays that a node's reference gives, read-only and of its types; None when it fails.

    A reference may fail on input that no call would ever reach it with, so no failure is an error
    here: the node is left for run time.
    """
    try:
        with np.errstate(all="ignore"):
            result = node.op.reference(*arrays)
    except Exception:
        return None
    several = node.op.output_count > 1
    items = tuple(result) if several else (result,)
    if len(items) != node.op.output_count:
        return None
    found = []
    for type, item in zip(node.types, items, strict=True):
        array = _plain(item, as_dtype(type.dtype).numpy)
        if array.shape != type.shape:
            return None
        array.flags.writeable = False
        found.append(array)
    return tuple(found)
