"""What public functions say when their arguments are of another kind than their annotations.

Owns the rule that a wrong argument never ends in an error of Python's own.  Nothing is checked
before a call: only when one has failed with a raw error are its arguments held against the
annotations, and the first that does not fit is named.  So right calls cost nothing, and what a
function accepts beyond its annotations stays accepted.  An error whose arguments all fit is not
this module's, and goes on unchanged.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from types import FunctionType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import numpy as np

from ..errors import InputError, SymgraphError
from .attributes import annotated_kind, fits, spelled
from .origin import caller
from .symbol import Expression, Symbol

_SYMBOLS = (Expression, np.ndarray, np.generic, int, float, bool)
"""What is a symbol, or becomes one."""
Function = Callable[..., Any]
F = TypeVar("F", bound=Function)
_ROOMS = ("data", "models", "onnx", "testing", "train", "viz")
"""Modules whose functions are called with their name before."""
_RAW = (
    TypeError, ValueError, AttributeError, LookupError, ArithmeticError, AssertionError,
    RecursionError, NotImplementedError, MemoryError,
)  # fmt: skip
"""What Python and numpy raise of arguments that they cannot work with."""


def explain_all(names: MutableMapping[str, Any], public: Iterable[str]) -> None:
    """Replace the public functions among a module's names by ones that explain wrong arguments."""
    for name in public:
        if isinstance(names.get(name), FunctionType):
            names[name] = explained(names[name])


def explained(function: F) -> F:
    """The same function, with an InputError in place of a raw error of a wrong argument."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except SymgraphError:
            raise
        except _RAW as error:
            text = mistake(function, args, kwargs)
            if text is None:
                raise
            raise InputError(text) from error

    return call  # type: ignore[return-value]


def mistake(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """What is wrong with the arguments of a call, as far as the signature tells; None: nothing."""
    signature = inspect.signature(function)
    name, place = function.__name__, caller()
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        return f"{name}: {error} (called at {place}); it takes {_listed(signature)}"
    for key, value in bound.arguments.items():
        parameter = signature.parameters[key]
        if parameter.annotation is parameter.empty:
            continue
        kind = annotated_kind(parameter.annotation, _names_of(function))
        items = (value,)
        if parameter.kind is parameter.VAR_POSITIONAL:
            items = value
        elif parameter.kind is parameter.VAR_KEYWORD:
            items = tuple(value.values())
        for item in items:
            if item is not parameter.default and not _fits(item, kind):
                return (
                    f"{name}: {key} must be {_spelled(kind)}, got {type(item).__name__} "
                    f"{_short(item)} (called at {place}); see help({_path(function)})"
                )
    return None


def _fits(value: Any, kind: Any) -> bool:
    """As `attributes.fits`, with what only functions take: symbols, sequences, mappings, calls."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Symbol:
        return isinstance(value, _SYMBOLS)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(key, parts[0]) for key in value)
    if origin in (Sequence, Iterable):
        several = not isinstance(value, (str, bytes, Mapping)) and isinstance(value, Iterable)
        listed = isinstance(value, (list, tuple))
        return several and (not listed or all(_fits(item, parts[0]) for item in value))
    if origin is Callable:
        return callable(value)
    return fits(value, origin if isinstance(origin, type) and origin is not tuple else kind)


def _spelled(kind: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Symbol:
        return "a symbol"
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_spelled(part) for part in parts))
    if origin is Mapping:
        return "a mapping"
    if origin in (Sequence, Iterable):
        return f"several, each {_spelled(parts[0])}" if parts[0] is not Any else "a sequence"
    if origin is Callable:
        return "a function"
    return spelled(origin if isinstance(origin, type) and origin is not tuple else kind)


def _path(function: Function) -> str:
    """What `help` takes: symgraph.linear, symgraph.train.fit, Executable.bind."""
    room = function.__module__.split(".")[1:2]
    if "." in function.__qualname__:
        return function.__qualname__
    return ".".join(["symgraph", *(r for r in room if r in _ROOMS), function.__name__])


def _names_of(function: Function) -> dict[str, Any]:
    module = sys.modules.get(function.__module__)
    return {} if module is None else vars(module)


def _listed(signature: inspect.Signature) -> str:
    """The parameters without their annotations: (x, units, *, name=None)."""
    empty = inspect.Parameter.empty
    plain = [p.replace(annotation=empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


__all__ = ["explain_all", "explained", "mistake"]
