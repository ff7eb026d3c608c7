"""Cells of an inference: what is known of one shape or dtype, and which cells are one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..kernel import dims
from ..kernel.dims import Dim
from ..kernel.dtypes import DType
from .tensor_type import Shape

if TYPE_CHECKING:
    from .equations import Equations


class RankUnknown(Exception):
    """Control flow: the operator needs a rank nobody knows yet; the node is visited again."""


def resolved(dim: Dim, bindings: Mapping[Any, Dim]) -> Dim:
    """The extent with everything that is known written in."""
    while not isinstance(dim, int) and bindings:
        new = dims.substitute(dim, bindings)
        if new is dim or new == dim:
            return new
        dim = new
    return dim


class ShapeView:
    """A shape as an operator's `infer_shape` sees it.

    It knows the bindings and numbers of its inference only: with the inference itself it would be a
    cycle that keeps the nodes, and the arrays they hold, until someone looks for garbage.
    """

    __slots__ = ("_bindings", "_dims", "_numbers", "_parent")

    def __init__(self, unifier: Equations, shape: Shape) -> None:
        self._bindings = unifier.bindings
        self._numbers = unifier.numbers
        self._parent: ShapeView | None = None
        self._dims = shape

    def root(self) -> ShapeView:
        view = self
        while view._parent is not None:
            view = view._parent
        # Shorten the way for the next time: a chain of equal cells is as long as the graph.
        step = self
        while step._parent is not None and step._parent is not view:
            step._parent, step = view, step._parent
        return view

    @property
    def rank(self) -> int | None:
        """The number of axes, None when unknown."""
        shape = self.root()._dims
        return None if shape is None else len(shape)

    @property
    def dims(self) -> tuple[Dim, ...]:
        """The extents, as far as known.  Raises: RankUnknown."""
        shape = self.root()._dims
        if shape is None:
            raise RankUnknown
        known = [resolved(d, self._bindings) for d in shape]
        return tuple([self._numbers.get(d, d) for d in known] if self._numbers else known)

    def __len__(self) -> int:
        return len(self.dims)

    def __iter__(self) -> Iterator[Dim]:
        return iter(self.dims)

    def __getitem__(self, index: Any) -> Any:
        return self.dims[index]


class DTypeView:
    """A dtype as an operator's `infer_dtype` sees it."""

    __slots__ = ("_dtype", "_parent")

    def __init__(self, dtype: DType | None) -> None:
        self._parent: DTypeView | None = None
        self._dtype = dtype

    def root(self) -> DTypeView:
        view = self
        while view._parent is not None:
            view = view._parent
        # Shorten the way for the next time: a chain of equal cells is as long as the graph.
        step = self
        while step._parent is not None and step._parent is not view:
            step._parent, step = view, step._parent
        return view

    @property
    def known(self) -> DType | None:
        return self.root()._dtype
