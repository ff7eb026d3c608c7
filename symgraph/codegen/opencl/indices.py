"""Integer expressions as OpenCL C.

Memory offsets are computed in `index_t`, which the loader makes `int` when every buffer of a call
is small enough and `long` otherwise; an index used as a value is always a `long`.
"""

from __future__ import annotations

from collections.abc import Callable

from ...kernel import dims
from ...kernel.dims import Atom, Dim, DimVar, LoopVar, Ranges, Sum
from ...kernel.ir import DataIndex


class IndexText:
    """Spells dims; `name` gives the C name of a variable, `data` of a data-dependent index."""

    def __init__(
        self,
        name: Callable[[LoopVar | DimVar], str],
        data: Callable[[DataIndex], str],
        ranges: Ranges,
    ) -> None:
        self._name = name
        self._data = data
        self._ranges = ranges

    def __call__(self, dim: Dim, wide: bool = False) -> str:
        """The text of a dim, in parentheses where needed; `wide` computes in `long`."""
        if isinstance(dim, int):
            return _literal(dim, wide)
        if isinstance(dim, Sum):
            return self._sum(dim, wide)
        assert isinstance(dim, Atom)
        return self._atom(dim, wide)

    def _sum(self, dim: Sum, wide: bool) -> str:
        text = ""
        for monomial, coefficient in dim.terms:
            factors = [self._atom(atom, wide) for atom in monomial]
            if abs(coefficient) != 1:
                factors.append(_literal(abs(coefficient), wide))
            piece = " * ".join(factors)
            sign = " - " if coefficient < 0 else " + "
            text += (sign if text else "-" if coefficient < 0 else "") + piece
        if dim.constant:
            sign = " - " if dim.constant < 0 else " + "
            text += sign + _literal(abs(dim.constant), wide)
        return f"({text})"

    def _atom(self, atom: Atom, wide: bool) -> str:
        match atom:
            case LoopVar() | DimVar():
                return f"(long){self._name(atom)}" if wide else self._name(atom)
            case DataIndex():
                return f"(long){self._data(atom)}" if wide else self._data(atom)
            case dims.FloorDiv(a=a, b=b):
                return self._division("/", "floor_div", a, b, wide)
            case dims.Mod(a=a, b=b):
                return self._division("%", "floor_mod", a, b, wide)
            case dims.Minimum(a=a, b=b):
                return self._extremum("min", a, b, wide)
            case dims.Maximum(a=a, b=b):
                return self._extremum("max", a, b, wide)
            case _:
                raise AssertionError(atom)

    def _division(self, operator: str, function: str, a: Dim, b: Dim, wide: bool) -> str:
        """C rounds towards zero, which is the same unless an operand may be negative."""
        low_a, _ = dims.bounds(a, self._ranges)
        low_b, _ = dims.bounds(b, self._ranges)
        left, right = self(a, wide), self(b, wide)
        if low_a is not None and low_a >= 0 and low_b is not None and low_b >= 0:
            return f"({left} {operator} {right})"
        return f"{function}_{'long' if wide else 'index'}({left}, {right})"

    def _extremum(self, function: str, a: Dim, b: Dim, wide: bool) -> str:
        kind = "long" if wide else "index_t"
        return f"{function}(({kind}){self(a, wide)}, ({kind}){self(b, wide)})"


def _literal(value: int, wide: bool) -> str:
    text = f"{abs(value)}L" if wide else str(abs(value))
    return f"(-{text})" if value < 0 else text


def is_inside(dim: Dim, extent: Dim, ranges: Ranges, extents: dict[LoopVar, Dim]) -> bool:
    """True when the intervals of the loops prove 0 <= dim < extent."""
    if isinstance(dim, LoopVar) and extents.get(dim) == extent:
        return True
    if isinstance(dim, DataIndex) and dim.extent == extent:
        return True
    low, _ = dims.bounds(dim, ranges)
    gap, _ = dims.bounds(dims.add(dims.add(extent, -1), dims.mul(dim, -1)), ranges)
    return low is not None and low >= 0 and gap is not None and gap >= 0
