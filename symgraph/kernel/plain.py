"""Plain functions: written in a small part of Python, so that a target may run them as native code.

Owns the vocabulary. A plain function computes with integers below 2**63, floats and truth values;
its parameters are those, the arrays below, and records (subclasses of `NamedTuple` of them). Its
body assigns to names and to elements, and uses `if`, `while`, `for ... in range(...)`, `return`,
arithmetic, comparisons, `min`, `max`, `abs`, `math.sqrt` and other plain functions. Everything it
touches is given to it, and no two of its arrays may overlap. So it means the same wherever it runs,
to the last bit.

An engine turns such functions into something that can be called. `interpreted` is the ground truth;
`codegen.llvm.plain_functions` makes machine code of the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
SmallInts = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

PlainFunction = Callable[..., Any]
DTYPES = {"Ints": np.int64, "SmallInts": np.int32, "Floats": np.float64}


class Engine(Protocol):
    """Makes a plain function callable with numpy arrays for its arrays, written in place.

    `helpers` are the plain functions that it, or they, may call.
    """

    def __call__(
        self, entry: PlainFunction, helpers: Sequence[PlainFunction]
    ) -> Callable[..., int]: ...


def interpreted(entry: PlainFunction, helpers: Sequence[PlainFunction]) -> Callable[..., int]:
    """The functions as Python runs them, on lists, whose elements Python reads fastest."""

    def call(*arguments: Any) -> int:
        copies: list[tuple[np.ndarray[Any, Any], list[Any]]] = []
        result = entry(*(_listed(a, copies) for a in arguments))
        for array, values in copies:
            array[:] = values
        return int(result)

    return call


def _listed(argument: Any, copies: list[tuple[np.ndarray[Any, Any], list[Any]]]) -> Any:
    if isinstance(argument, np.ndarray):
        copies.append((argument, argument.tolist()))
        return copies[-1][1]
    if isinstance(argument, tuple):
        return type(argument)(*(_listed(field, copies) for field in argument))
    return argument


def flattened(arguments: Sequence[Any]) -> list[Any]:
    """The arguments with records taken apart, in the order of their fields."""
    flat: list[Any] = []
    for argument in arguments:
        flat += flattened(argument) if isinstance(argument, tuple) else [argument]
    return flat
