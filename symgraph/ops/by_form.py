"""A value that is computed in one way in training form and in another in inference form.

Gradients of operators that differ between the two, such as dropout and batch norm, are of this
kind: differentiation does not know in which form its result will be compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..ir.op import CompositeOp
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from .base import Array, Gradients, make

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


@register
@dataclass(frozen=True, slots=True)
class ByForm(CompositeOp):
    """y = training in training form, y = inference in inference form.

    Shapes: both [*s] -> y [*s].   Dtypes: any, kept.
    """

    name = "by_form"

    def infer_shape(self, u: Unifier, training: ShapeView, inference: ShapeView) -> tuple[Any, ...]:
        u.same_shape(training, inference, "both forms must have one shape")
        return (training,)

    def forward(self, training: Symbol, inference: Symbol) -> Symbol:
        return make("identity", training)

    def inference(self, ins: tuple[Symbol, ...]) -> Sequence[Symbol]:
        return (ins[1],)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        # That of the training form; differentiation asks the other form for its own.
        return (grads[0], None)

    def reference(self, training: Array, inference: Array) -> Any:
        return training


ByForm.samples = (
    Sample(ByForm(), ((17, 33), (17, 33))),
    Sample(ByForm(), ((), ())),
    Sample(ByForm(), ((0, 3), (0, 3))),
    Sample(ByForm(), ((2, 1, 5), (2, 1, 5)), dtype="float64"),
    Sample(ByForm(), ((7,), (7,)), dtype="float16", gradient=False),
)
