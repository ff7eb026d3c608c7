"""`vector` loops over registers as OpenCL vectors, where each lane does the same simple thing.

Other bodies stay loops of scalars, which is always right.
"""

from __future__ import annotations

from collections.abc import Callable

from ...kernel import dims
from ...kernel.dims import Dim
from ...kernel.ir import Buffer, Call, Const, Expr, For, Load, Store, Update

_INFIX = {"add": "+", "sub": "-", "mul": "*"}
_TYPES = {"float32": "float", "float64": "double"}
MAX_BYTES = 32
"""Wider vectors crash some CPU drivers, and the process with them."""


class VectorText:
    """The statement of one step of a vector loop.

    `pointer` gives the name of a buffer that is a plain array, or None; `dim` the text of an
    offset; `scalar` the text of a value that is the same in every lane.
    """

    def __init__(
        self,
        loop: For,
        pointer: Callable[[Buffer], str | None],
        dim: Callable[[Dim], str],
        scalar: Callable[[Expr], str],
    ) -> None:
        self.loop = loop
        self.lanes = min(loop.lanes, MAX_BYTES // _width(loop))
        self._pointer = pointer
        self._dim = dim
        self._scalar = scalar

    def statement(self) -> str | None:
        """One line that does `lanes` iterations from the loop variable on, or None."""
        stmt, extent = self.loop.body, self.loop.extent
        if self.lanes not in (2, 4, 8) or not isinstance(extent, int) or extent % self.lanes:
            return None
        if not isinstance(stmt, (Store, Update)) or stmt.buffer.dtype.name not in _TYPES:
            return None
        old = self._element(stmt.buffer, stmt.index)
        value = self._value(stmt.value)
        if isinstance(stmt, Update) and old is not None:
            value = self._updated(stmt, old)
        if old is None or value is None:
            return None
        if stmt.buffer.scope == "register":
            return f"{old} = {value};"
        target = self._address(stmt.buffer, stmt.index)
        return f"vstore{self.lanes}({value}, 0, {target});"

    def _updated(self, stmt: Update, old: str) -> str | None:
        product = stmt.value
        if stmt.function != "add":
            return None
        if isinstance(product, Call) and product.function == "mul":
            a, b = (self._value(x) for x in product.args)
            return None if a is None or b is None else f"MULTIPLY_ADD({a}, {b}, {old})"
        value = self._value(product)
        return None if value is None else f"({old} + {value})"

    def _value(self, expr: Expr) -> str | None:
        if expr.dtype.name not in _TYPES:
            return None
        if isinstance(expr, Const):
            return self._broadcast(expr)
        if isinstance(expr, Load):
            return self._load(expr)
        if isinstance(expr, Call) and expr.function in _INFIX:
            a, b = (self._value(x) for x in expr.args)
            return None if a is None or b is None else f"({a} {_INFIX[expr.function]} {b})"
        return None

    def _load(self, load: Load) -> str | None:
        if not any(self.loop.var in dims.atoms(d) for d in load.index):
            return self._broadcast(load)
        assert isinstance(load.tensor, Buffer)
        return self._element(load.tensor, load.index)

    def _broadcast(self, expr: Expr) -> str:
        return f"({_TYPES[expr.dtype.name]}{self.lanes})({self._scalar(expr)})"

    def _element(self, buffer: Buffer, index: tuple[Dim, ...]) -> str | None:
        """The lanes of a buffer, where they are neighbours in memory.

        A private array is aligned, and is read through a pointer to vectors, since a compiler
        turns that into registers and a call of vload into memory.
        """
        address = self._address(buffer, index)
        if address is None:
            return None
        if buffer.scope != "register":
            return f"vload{self.lanes}(0, {address})"
        first = dims.add(buffer.offset(index), dims.mul(self.loop.var, -1))
        if dims.exact_quotient(first, self.lanes) is None:
            return None
        return f"(*(__private {_TYPES[buffer.dtype.name]}{self.lanes} *)({address}))"

    def _address(self, buffer: Buffer, index: tuple[Dim, ...]) -> str | None:
        pointer = self._pointer(buffer)
        offset = buffer.offset(index)
        if pointer is None or dims.coefficient(offset, self.loop.var) != 1:
            return None
        return f"{pointer} + {self._dim(offset)}"


def _width(loop: For) -> int:
    """The bytes of one lane."""
    body = loop.body
    return body.buffer.dtype.nbytes if isinstance(body, (Store, Update)) else MAX_BYTES
