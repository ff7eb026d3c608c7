"""Host operators: Python over numpy arrays inside a compiled graph.

    HostOp         what users write: forward, backward, auxiliary state
    HostInference  a host operator told that it does not train
    HostBackward   a host operator's gradients as a node

All three are ordinary nodes whose computation is `call_host`; a target that can call back runs
them between its kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import AttributeValueError, GradientError
from .op import Op
from .registry import register, registry
from .wrapped import Wrapped

if TYPE_CHECKING:
    from .infer import DTypeView, ShapeView, Unifier
    from .symbol import Symbol

Array = np.ndarray[Any, np.dtype[Any]]


class OnHost(Op):
    """Base of every operator that runs in Python."""

    __slots__ = ()

    @property
    def is_host(self) -> bool:
        return True

    @property
    def label(self) -> str:
        """The name of the user's operator, for messages."""
        return self.name

    def call_host(self, reads: Sequence[Array], writes: Sequence[Array]) -> None:
        """Fill `writes` (one array for each output) from `reads` (one for each input)."""
        raise NotImplementedError(f"{type(self).__name__} does not define call_host")


def read_only(arrays: Sequence[Array]) -> list[Array]:
    """Views that cannot be written, since others may read the same memory later."""
    views = [np.asarray(a).view() for a in arrays]
    for view in views:
        view.flags.writeable = False
    return views


class HostOp(OnHost):
    """An operator that runs Python over numpy arrays inside the compiled graph.

    The inputs are those of `infer_shape(self, u, x, ...)`, which is needed; `arguments` names them
    where it takes `*inputs`.  `infer_dtype` is needed where inputs and outputs do not all have one
    dtype.  `forward` fills `out_data`; `backward` fills `in_grad`, which holds
    zeros before, and none of it is used for arguments in `no_gradient`.  `in_data` cannot be
    written.  Auxiliary state is declared as for any operator: `owned` and `state`; the next value
    is an output like any other.  `inference` may return another form for inference, which need not
    read every input; by default it is `forward` with `is_train` False.
    """

    __slots__ = ()
    arguments: ClassVar[tuple[str, ...]] = ()

    def argument_names(self, count: int) -> tuple[str, ...]:
        return self.arguments[:count] if self.arguments else Op.argument_names(self, count)

    @property
    def input_limits(self) -> tuple[int, int | None]:
        if self.arguments:
            return len(self.arguments), len(self.arguments)
        least, most = Op.input_limits.__get__(self)
        if most is None:
            raise AttributeValueError(
                f"host operator {self.name}: infer_shape takes any number of inputs; name them in "
                f"the class attribute `arguments`"
            )
        return least, most

    @property
    def inputs(self) -> tuple[str, ...]:
        """The name of every input."""
        most = self.input_limits[1]
        assert most is not None
        return self.argument_names(most)

    def infer_dtype(self, u: Unifier, *dtypes: DTypeView) -> tuple[Any, ...]:
        """All inputs and outputs have one dtype; float32 where there are no inputs."""
        if not dtypes:
            return ("float32",) * self.output_count
        return Op.infer_dtype(self, u, *dtypes)

    def forward(self, is_train: bool, in_data: Sequence[Array], out_data: Sequence[Array]) -> None:
        """Fill `out_data` from `in_data`."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(  # type: ignore[override]
        self,
        in_data: Sequence[Array],
        out_data: Sequence[Array],
        in_grad: Sequence[Array],
        out_grad: Sequence[Array],
    ) -> None:
        """Fill `in_grad`, one array of zeros for each input."""
        raise GradientError(_no_backward(self))

    @property
    def has_backward(self) -> bool:
        return type(self).backward is not HostOp.backward

    def call_host(self, reads: Sequence[Array], writes: Sequence[Array]) -> None:
        self.forward(True, read_only(reads), list(writes))

    def inference(self, ins: tuple[Symbol, ...]) -> Symbol | Sequence[Symbol] | None:
        return HostInference(self)(*ins)  # type: ignore[no-any-return]

    def symbolic_backward(
        self, ins: tuple[Symbol, ...], outs: tuple[Symbol, ...], grads: tuple[Symbol | None, ...]
    ) -> Sequence[Symbol | None]:
        """A node that calls `backward`, with an output for each input that has a gradient."""
        if not self.has_backward:
            raise GradientError(_no_backward(self))
        names = self.argument_names(len(ins))
        wanted = tuple(
            n
            for n, (name, x) in enumerate(zip(names, ins, strict=True))
            if name not in self.no_gradient and (x.dtype is None or x.dtype.is_float)
        )
        result: list[Symbol | None] = [None] * len(ins)
        if not wanted:
            return result
        zeros = registry.get("full_like")
        heads = [zeros(0)(out) if g is None else g for out, g in zip(outs, grads, strict=True)]
        found = HostBackward(self, wanted)(*ins, *outs, *heads)
        for n, gradient in zip(wanted, found if len(wanted) > 1 else (found,), strict=True):
            result[n] = gradient
        return result


def _no_backward(op: HostOp) -> str:
    return (
        f"host operator {op.name} has no gradient: {type(op).__name__} does not define "
        f"backward(self, in_data, out_data, in_grad, out_grad)"
    )


@register
@dataclass(frozen=True)
class HostInference(Wrapped, OnHost):
    """A host operator whose `forward` is called with `is_train` False."""

    op: HostOp
    name: ClassVar[str] = "host_inference"

    @property
    def label(self) -> str:
        return self.op.name

    def call_host(self, reads: Sequence[Array], writes: Sequence[Array]) -> None:
        self.op.forward(False, read_only(reads), list(writes))


@register
@dataclass(frozen=True)
class HostBackward(OnHost):
    """The gradients of a host operator in the inputs numbered `wanted`.

    Its inputs are the operator's inputs, its outputs, and the gradients of its outputs.
    """

    op: HostOp
    wanted: tuple[int, ...]
    name: ClassVar[str] = "host_backward"

    @property
    def label(self) -> str:
        return f"{self.op.name} (backward)"

    @property
    def output_count(self) -> int:
        return len(self.wanted)

    @property
    def output_names(self) -> tuple[str, ...]:
        names = self.op.inputs
        return tuple(f"{names[n]}_gradient" for n in self.wanted)

    @property
    def input_limits(self) -> tuple[int, int | None]:
        count = len(self.op.inputs) + 2 * self.op.output_count
        return count, count

    def argument_names(self, count: int) -> tuple[str, ...]:
        outputs = self.op.output_names
        ins = self.op.inputs
        return (*ins, *outputs, *(f"{n}_gradient" for n in outputs))

    def infer_shape(self, u: Unifier, *values: ShapeView) -> tuple[Any, ...]:
        return tuple(values[n] for n in self.wanted)

    def infer_dtype(self, u: Unifier, *values: DTypeView) -> tuple[Any, ...]:
        count, outputs = len(self.op.inputs), self.op.output_count
        for n in range(count, count + outputs):
            u.same(values[n], values[n + outputs], "a gradient has the dtype of its output")
        return tuple(values[n] for n in self.wanted)

    def call_host(self, reads: Sequence[Array], writes: Sequence[Array]) -> None:
        count, outputs = len(self.op.inputs), self.op.output_count
        arrays = read_only(reads)
        ins, outs = arrays[:count], arrays[count : count + outputs]
        places = dict(zip(self.wanted, writes, strict=True))
        grads = [places[n] if n in places else np.zeros_like(x) for n, x in enumerate(ins)]
        for gradient in grads:
            gradient[...] = 0
        self.op.backward(ins, outs, grads, arrays[count + outputs :])
