"""Operators that hold another one and do the same in another way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .op import Op

if TYPE_CHECKING:
    from .infer import DTypeView, ShapeView, Unifier


class Wrapped(Op):
    """Base: inputs and outputs are those of `op`, with their names, shapes and dtypes, where the
    subclass does not say otherwise."""

    __slots__ = ()

    op: Op

    @property
    def output_count(self) -> int:
        return self.op.output_count

    @property
    def output_names(self) -> tuple[str, ...]:
        return self.op.output_names

    def argument_names(self, count: int) -> tuple[str, ...]:
        return self.op.argument_names(count)

    @property
    def input_limits(self) -> tuple[int, int | None]:
        return self.op.input_limits

    def infer_shape(self, u: Unifier, *inputs: ShapeView) -> tuple[Any, ...]:
        return self.op.infer_shape(u, *inputs)

    def infer_dtype(self, u: Unifier, *inputs: DTypeView) -> tuple[Any, ...]:
        return self.op.infer_dtype(u, *inputs)
