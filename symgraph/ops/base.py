"""What operator families share: elementwise bases, broadcasting, functions from classes."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from ..errors import AttributeValueError, GradientError, InputError
from ..ir.op import Constant, Op
from ..ir.registry import registry
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol
from ..ir.tensor_type import TensorType
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.dims import Dim
from ..kernel.ir import Expr, IndexValue, call, cast, const

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier

Array = np.ndarray[Any, np.dtype[Any]]
Gradients = Sequence["Symbol | None"]


# -- functions -------------------------------------------------------------------------------------


def functional(cls: type[Op]) -> Callable[..., Symbol]:
    """The function `name(x, y, *, name=None, **attributes)` that applies an operator class; its
    signature is read from the inputs of `infer_shape` and the fields of the class."""
    signature = inspect.Signature(
        [*_input_parameters(cls), *_attribute_parameters(cls)], return_annotation="Symbol"
    )

    def function(*args: Any, **kwargs: Any) -> Symbol:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InputError(f"{cls.name}{signature}: {error}") from None
        bound.apply_defaults()
        name = bound.kwargs["name"]
        attributes = {k: v for k, v in bound.kwargs.items() if k != "name"}
        inputs = list(bound.args)
        while inputs and inputs[-1] is None:
            inputs.pop()
        result = cls(**attributes)(*inputs, name=name)
        return result  # type: ignore[no-any-return]

    function.__name__ = function.__qualname__ = cls.name
    function.__doc__ = cls.__doc__
    function.__module__ = cls.__module__
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def _input_parameters(cls: type[Op]) -> list[inspect.Parameter]:
    method = cls.infer_shape if cls.infer_shape is not Op.infer_shape else cls.forward
    skip = 2 if method is cls.infer_shape else 1
    declared = list(inspect.signature(method).parameters.values())[skip:]
    return [p.replace(annotation="Symbol") for p in declared]


def _attribute_parameters(cls: type[Op]) -> list[inspect.Parameter]:
    kind, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
    found = [
        inspect.Parameter(
            f.name, kind, default=empty if f.default is MISSING else f.default, annotation=f.type
        )
        for f in fields(cls)  # type: ignore[arg-type]
    ]
    return [*found, inspect.Parameter("name", kind, default=None, annotation="str | None")]


F = TypeVar("F", bound=Callable[..., Any])


def specified_by(cls: type[Op]) -> Callable[[F], F]:
    """Function decorator: `help` of the function goes on with the specification of its operator."""

    def decorate(function: F) -> F:
        own, rest = inspect.getdoc(function) or "", inspect.getdoc(cls) or ""
        function.__doc__ = f"{own}\n\n{rest}"
        return function

    return decorate


def make(name: str, *inputs: Any, **attributes: Any) -> Symbol:
    """Apply an operator of another family, found by its registered name."""
    result = registry.get(name)(**attributes)(*inputs)
    assert isinstance(result, Symbol)
    return result


def literal(symbol: Symbol) -> int | float | bool | None:
    """The number that a symbol without axes stands for, None when it is not constant."""
    op = symbol.node.op
    if isinstance(op, Constant) and op.is_literal:
        return op.value.item()  # type: ignore[no-any-return]
    return getattr(op, "value", None) if op.name == "scalar" else None


def is_constant(symbol: Symbol) -> bool:
    """The whole array is known while compiling."""
    return isinstance(symbol.node.op, Constant)


def is_exact(symbol: Symbol) -> bool:
    """The dtype is known and has neither NaN nor infinity, so that x*0 is 0."""
    return symbol.dtype is not None and not symbol.dtype.is_float


# -- broadcasting ----------------------------------------------------------------------------------


def broadcast_index(shape: Sequence[Dim], index: Sequence[Any]) -> tuple[Any, ...]:
    """The index of an operand of `shape` for an element of the broadcast result."""
    trailing = index[len(index) - len(shape) :] if shape else ()
    return tuple(0 if d == 1 else i for d, i in zip(shape, trailing, strict=True))


def broadcast_shape(*shapes: Sequence[Dim]) -> tuple[Dim, ...]:
    """The common shape of complete shapes that inference has accepted."""
    rank = max(len(s) for s in shapes)
    result: list[Dim] = []
    for axis in range(rank):
        here = [s[axis - rank + len(s)] for s in shapes if axis - rank + len(s) >= 0]
        result.append(next((d for d in here if d != 1), 1))
    return tuple(result)


def read(tensor: Tensor, index: Sequence[Any]) -> Expr:
    """The element of a tensor that broadcasts to `index`."""
    return tensor[broadcast_index(tensor.shape, index)]


def is_carried(shape: Sequence[Dim], by: Symbol | None = None) -> bool:
    """The extents are known, and every name in them is among those of `by`'s shape, so that an
    operator which reads only `by` still finds them."""
    known = {v for d in (by.shape or () if by is not None else ()) for v in dims.dim_vars(d)}
    return all(dims.is_closed(d) and known.issuperset(dims.dim_vars(d)) for d in shape)


def with_extents(op: Op, outs: Sequence[TensorType]) -> Op:
    """An operator whose attribute `shape` is that of its first output, with the extents that are
    known now in place of names."""
    stated: Any = getattr(op, "shape")  # noqa: B009
    shape = outs[0].shape
    if shape is None or shape == stated or not is_carried(shape):
        return op
    changed: Op = replace(op, shape=shape)  # type: ignore[type-var]
    return changed


def sum_to(gradient: Symbol, like: Symbol) -> Symbol:
    """A gradient summed back to the shape of the input that was broadcast."""
    if gradient.shape is not None and gradient.shape == like.shape:
        return gradient
    return make("sum_to_like", gradient, like)


# -- attributes and axes ---------------------------------------------------------------------------


def as_axes(axis: Any) -> Any:
    """An axis attribute in a form that compares and hashes: None, an int or a tuple.

    Raises: AttributeValueError.
    """
    return None if axis is None else as_ints(axis, "axis")


def as_ints(value: Any, what: str) -> int | tuple[int, ...]:
    """An int, or a tuple of them from a sequence.  Raises: AttributeValueError."""
    try:
        if isinstance(value, (Sequence, np.ndarray)) and np.ndim(value):
            return tuple(operator.index(item) for item in value)
        if not isinstance(value, (bool, np.bool_)):
            return operator.index(value)
    except (TypeError, ValueError):
        pass
    raise AttributeValueError(f"{what} must be an int or a sequence of ints, got {value!r}")


def axes_of(axis: int | tuple[int, ...] | None, rank: int) -> tuple[int, ...]:
    """The non-negative axes that an attribute accepted by inference names."""
    if axis is None:
        return tuple(range(rank))
    return tuple(a % rank for a in ((axis,) if isinstance(axis, int) else axis))


def known_axis(axis: int, x: Symbol, what: str) -> int:
    """A non-negative axis of a symbol.  Raises: GradientError where its rank is not known."""
    if axis >= 0:
        return axis
    if x.ndim is None:
        raise GradientError(
            f"{what}: the gradient along axis {axis} needs the rank of {x!r}; declare its shape"
        )
    return axis % x.ndim


def known_axes(axis: int | tuple[int, ...] | None, x: Symbol, what: str) -> tuple[int, ...]:
    """The same for several axes, None for all."""
    if axis is None:
        if x.ndim is None:
            raise GradientError(f"{what}: the gradient needs the rank of {x!r}; declare its shape")
        return tuple(range(x.ndim))
    return tuple(known_axis(a, x, what) for a in ((axis,) if isinstance(axis, int) else axis))


def checked_axes(u: Unifier, axis: int | tuple[int, ...] | None, rank: int) -> tuple[int, ...]:
    """The same while inferring: each axis exists, and none is named twice."""
    if axis is None:
        return tuple(range(rank))
    axes = tuple(u.axis(a, rank) for a in ((axis,) if isinstance(axis, int) else axis))
    u.require(len(set(axes)) == len(axes), f"axis {axis} names an axis twice")
    return axes


def index_value(dim: Any, dtype: Any) -> Expr:
    """An extent or index as a value of a dtype."""
    if isinstance(dim, int):
        return const(dim, dtype)
    return cast(dim if isinstance(dim, Expr) else IndexValue(dim), dtype)


# -- samples ---------------------------------------------------------------------------------------


def unary_samples(op: Op, low: float = -1.0, high: float = 1.0, **more: Any) -> list[Sample]:
    """Samples for any elementwise operator of one float input."""
    cases = [((17, 33), "float32"), ((2, 1, 5), "float32"), ((), "float32"), ((0, 3), "float32"),
             ((7,), "float64"), ((5, 3), "float16")]  # fmt: skip
    return [Sample(op, (s,), low=low, high=high, dtype=t, **_rules(t, more)) for s, t in cases]


def _rules(dtype: str, more: dict[str, Any]) -> dict[str, Any]:
    return more if dtype in ("float32", "float64") else {**more, "gradient": False}


def binary_samples(op: Op, low: float = -1.0, high: float = 1.0, **more: Any) -> list[Sample]:
    """Samples for any elementwise operator of two float inputs that broadcast."""
    pairs: list[tuple[Any, Any, str]] = [
        ((17, 33), (17, 33), "float32"),
        ((2, 3, 5), (3, 1), "float32"),
        ((7,), (2, 1), "float32"),
        ((), (3, 17), "float32"),
        ((0, 3), (1, 3), "float32"),
        ((), (), "float32"),
        ((3, 5), (5,), "float64"),
        ((3, 5), (5,), "float16"),
    ]
    return [Sample(op, (a, b), low=low, high=high, dtype=t, **_rules(t, more)) for a, b, t in pairs]


def integer_samples(op: Op, *shapes: Any, low: float = -9, high: float = 9) -> list[Sample]:
    """Samples for integers; unsigned ones stay positive."""
    return [
        Sample(op, shapes, dtype=t, low=max(low, 0) if t[0] == "u" else low, high=high,
               gradient=False)
        for t in ("int32", "int64", "uint8")
    ]  # fmt: skip


def random_integers(shape: Sequence[int], low: int, high: int, dtype: str = "int32") -> Array:
    """A fixed integer array for samples."""
    return np.asarray(np.random.default_rng(7).integers(low, high, tuple(shape)), dtype)


def random_bools(shape: Sequence[int]) -> Array:
    """A fixed boolean array for samples."""
    return np.asarray(np.random.default_rng(11).random(tuple(shape)) < 0.5)


# -- elementwise bases -----------------------------------------------------------------------------


class Unary(Op):
    """y[i] = function(x[i]).

    `low` and `high` bound the values on which it is tested.
    """

    __slots__ = ()
    function: ClassVar[str] = ""
    numpy: ClassVar[Callable[..., Any]]
    float_only: ClassVar[bool] = True
    low: ClassVar[float] = -2.0
    high: ClassVar[float] = 2.0
    samples = Samples(
        lambda cls: (
            *unary_samples(cls(), cls.low, cls.high),
            *([] if cls.float_only else integer_samples(cls(), (3, 7))),
        )
    )

    @property
    def channelwise(self) -> bool:
        return True

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        return (x,)

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return (u.floating(x) if self.float_only else x,)

    def forward(self, x: Tensor) -> Compute:
        return compute(x.shape, lambda *i: self.element(x[i]))

    def element(self, x: Expr) -> Expr:
        """The value for one element; by default the scalar function."""
        return call(self.function, x)

    def reference(self, x: Array) -> Any:
        return type(self).numpy(x)


class Predicate(Unary):
    """A boolean for each element."""

    __slots__ = ()
    no_gradient = ("x",)

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        if self.float_only:
            u.floating(x)
        return ("bool",)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None,)


class Binary(Op):
    """z[i] = function(x[i], y[i]) with broadcasting by numpy's rules."""

    __slots__ = ()
    function: ClassVar[str] = ""
    numpy: ClassVar[Callable[..., Any]]
    low: ClassVar[float] = -2.0
    high: ClassVar[float] = 2.0
    samples = Samples(
        lambda cls: (
            *binary_samples(cls(), cls.low, cls.high),
            *integer_samples(cls(), (2, 3, 5), (3, 1)),
        )
    )

    @property
    def channelwise(self) -> bool:
        return True

    def infer_shape(self, u: Unifier, x: ShapeView, y: ShapeView) -> tuple[Any, ...]:
        return (u.broadcast(x, y),)

    def infer_dtype(self, u: Unifier, x: DTypeView, y: DTypeView) -> tuple[Any, ...]:
        u.same(x, y, "both inputs must have one dtype")
        return (self.result_dtype(u, x),)

    def result_dtype(self, u: Unifier, x: DTypeView) -> Any:
        """The dtype of the result, and what is demanded of the inputs'."""
        return x

    def forward(self, x: Tensor, y: Tensor) -> Compute:
        shape = broadcast_shape(x.shape, y.shape)
        return compute(shape, lambda *i: self.element(read(x, i), read(y, i)))

    def element(self, x: Expr, y: Expr) -> Expr:
        """The value for one pair; by default the scalar function."""
        return call(self.function, x, y)

    def reference(self, x: Array, y: Array) -> Any:
        return type(self).numpy(x, y)


class Comparison(Binary):
    """A boolean from two values."""

    __slots__ = ()
    no_gradient = ("x", "y")
    samples = Samples(
        lambda cls: (
            *binary_samples(cls(), cls.low, cls.high, gradient=False),
            *integer_samples(cls(), (2, 3, 5), (3, 1), low=-2, high=2),
        )
    )

    def result_dtype(self, u: Unifier, x: DTypeView) -> Any:
        return "bool"

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None, None)


def zeros_like(x: Symbol) -> Symbol:
    """Zeros of a symbol's shape and dtype: the gradient of what is constant by pieces."""
    return make("full_like", x, value=0.0)


LN2 = math.log(2.0)
LN10 = math.log(10.0)
