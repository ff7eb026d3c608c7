"""What operators state about the shapes and dtypes of their inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ..errors import DTypeError
from ..kernel import dims
from ..kernel.dims import Dim, Unknown
from ..kernel.dtypes import DType, bool_
from .cells import DTypeView, ShapeView
from .equations import Equation, Equations
from .node import Node
from .tensor_type import Shape, TensorType

_Cell = TypeVar("_Cell")


@dataclass
class Relations(Equations):
    """Relations of the current node: each works in every direction, and fails with its place."""

    def rank(self, shape: ShapeView, rank: int, what: str = "x") -> tuple[Dim, ...]:
        """The extents of a shape that must have `rank` axes."""
        root = shape.root()
        if root._dims is None:
            root._dims = tuple(self.fresh((id(root), i)) for i in range(rank))
            self.version += 1
        if len(root._dims) != rank:
            self.fail(f"{what} must have {rank} axes: {rank} != {len(root._dims)}")
        return shape.dims

    def output(self, index: int = 0) -> ShapeView:
        """The shape of an output, as far as its users tell."""
        return self.shape(self._current()[index])

    def at_least(self, shape: ShapeView, rank: int, what: str = "x") -> tuple[Dim, ...]:
        """The extents of a shape that must have `rank` axes or more."""
        if len(shape) < rank:
            self.fail(f"{what} must have at least {rank} axes, got {len(shape)}")
        return shape.dims

    def axis(self, axis: int, rank: int, what: str = "axis") -> int:
        """A non-negative axis number."""
        if not -rank <= axis < rank:
            self.fail(f"{what} must be in [{-rank}, {rank}), got {axis}")
        return axis % rank

    def equal(self, a: Dim, b: Dim, why: str) -> None:
        """Two extents must be equal; works in any direction."""
        left, right = self.resolve(a), self.resolve(b)
        if left == right:
            return
        outcome = self._solve(left, right)
        if outcome is None:
            self._keep(Equation(left, right, why, self._current()))
        elif not outcome:
            self.fail(f"{why}: {left} != {right}", why, left, right)

    def same_shape(self, a: ShapeView, b: ShapeView, why: str) -> None:
        """Two shapes must be equal, whatever is known of either."""
        x, y = a.root(), b.root()
        if x is y:
            return
        if x._dims is None or y._dims is None:
            source, target = (x, y) if x._dims is None else (y, x)
            source._parent = target
            self.version += 1
            return
        if len(x._dims) != len(y._dims):
            self.fail(f"{why}: {dims.dim_text(a.dims)} != {dims.dim_text(b.dims)}")
        for axis, (left, right) in enumerate(zip(x._dims, y._dims, strict=True)):
            self.equal(left, right, f"{why}, axis {axis}")

    def broadcast(self, *shapes: ShapeView, why: str = "shapes must broadcast") -> tuple[Dim, ...]:
        """The common shape by numpy's rules."""
        views = [(s.dims, self._argument_of(s)) for s in shapes]
        rank = max(len(v) for v, _ in views)
        result: list[Dim] = []
        for axis in range(rank):
            back = axis - rank
            here = [(v[back], f"{name}.shape[{back}]") for v, name in views if back >= -len(v)]
            result.append(self.broadcast_axis(here, back, why))
        return tuple(result)

    def _argument_of(self, view: ShapeView) -> str:
        """The name of the input whose shape this is, for messages; empty when it is none."""
        node = self._current()
        names = node.op.argument_names(len(node.inputs))
        for value, name in zip(node.inputs, names, strict=True):
            if value in self.shapes and self.shapes[value] is view:
                return name
        return ""

    def broadcast_axis(self, extents: list[tuple[Dim, str]], axis: int, why: str) -> Dim:
        """The common extent by numpy's rules of some, each with what it is called."""
        current: Dim = 1
        source = ""
        for extent, name in extents:
            extent = self.resolve(extent)
            if extent == current or extent == 1:
                continue
            if current == 1:
                current, source = extent, name
            elif not dims.is_closed(extent):
                current = current if isinstance(current, int) else self.fresh((axis, "broadcast"))
            elif not dims.is_closed(current):
                known = isinstance(extent, int)
                current, source = extent if known else self.fresh((axis, "broadcast")), name
            else:
                named = not (name.startswith(".") or source.startswith("."))
                rule = f"{source} must equal {name} or one be 1" if named else f"axis {axis}"
                self.equal(current, extent, f"{why}: {rule}")
                current = self.resolve(current)
        return current

    def require(self, condition: bool, message: str) -> None:
        """A condition on what is known."""
        if not condition:
            self.fail(message)

    def positive(self, dim: Dim, what: str) -> Dim:
        """An extent that must be at least 1; checked at each call where it stays open."""
        value = self.resolve(dim)
        if isinstance(value, int) and value < 1:
            self.fail(f"{what} must be at least 1, got {value}")
        if not isinstance(value, int) and dims.is_closed(value):
            low, _ = dims.bounds(value)
            if low is None or low < 1:
                self.least.setdefault((self._current(), value), what)
        return value

    def fresh(self, tag: Any) -> Dim:
        """An unknown extent of this node, the same at every visit."""
        key = (id(self.node), tag)
        if key not in self._fresh:
            self._fresh[key] = Unknown("?")
        return self.resolve(self._fresh[key])

    def unknown_shape(self, tag: Any) -> ShapeView:
        return self._cell(("shape", tag), lambda: ShapeView(self, None))

    def unknown_dtype(self, tag: Any) -> DTypeView:
        return self._cell(("dtype", tag), lambda: DTypeView(None))

    def declared_shape(self, type: TensorType) -> ShapeView:
        shape = self.overrides.get(self._current(), type.shape)
        return self._cell("declared shape", lambda: ShapeView(self, shape))

    def override(self, node: Node, shape: Shape) -> None:
        """The shape of a variable in place of the declared one."""
        self.overrides[node] = shape
        self.shapes[node[0]] = ShapeView(self, shape)

    def declared_dtype(self, type: TensorType) -> DTypeView:
        return self._cell("declared dtype", lambda: DTypeView(type.dtype))

    def _cell(self, tag: Any, make: Callable[[], _Cell]) -> _Cell:
        key = (id(self.node), tag)
        if key not in self._fresh:
            self._fresh[key] = make()
        cell: _Cell = self._fresh[key]
        return cell

    def same(self, a: DTypeView, b: DTypeView | DType, why: str) -> None:
        """Two dtypes must be the same."""
        x = a.root()
        y = b.root() if isinstance(b, DTypeView) else DTypeView(b)
        if x is y:
            return
        if x._dtype is not None and y._dtype is not None:
            if x._dtype != y._dtype:
                self._fail(DTypeError, f"{why}: {x._dtype} != {y._dtype}; convert with sg.cast")
            return
        source, target = (x, y) if x._dtype is None else (y, x)
        source._parent = target
        self.version += 1

    def floating(self, dtype: DTypeView, what: str = "x") -> DTypeView:
        """A dtype that must be a float where it is known."""
        known = dtype.known
        if known is not None and not known.is_float:
            self._fail(
                DTypeError, f"{what} must have a float dtype, got {known}; convert with sg.cast"
            )
        return dtype

    def holding(self, dtype: DTypeView, number: int) -> DTypeView:
        """A dtype that, where it is known to be an integer, has the number among its values."""
        known = dtype.known
        if known is not None and known.is_integer:
            range = np.iinfo(known.numpy)
            if not range.min <= number <= range.max:
                self._fail(
                    DTypeError,
                    f"the number {number} does not fit in {known} ({range.min} to {range.max}); "
                    "convert its partner with sg.cast",
                )
        return dtype

    def integer(self, dtype: DTypeView, what: str = "x") -> DTypeView:
        """A dtype that must be an integer where it is known."""
        known = dtype.known
        if known is not None and not known.is_integer:
            self._fail(DTypeError, f"{what} must have an integer dtype, got {known}")
        return dtype

    def whole(self, dtype: DTypeView, what: str = "x") -> DTypeView:
        """A dtype that must be an integer or bool where it is known."""
        known = dtype.known
        if known is not None and known.is_float:
            self._fail(DTypeError, f"{what} needs integers or bool, got {known}")
        return dtype

    def number(self, dtype: DTypeView, what: str = "x") -> DTypeView:
        """A dtype that must not be bool where it is known."""
        known = dtype.known
        if known is not None and known.is_bool:
            self._fail(DTypeError, f"{what} needs numbers, got bool; convert with sg.cast")
        return dtype

    def boolean(self, dtype: DTypeView, what: str = "x") -> DTypeView:
        """A dtype that must be bool."""
        known = dtype.known
        if known is not None and not known.is_bool:
            self._fail(DTypeError, f"{what} needs bool, got {known}; compare first, as in "
                                   f"sg.not_equal(x, 0)")  # fmt: skip
        self.same(dtype, bool_, what)
        return dtype

    def recheck(self) -> None:
        """Try the kept equations again."""
        waiting, self.kept = self.kept, []
        for equation in waiting:
            self.node = equation.node
            self.equal(equation.left, equation.right, equation.why)

    def view(self, extents: Sequence[Dim]) -> ShapeView:
        """A shape of these extents, to relate others to."""
        return ShapeView(self, tuple(extents))
