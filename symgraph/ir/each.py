"""An operator at all steps of a loop at once: what leaves a loop becomes one of these.

    y[t, i, j] = op(x[t, :], w)[i, j]        a step's index beside the operator's own
    y[i, j] = sum over t of op(...)[i, j]    with `total`

The index expressions are the operator's, with the step's index put in; a sum over steps of a sum is
one sum, so that a product of matrices summed over steps is one product of longer ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..kernel.compute import Compute, Tensor
from ..kernel.dims import Dim, LoopVar
from ..kernel.ir import Axis, Buffer, Cast, Expr, Load, Reduce
from ..kernel.parts import producers_first
from ..kernel.rewrite import LoadRewriter, loads
from .graph import Graph
from .node import Node
from .op import Op, Variable
from .registry import register
from .tensor_type import TensorType

if TYPE_CHECKING:
    from .infer import DTypeView, ShapeView, Unifier


@register
@dataclass(frozen=True)
class Each(Op):
    """`op` at every step.

    axes   for each input the axis that holds the steps, None where every step reads the same
    axis   the same of the output
    total  the sum over the steps instead
    """

    op: Op
    axes: tuple[int | None, ...]
    axis: int = 0
    total: bool = False
    name: ClassVar[str] = "each"

    @property
    def is_view(self) -> bool:
        return self.op.is_view and self.axes == (0,) and self.axis == 0 and not self.total

    @property
    def input_limits(self) -> tuple[int, int | None]:
        return len(self.axes), len(self.axes)

    def argument_names(self, count: int) -> tuple[str, ...]:
        return self.op.argument_names(count)

    def infer_dtype(self, u: Unifier, *inputs: DTypeView) -> tuple[Any, ...]:
        return self.op.infer_dtype(u, *inputs)

    def infer_shape(self, u: Unifier, *inputs: ShapeView) -> tuple[Any, ...]:
        shapes = [view.dims for view in inputs]
        steps = [s[a] for s, a in zip(shapes, self.axes, strict=True) if a is not None]
        for extent in steps[1:]:
            u.equal(extent, steps[0], "all inputs must have the same number of steps")
        step = u.own_graph(self._one_step())
        for variable, shape, axis in zip(step.variables, shapes, self.axes, strict=True):
            u.same_shape(u.shape(variable[0]), u.view(_without(shape, axis)), "input of a step")
        u.visit_graph(step)
        inner = u.shape(step.outputs[0]).dims
        return (inner if self.total else (*inner[: self.axis], steps[0], *inner[self.axis :]),)

    def _one_step(self) -> Graph:
        """The operator over variables of which nothing is known."""
        unknown = TensorType(None, None)
        inputs = tuple(Node(Variable(), (), (unknown,))[0] for _ in self.axes)
        return Graph([Node(self.op, inputs, (unknown,))[0]])

    def forward(self, *tensors: Tensor) -> Compute:
        parts: dict[Tensor, tuple[Tensor, int]] = {}
        given: list[Tensor] = []
        extent: Dim = 0
        for tensor, axis in zip(tensors, self.axes, strict=True):
            if axis is None:
                given.append(tensor)
                continue
            extent = tensor.shape[axis]
            part = Buffer("x", _without(tensor.shape, axis), tensor.dtype)
            parts[part] = (tensor, axis)
            given.append(part)
        made = self.op.forward(*given)
        assert isinstance(made, Compute)
        return _Steps(parts, extent).run(made, self.axis, self.total)

    def reference(self, *arrays: Any) -> Any:
        """The operator's own reference, step by step."""
        counts = [np.shape(x)[a] for x, a in zip(arrays, self.axes, strict=True) if a is not None]
        if not counts[0]:
            raise NotImplementedError("each: no steps, so no shape of a step")
        results = [
            self.op.reference(*(
                x if a is None else np.take(x, step, axis=a)
                for x, a in zip(arrays, self.axes, strict=True)
            ))
            for step in range(counts[0])
        ]  # fmt: skip
        if self.total:
            return np.sum(results, axis=0, dtype=np.asarray(results[0]).dtype)
        return np.stack(results, axis=self.axis)


def _without(shape: Sequence[Dim], axis: int | None) -> tuple[Dim, ...]:
    return tuple(d for n, d in enumerate(shape) if n != axis)


class _Steps:
    """Gives computations over slices an axis of steps."""

    def __init__(self, parts: dict[Tensor, tuple[Tensor, int]], extent: Dim) -> None:
        self.parts = parts
        self.extent = extent
        self.new: dict[Compute, Compute] = {}

    def run(self, root: Compute, axis: int, total: bool) -> Compute:
        for compute in producers_first((root,)):
            if compute is not root and self._varies(compute):
                self.new[compute] = self._compute(compute, 0)
        return self._total(root) if total else self._compute(root, axis)

    def _varies(self, compute: Compute) -> bool:
        return any(x.tensor in self.parts or x.tensor in self.new for x in loads(compute.body))

    def _at(self, body: Expr, step: LoopVar) -> Expr:
        def replaced(load: Load) -> Expr | None:
            if load.tensor in self.parts:
                whole, axis = self.parts[load.tensor]
                return Load(whole, (*load.index[:axis], step, *load.index[axis:]))
            if isinstance(load.tensor, Compute) and load.tensor in self.new:
                return Load(self.new[load.tensor], (step, *load.index))
            return None

        return LoadRewriter(replaced)(body)

    def _compute(self, compute: Compute, axis: int) -> Compute:
        step = LoopVar("t")
        axes = (*compute.axes[:axis], Axis(step, self.extent), *compute.axes[axis:])
        return Compute(compute.name, axes, self._at(compute.body, step))

    def _total(self, compute: Compute) -> Compute:
        step = LoopVar("t")
        body = self._at(compute.body, step)
        dtype = body.dtype
        while isinstance(body, Cast) and isinstance(body.value, (Cast, Reduce)):
            body = body.value
        if isinstance(body, Reduce) and body.kind == "sum":
            summed = Reduce("sum", (Axis(step, self.extent), *body.axes), body.body)
        else:
            summed = Reduce("sum", (Axis(step, self.extent),), body)
        result: Expr = summed if summed.dtype == dtype else Cast(summed, dtype)
        return Compute(compute.name, compute.axes, result)
