"""Turn variables whose arrays are given at compile time into constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..errors import DTypeError, ShapeError
from ..ir.graph import Graph
from ..ir.node import Node, Value
from ..ir.op import BoundParameter
from ..kernel import dims
from ..kernel.dtypes import as_dtype
from .manager import Fact, Pass


@dataclass(frozen=True)
class BindParameters(Pass):
    """%w: f32[3,5] = variable {role=parameter}   ->   %w: f32[3,5] = constant() {value=<...>}

    With `keep_recipes` constants remember how they follow from the variables, and no pass looks at
    their numbers: others may be put in their places later.

    Raises: ShapeError or DTypeError naming the parameter, expected and got.
    """

    arrays: Mapping[str, Any] = field(default_factory=dict)
    keep_recipes: bool = False
    name: ClassVar[str] = "bind_parameters"
    requires: ClassVar[Fact] = Fact.NAMED | Fact.TYPED
    # The variables of the graphs before and after differ, so their numbers cannot be compared.
    exact: ClassVar[bool] = False
    # What a loop reads from outside is bound outside.
    inside: ClassVar[bool] = False

    def run(self, graph: Graph) -> Graph:
        if not self.arrays:
            return graph

        def bind(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
            name = graph.names[node]
            if not node.is_variable or name not in self.arrays:
                return None
            array = checked_array(node, name, np.asarray(self.arrays[name]))
            op = BoundParameter(array, node[0] if self.keep_recipes else None)
            return Node(op, (), node.types, node.name, node.origin, node.scope,
                        node.attributes, node.serial).values  # fmt: skip

        return graph.rewrite(bind)


def checked_array(node: Node, name: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array in the variable's dtype, read-only; a copy only where it must be converted, as
    nothing changes what is given while a program is made of it.  Raises: ShapeError, DTypeError."""
    (type,) = node.types
    place = f" (declared at {node.origin})" if str(node.origin) else ""
    expected = () if type.shape is None else type.shape
    fits = len(expected) == array.ndim and all(
        not isinstance(e, int) or e == n for e, n in zip(expected, array.shape, strict=True)
    )
    if not fits:
        raise ShapeError(
            f"parameter {name}: the array given at compile time has shape {array.shape}, expected "
            f"{dims.dim_text(expected)}{place}; pass an array of that shape in params"
        )
    for axis, extent in enumerate(expected):
        if not isinstance(extent, int):
            raise ShapeError(
                f"parameter {name}: axis {axis} has the open extent {extent}{place}, so an array "
                f"cannot be bound at compile time; declare the extent as {array.shape[axis]}, or "
                f"pass the array at each call"
            )
    wanted = as_dtype(type.dtype).numpy
    if array.dtype != wanted and not np.can_cast(array.dtype, wanted, casting="same_kind"):
        raise DTypeError(
            f"parameter {name}: the array given at compile time has dtype {array.dtype}, expected "
            f"{wanted}{place}; convert it with .astype({str(wanted)!r})"
        )
    result: np.ndarray[Any, Any] = np.asarray(array, dtype=wanted, order="C").view()
    result.flags.writeable = False
    return result
