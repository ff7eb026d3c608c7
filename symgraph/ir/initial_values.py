"""First values of parameters and state, by each variable's initialiser."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..kernel.dtypes import as_dtype
from .initializer import Constant, Initializer
from .op import Variable
from .symbol import Expression

Array = np.ndarray[Any, np.dtype[Any]]


def init(
    expression: Expression,
    seed: int = 0,
    *,
    shapes: Mapping[str, Any] | None = None,
    initializers: Mapping[str, Initializer] | None = None,
) -> dict[str, Array]:
    """Arrays for every parameter and auxiliary variable, by name.

    Each variable has a generator of its own, seeded by `seed` and its name, so that adding a layer
    does not change the others.  `initializers` overrides by name.
    Raises: ShapeError when the shape of a parameter does not follow from what is declared.
    """
    graph = expression.graph
    inference = graph.infer(shapes or {})
    chosen = dict(initializers or {})
    result: dict[str, Array] = {}
    for node in graph.variables:
        op = node.op
        assert isinstance(op, Variable)
        if op.role == "input":
            continue
        name, type = graph.names[node], inference.types[node[0]]
        if type.shape is None or not all(isinstance(d, int) for d in type.shape):
            raise ShapeError(
                f"the shape of {name} does not follow from what is declared: {type} "
                f"(declared at {node.origin}); give shapes={{input: shape}}"
            )
        initializer = chosen.pop(name, None) or op.init or Constant(0.0)
        shape = tuple(int(d) for d in type.shape if isinstance(d, int))
        values = initializer.draw(_generator(seed, name), shape)
        result[name] = values.astype(as_dtype(type.dtype).numpy, order="C")
    if chosen:
        raise ShapeError(
            f"init: no parameter is named {next(iter(chosen))!r}; they are {', '.join(result)}"
        )
    return result


def _generator(seed: int, name: str) -> np.random.Generator:
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])
