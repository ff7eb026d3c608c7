"""The operator contract: one class is one operator, and says everything about it.

    native     class X(Op):           forward(self, *tensors) -> Compute(s)
    composite  class X(CompositeOp):  forward(self, *symbols) -> Symbol(s)
    host       class X(HostOp):       forward(is_train, in_data, out_data), numpy arrays; host.py

The fields of the (frozen) class are the operator's attributes.  `registry` knows operators by name
for files and for the arithmetic of symbols; a class works without being registered.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import GradientError, UnknownOperatorError
from ..kernel.compute import Compute, Tensor
from ..kernel.dims import Dim
from .attributes import check_is_dataclass, class_of
from .initializer import Constant as ConstantInit
from .initializer import Initializer
from .registry import register
from .sample import Sample, Samples
from .tensor_type import UNKNOWN, TensorType

if TYPE_CHECKING:
    from .alternative import Alternative
    from .graph import Graph
    from .infer import DTypeView, ShapeView, Unifier
    from .layout import Layout
    from .node import Node, Value
    from .symbol import Symbol


Array = Any


@dataclass(frozen=True, slots=True)
class Owned:
    """An input that the operator makes as a variable when the caller gives none.

    `needed` tells from the operator's attributes whether the input exists at all.
    """

    argument: str
    init: Initializer = ConstantInit(0.0)
    auxiliary: bool = False
    dtype: str | None = None
    needed: Callable[[Any], bool] = lambda op: True


@dataclass(frozen=True)
class Affine:
    """`value * scale + shift`: what `Op.affine` reports; None stands for 1 and 0."""

    value: Symbol
    scale: Symbol | None = None
    shift: Symbol | None = None


class Op:
    """Base of every operator; see the module's text for the three kinds."""

    __slots__ = ()

    name: ClassVar[str] = ""
    outputs: ClassVar[tuple[str, ...]] = ("output",)
    owned: ClassVar[tuple[Owned, ...]] = ()
    no_gradient: ClassVar[tuple[str, ...]] = ()
    """Arguments that have no gradient, such as labels."""
    state: ClassVar[tuple[tuple[str, str], ...]] = ()
    """(argument, output) pairs: the output is the argument's next value."""
    in_place: ClassVar[tuple[tuple[int, int], ...]] = ()
    """(input, output) pairs of non-elementwise operators that may share memory."""
    commutative: ClassVar[bool] = False
    may_be_nan: ClassVar[tuple[str, ...]] = ()
    """Attributes for which NaN is a value like any other, such as what an array is filled with."""
    pure: ClassVar[bool] = True
    """Equal inputs give equal outputs, whenever and however often it runs."""
    folded_growth: ClassVar[int] = 2
    """Of constants, it is worked out at compile time when the result takes at most so many times
    their bytes."""
    samples: ClassVar[Sequence[Sample] | Samples] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Not for operators: they are dataclasses, and the decorator writes theirs."""
        check_is_dataclass(class_of(self))

    # `*args: Any, **kwargs: Any` lets each operator state its own inputs by name.

    def infer_shape(self, u: Unifier, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Relations between the extents of inputs; returns the shape of each output."""
        raise NotImplementedError(f"{type(self).__name__} does not define infer_shape")

    def infer_dtype(self, u: Unifier, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Relations between dtypes; by default all inputs and outputs have one."""
        for other in args[1:]:
            u.same(args[0], other, "all inputs must have one dtype")
        return (args[0],) * self.output_count

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The index expression of each output."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(
        self, ins: tuple[Symbol, ...], outs: tuple[Symbol, ...], grads: tuple[Symbol | None, ...]
    ) -> Sequence[Symbol | None]:
        """The gradient for each input, None for none."""
        raise GradientError(
            f"operator {self.name} has no gradient: {type(self).__name__} does not define "
            f"backward(self, ins, outs, grads)"
        )

    def symbolic_backward(
        self, ins: tuple[Symbol, ...], outs: tuple[Symbol, ...], grads: tuple[Symbol | None, ...]
    ) -> Sequence[Symbol | None]:
        """What differentiation calls: `backward`, but for operators that run on the host."""
        return self.backward(ins, outs, grads)

    def reference(self, *args: Any, **kwargs: Any) -> Any:
        """The same in numpy, written independently of `forward`."""
        raise NotImplementedError(f"{type(self).__name__} does not define reference")

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | Sequence[Symbol] | None:
        """An equal but simpler form, from local identities; None for none."""
        return None

    def inference(self, ins: tuple[Symbol, ...]) -> Symbol | Sequence[Symbol] | None:
        """The form at inference time where it differs (dropout, batch norm); None for the same."""
        return None

    def only(
        self, ins: tuple[Symbol, ...], used: tuple[bool, ...]
    ) -> Sequence[Symbol | None] | None:
        """A cheaper form when only some outputs are read: an entry for each output, None where
        `used` is False; or None for no such form.  An operator that holds a graph is asked when all
        are read, too: its graph may have changed."""
        return None

    def affine(self, ins: tuple[Symbol, ...]) -> Affine | None:
        """How the output is one input times a scale plus a shift, elementwise with broadcasting;
        None where it is not."""
        return None

    def absorb_affine(
        self, ins: tuple[Symbol, ...], axis: int | None, scale: Symbol | None, shift: Symbol | None
    ) -> Symbol | None:
        """The same operator with other inputs that gives `output * scale + shift`.

        `scale` and `shift` are vectors along `axis` of the output, or single numbers where `axis`
        is None; None stands for 1 and 0.  Return None where the operator cannot take them in.

            linear(x, w, b) * s + t   ->   linear(x, w * s[:, None], b * s + t)
        """
        return None

    def layouts(
        self, ins: Sequence[TensorType], outs: Sequence[TensorType], block: int
    ) -> tuple[tuple[Layout | None, ...], Layout | None] | None:
        """The layouts of the inputs and of the output that it works fastest in; None for none."""
        return None

    def alternatives(self, ins: tuple[Symbol, ...]) -> Sequence[Alternative]:
        """Equivalent forms that are faster for some shapes and less accurate by a known factor.

        Passes compare what they cost with what the operator itself costs; an offer need not pay.
        """
        return ()

    def flops(self, ins: Sequence[TensorType], outs: Sequence[TensorType]) -> Any:
        """Operations of one application; None: count them in the index expression."""
        return None

    @property
    def output_count(self) -> int:
        return len(self.outputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        if len(self.outputs) == self.output_count:
            return self.outputs
        return tuple(f"output{i}" for i in range(self.output_count))

    @property
    def is_variable(self) -> bool:
        return False

    @property
    def is_host(self) -> bool:
        return False

    @property
    def is_view(self) -> bool:
        """The output is the row-major elements of input 0 under another shape."""
        return False

    def joined_axis(self, ins: Sequence[TensorType]) -> int | None:
        """The axis (from 0) along which the output is the inputs one after the other, for complete
        types of the inputs; None where it is anything else."""
        return None

    def cut_starts(self, ins: Sequence[TensorType]) -> tuple[tuple[Dim, ...], ...] | None:
        """For each output the index of its first element in input 0, where every output is a box
        of neighbouring elements of input 0; None where it is anything else."""
        return None

    @property
    def subgraph(self) -> Graph | None:
        """The graph that the operator runs, to which passes apply as well; None for none."""
        return None

    def with_subgraph(self, graph: Graph) -> Op:
        """The operator with another form of its graph: the same variables, the same outputs."""
        raise NotImplementedError(f"{type(self).__name__} holds no graph")

    @property
    def default_dtype(self) -> str | None:
        """The dtype of the output when nothing says what it is; None: something must say it."""
        return None

    @property
    def channelwise(self) -> bool:
        """Channel c (axis 1) of the output depends on channel c of the inputs, or on those right
        beside it: it works in whatever layout the channels have."""
        return False

    def typed(self, outs: Sequence[TensorType]) -> Op:
        """The operator with inferred types written into its attributes, where it needs them."""
        return self

    @property
    def is_inferable(self) -> bool:
        """The operator can tell its outputs' types; else those that a node carries count."""
        return True

    @property
    def is_composite(self) -> bool:
        return False

    def argument_names(self, count: int) -> tuple[str, ...]:
        """The name of each of `count` inputs."""
        names, variadic = _signature(class_of(self))
        if variadic:
            rest = count - len(names)
            return (*names, *(f"{variadic}{i}" for i in range(rest)))
        return names[:count]

    @property
    def input_limits(self) -> tuple[int, int | None]:
        """The least and the greatest number of inputs."""
        names, variadic = _signature(class_of(self))
        optional = _optional(class_of(self))
        return len(names) - optional, (None if variadic else len(names))

    @property
    def attribute_items(self) -> tuple[tuple[str, Any], ...]:
        """(name, value) of each attribute."""
        return tuple((f.name, getattr(self, f.name)) for f in fields(self))  # type: ignore[arg-type]

    def check_attributes(self) -> None:
        """Demands on attributes beyond their declared kinds, which are checked before (see
        attributes.py).  Raises: AttributeValueError."""

    def __call__(self, *inputs: Any, name: str | None = None) -> Any:
        """Apply to symbols; missing owned inputs become variables."""
        from .apply import apply

        return apply(self, *inputs, name=name)


@cache
def _parameters(cls: Any) -> tuple[inspect.Parameter, ...]:
    method = cls.infer_shape if cls.infer_shape is not Op.infer_shape else cls.forward
    skip = 2 if method is cls.infer_shape else 1
    return tuple(inspect.signature(method).parameters.values())[skip:]


@cache
def _signature(cls: Any) -> tuple[tuple[str, ...], str]:
    plain = [p for p in _parameters(cls) if p.kind is not inspect.Parameter.VAR_POSITIONAL]
    star = [p for p in _parameters(cls) if p.kind is inspect.Parameter.VAR_POSITIONAL]
    return tuple(p.name for p in plain), (star[0].name if star else "")


@cache
def _optional(cls: Any) -> int:
    return len([p for p in _parameters(cls) if p.default is not inspect.Parameter.empty])


class CompositeOp(Op):
    """An operator that is a graph of other operators; shapes and gradients follow from them."""

    __slots__ = ()

    @property
    def is_composite(self) -> bool:
        return True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define forward")


@dataclass(frozen=True)
class Variable(Op):
    """A named input of the graph.

    `role` is "input", "parameter" or "auxiliary"; `hint` names it after the operator that owns it
    while it has no name of its own.
    """

    type: TensorType = UNKNOWN
    role: str = "input"
    init: Initializer | None = None
    hint: str = ""
    name: ClassVar[str] = "variable"

    @property
    def is_variable(self) -> bool:
        return True

    @property
    def default_dtype(self) -> str | None:
        return "float32"

    def infer_shape(self, u: Unifier) -> tuple[Any, ...]:
        return (u.declared_shape(self.type),)

    def infer_dtype(self, u: Unifier) -> tuple[Any, ...]:
        return (u.declared_dtype(self.type),)


@dataclass(frozen=True, eq=False)
class Constant(Op):
    """An array known when the graph is built."""

    value: np.ndarray[Any, Any]
    name: ClassVar[str] = "constant"

    @property
    def is_literal(self) -> bool:
        """One number without axes that stays what it is: passes may look at it."""
        return self.value.ndim == 0

    def infer_shape(self, u: Unifier) -> tuple[Any, ...]:
        return (tuple(self.value.shape),)

    def infer_dtype(self, u: Unifier) -> tuple[Any, ...]:
        from ..kernel.dtypes import as_dtype

        return (as_dtype(self.value.dtype),)

    def reference(self) -> Any:
        return self.value


@dataclass(frozen=True)
class BoundParameter(Constant):
    """A constant whose numbers were given at compile time, or follow from such.

    `recipe` computes it from the variables that were given and from constants of the graph, where
    other numbers are to be put in their places later; else None.
    """

    recipe: Value | None = field(default=None, compare=False, repr=False)

    @property
    def is_literal(self) -> bool:
        return self.recipe is None and self.value.ndim == 0

    @property
    def attribute_items(self) -> tuple[tuple[str, Any], ...]:
        return (("value", self.value),)


def recipe_of(node: Node) -> Value | None:
    """How a constant follows from bound variables; None where it does not, or nobody asked."""
    return node.op.recipe if isinstance(node.op, BoundParameter) else None


@dataclass(frozen=True)
class Opaque(Op):
    """An operator that a file names but nobody registered: can be drawn, not run."""

    type_name: str
    attributes: tuple[tuple[str, Any], ...] = ()
    count: int = 1

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.type_name

    @property
    def output_count(self) -> int:
        return self.count

    @property
    def attribute_items(self) -> tuple[tuple[str, Any], ...]:
        return self.attributes

    @property
    def is_inferable(self) -> bool:
        return False

    def infer_shape(self, u: Unifier, *inputs: ShapeView) -> tuple[Any, ...]:
        return tuple(u.unknown_shape(i) for i in range(self.count))

    def infer_dtype(self, u: Unifier, *inputs: DTypeView) -> tuple[Any, ...]:
        return tuple(u.unknown_dtype(i) for i in range(self.count))

    def forward(self, *tensors: Tensor) -> Sequence[Compute]:
        raise UnknownOperatorError(
            f"operator {self.type_name!r} is not registered, so the graph can be drawn but not "
            f"run; import the module that defines it before loading the graph"
        )


register(Variable)
register(Constant)
