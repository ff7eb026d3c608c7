"""Integer expressions of named extents read back from their text: what `str(dim)` writes."""

from __future__ import annotations

import ast
from collections.abc import Callable

from ..errors import FormatError
from ..kernel import dims
from ..kernel.dims import Dim, DimVar

_OPERATORS: dict[type[ast.operator], Callable[[Dim, Dim], Dim]] = {
    ast.Add: dims.add,
    ast.Sub: lambda a, b: dims.add(a, dims.mul(b, -1)),
    ast.Mult: dims.mul,
    ast.FloorDiv: dims.floordiv,
    ast.Mod: dims.mod,
}
_FUNCTIONS = {"min": dims.minimum, "max": dims.maximum}


def encode_dim(dim: Dim) -> int | str:
    """A number where it is one, else text."""
    return dim if isinstance(dim, int) else str(dim)


def decode_dim(value: object) -> Dim:
    """The expression of `encode_dim`.  Raises: FormatError for what is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        assert isinstance(value, str)
        return _dim(ast.parse(value, mode="eval").body)
    except (SyntaxError, AssertionError, ZeroDivisionError, RecursionError):
        raise FormatError(f"damaged description: {value!r} is no integer expression") from None


def _dim(node: ast.expr) -> Dim:
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id=name):
            return DimVar(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return dims.mul(_dim(operand), -1)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_dim(left), _dim(right))
        case ast.Call(func=ast.Name(id=name), args=[a, b]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](_dim(a), _dim(b))
    raise AssertionError
