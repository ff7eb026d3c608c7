"""Functions of symbols as methods of symbols: `x.sum(axis=1)` is `sum(x, axis=1)`.

    attach_methods([sum, reshape])

Owns the rule alone; which functions become methods is said where they are gathered.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from .symbol import Symbol

Function = Callable[..., Any]

_SPREAD = frozenset({"shape", "axes"})
"""As in numpy, these may be given one by one: x.reshape(2, -1), x.transpose(1, 0)."""


def attach_methods(functions: Iterable[Function]) -> tuple[str, ...]:
    """Make methods of those functions whose first parameter is a symbol; returns their names.

    Raises: AttributeError when a symbol has an attribute of that name already.
    """
    names: list[str] = []
    for function in functions:
        name = function.__name__
        parameters = tuple(inspect.signature(function).parameters.values())
        if not parameters or not _is_symbol(parameters[0].annotation):
            continue
        known = getattr(Symbol, name, None)
        if known is not None and getattr(known, "__wrapped__", None) is not function:
            raise AttributeError(f"a symbol has an attribute {name!r} already")
        setattr(Symbol, name, _method(function, parameters))
        names.append(name)
    return tuple(names)


def _is_symbol(annotation: Any) -> bool:
    return annotation is Symbol or str(annotation).split(".")[-1] == "Symbol"


def _method(function: Function, parameters: tuple[inspect.Parameter, ...]) -> Function:
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    positional = [p for p in parameters[1:] if p.kind is not keyword_only]
    spread = len(positional) == 1 and positional[0].name in _SPREAD

    @functools.wraps(function)
    def method(self: Symbol, *args: Any, **kwargs: Any) -> Any:
        if spread and len(args) > 1:
            args = (args,)
        return function(self, *args, **kwargs)

    return method
