"""The operators of Python between symbols, by the names of those that they declare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .symbol import Symbol


class Arithmetic:
    """What `x + 1`, `x < y`, `-x` and the like declare."""

    __slots__ = ()

    def _binary(self, name: str, other: Any, swap: bool = False) -> Symbol:
        """The operator of this name on this and another value, or on both swapped."""
        raise NotImplementedError

    def _unary(self, name: str) -> Symbol:
        """The operator of this name on this value."""
        raise NotImplementedError

    def __add__(self, other: Any) -> Symbol:
        return self._binary("add", other)

    def __radd__(self, other: Any) -> Symbol:
        return self._binary("add", other, True)

    def __sub__(self, other: Any) -> Symbol:
        return self._binary("subtract", other)

    def __rsub__(self, other: Any) -> Symbol:
        return self._binary("subtract", other, True)

    def __mul__(self, other: Any) -> Symbol:
        return self._binary("multiply", other)

    def __rmul__(self, other: Any) -> Symbol:
        return self._binary("multiply", other, True)

    def __truediv__(self, other: Any) -> Symbol:
        return self._binary("divide", other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return self._binary("divide", other, True)

    def __floordiv__(self, other: Any) -> Symbol:
        return self._binary("floor_divide", other)

    def __rfloordiv__(self, other: Any) -> Symbol:
        return self._binary("floor_divide", other, True)

    def __mod__(self, other: Any) -> Symbol:
        return self._binary("remainder", other)

    def __rmod__(self, other: Any) -> Symbol:
        return self._binary("remainder", other, True)

    def __pow__(self, other: Any) -> Symbol:
        return self._binary("power", other)

    def __rpow__(self, other: Any) -> Symbol:
        return self._binary("power", other, True)

    def __matmul__(self, other: Any) -> Symbol:
        return self._binary("matmul", other)

    def __rmatmul__(self, other: Any) -> Symbol:
        return self._binary("matmul", other, True)

    def __lt__(self, other: Any) -> Symbol:
        return self._binary("less", other)

    def __le__(self, other: Any) -> Symbol:
        return self._binary("less_equal", other)

    def __gt__(self, other: Any) -> Symbol:
        return self._binary("greater", other)

    def __ge__(self, other: Any) -> Symbol:
        return self._binary("greater_equal", other)

    def __and__(self, other: Any) -> Symbol:
        return self._binary("bitwise_and", other)

    def __or__(self, other: Any) -> Symbol:
        return self._binary("bitwise_or", other)

    def __xor__(self, other: Any) -> Symbol:
        return self._binary("bitwise_xor", other)

    def __neg__(self) -> Symbol:
        return self._unary("negative")

    def __abs__(self) -> Symbol:
        return self._unary("abs")

    def __invert__(self) -> Symbol:
        return self._unary("bitwise_invert")
