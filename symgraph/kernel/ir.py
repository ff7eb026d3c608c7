"""LOOP IR: kernels as values.  What every target emits and the interpreter runs.

    Expr   = Const(value, dtype) | Load(tensor, index) | IndexValue(dim) | Call(function, args)
           | Cast(value, dtype) | Select(condition, then, otherwise)
           | Reduce(kind, axes, body)                      only inside Compute, never in a Kernel
    Stmt   = Block(stmts) | For(var, extent, kind, body) | Alloc(buffer, body)
           | Store(buffer, index, value) | Update(buffer, index, function, value)
           | If(condition, then, otherwise) | Barrier() | Prefetch(buffer, index)
    Tensor = Buffer(name, shape, dtype, scope) | Compute(shape, axes, body)   (see compute.py)
    Kernel = name, inputs, outputs, dims, body

Indices are integer expressions (`dims`); an index read from data is the atom `DataIndex`, which
is clamped into the axis, so that no data can make a kernel leave its buffers.  `Select` is lazy: a
load in a branch may lie out of bounds wherever that branch is not taken.  Expressions compare by
identity and may be shared; every walk remembers what it has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import DTypeError, ShapeError
from . import dims
from .dims import Atom, Dim, DimVar, LoopVar, Symbolic
from .dtypes import DType, as_dtype, bool_, int64
from .functions import FUNCTIONS, REDUCTIONS
from .packing import Packing


class Expr:
    """A scalar value; arithmetic builds further expressions."""

    __slots__ = ()
    dtype: DType

    def __bool__(self) -> bool:
        raise TypeError("a symbolic value has no truth value; use where(condition, a, b)")

    def __add__(self, other: ExprLike) -> Expr:
        return binary("add", self, other)

    def __radd__(self, other: ExprLike) -> Expr:
        return binary("add", other, self)

    def __sub__(self, other: ExprLike) -> Expr:
        return binary("sub", self, other)

    def __rsub__(self, other: ExprLike) -> Expr:
        return binary("sub", other, self)

    def __mul__(self, other: ExprLike) -> Expr:
        return binary("mul", self, other)

    def __rmul__(self, other: ExprLike) -> Expr:
        return binary("mul", other, self)

    def __truediv__(self, other: ExprLike) -> Expr:
        return binary("div", self, other)

    def __rtruediv__(self, other: ExprLike) -> Expr:
        return binary("div", other, self)

    def __floordiv__(self, other: ExprLike) -> Expr:
        return binary("floordiv", self, other)

    def __rfloordiv__(self, other: ExprLike) -> Expr:
        return binary("floordiv", other, self)

    def __mod__(self, other: ExprLike) -> Expr:
        return binary("mod", self, other)

    def __rmod__(self, other: ExprLike) -> Expr:
        return binary("mod", other, self)

    def __pow__(self, other: ExprLike) -> Expr:
        return binary("pow", self, other)

    def __neg__(self) -> Expr:
        return call("neg", self)

    def __abs__(self) -> Expr:
        return call("abs", self)

    def __and__(self, other: ExprLike) -> Expr:
        return binary("and", self, other)

    def __or__(self, other: ExprLike) -> Expr:
        return binary("or", self, other)

    def __xor__(self, other: ExprLike) -> Expr:
        return binary("xor", self, other)

    def __invert__(self) -> Expr:
        return call("not", self)

    def __lshift__(self, other: ExprLike) -> Expr:
        return binary("shl", self, other)

    def __rshift__(self, other: ExprLike) -> Expr:
        return binary("shr", self, other)

    def __lt__(self, other: ExprLike) -> Expr:
        return binary("lt", self, other)

    def __le__(self, other: ExprLike) -> Expr:
        return binary("le", self, other)

    def __gt__(self, other: ExprLike) -> Expr:
        return binary("lt", other, self)

    def __ge__(self, other: ExprLike) -> Expr:
        return binary("le", other, self)

    def equal(self, other: ExprLike) -> Expr:
        """self == other as a boolean value (`==` itself compares identity)."""
        return binary("eq", self, other)

    def not_equal(self, other: ExprLike) -> Expr:
        """self != other as a boolean value."""
        return binary("ne", self, other)

    def astype(self, dtype: Any) -> Expr:
        """The value converted to another dtype, as numpy's astype."""
        return cast(self, dtype)


ExprLike = Expr | int | float | bool | Symbolic


@dataclass(frozen=True, slots=True, eq=False)
class Const(Expr):
    """A literal."""

    value: int | float | bool
    dtype: DType


@dataclass(frozen=True, slots=True, eq=False)
class IndexValue(Expr):
    """An integer expression used as a value; arithmetic with integers stays symbolic."""

    dim: Dim
    dtype: DType = int64

    def __add__(self, other: ExprLike) -> Expr:
        return _index_arithmetic("add", self, other)

    def __radd__(self, other: ExprLike) -> Expr:
        return _index_arithmetic("add", other, self)

    def __sub__(self, other: ExprLike) -> Expr:
        return _index_arithmetic("sub", self, other)

    def __rsub__(self, other: ExprLike) -> Expr:
        return _index_arithmetic("sub", other, self)

    def __mul__(self, other: ExprLike) -> Expr:
        return _index_arithmetic("mul", self, other)

    def __rmul__(self, other: ExprLike) -> Expr:
        return _index_arithmetic("mul", other, self)

    def __floordiv__(self, other: ExprLike) -> Expr:
        return _index_arithmetic("floordiv", self, other)

    def __rfloordiv__(self, other: ExprLike) -> Expr:
        return _index_arithmetic("floordiv", other, self)

    def __mod__(self, other: ExprLike) -> Expr:
        return _index_arithmetic("mod", self, other)

    def __rmod__(self, other: ExprLike) -> Expr:
        return _index_arithmetic("mod", other, self)

    def __neg__(self) -> Expr:
        return IndexValue(dims.mul(self.dim, -1))


@dataclass(frozen=True, slots=True, eq=False)
class Load(Expr):
    """One element of a tensor."""

    tensor: Tensor
    index: tuple[Dim, ...]

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        return self.tensor.dtype


@dataclass(frozen=True, slots=True, eq=False)
class Call(Expr):
    """A scalar function of `functions.FUNCTIONS`."""

    function: str
    args: tuple[Expr, ...]
    dtype: DType


@dataclass(frozen=True, slots=True, eq=False)
class Cast(Expr):
    """Conversion as numpy's astype; float to integer truncates and saturates, NaN gives 0."""

    value: Expr
    dtype: DType


@dataclass(frozen=True, slots=True, eq=False)
class Select(Expr):
    """`then` where the condition holds, else `otherwise`; only the taken one is read."""

    condition: Expr
    then: Expr
    otherwise: Expr

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        return self.then.dtype


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """One axis of iteration."""

    var: LoopVar
    extent: Dim


@dataclass(frozen=True, slots=True, eq=False)
class Reduce(Expr):
    """The `kind` ("sum", "prod", "max", "min") of `body` over `axes`, in row-major order."""

    kind: str
    axes: tuple[Axis, ...]
    body: Expr

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        return self.body.dtype


@dataclass(frozen=True, slots=True, eq=False)
class DataIndex(Atom):
    """An index that is read from data, clamped into 0..extent-1."""

    value: Expr
    extent: Dim
    serial: int = field(default_factory=dims.next_serial)
    holds = dims.OTHER

    @property
    def key(self) -> tuple[Any, ...]:
        return (7, self.serial)

    def __repr__(self) -> str:
        return f"data({self.value})"


class Tensor:
    """Something that can be indexed: a buffer or a computation."""

    __slots__ = ()
    name: str
    shape: tuple[Dim, ...]
    dtype: DType

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, index: Any) -> Expr:
        items = index if isinstance(index, tuple) else (index,)
        if len(items) != len(self.shape):
            raise ShapeError(
                f"{self.name} has {len(self.shape)} axes but is read with {len(items)} indices"
            )
        pairs = zip(items, self.shape, strict=True)
        return Load(self, tuple(as_index(item, extent) for item, extent in pairs))


@dataclass(frozen=True, slots=True, eq=False)
class Buffer(Tensor):
    """Row-major memory.  `scope` is "global", "local" (private scratch), "shared" (work-group) or
    "register" (small, indexed by constants and by unrolled or vector loops only)."""

    name: str
    shape: tuple[Dim, ...]
    dtype: DType
    scope: str = "global"

    @property
    def nelems(self) -> Dim:
        return dims.product(self.shape)

    @property
    def nbytes(self) -> Dim:
        return dims.mul(self.nelems, self.dtype.nbytes)

    def offset(self, index: Sequence[Dim]) -> Dim:
        """The element offset of an index."""
        result: Dim = 0
        for position, extent in zip(index, self.shape, strict=True):
            result = dims.add(dims.mul(result, extent), position)
        return result


class Stmt:
    """A statement of a kernel."""

    __slots__ = ()


LOOP_KINDS = ("serial", "parallel", "vector", "unroll", "grid", "local")
INDEPENDENT = ("parallel", "vector", "grid", "local")
"""Loops whose iterations may run in any order."""


@dataclass(frozen=True, slots=True, eq=False)
class For(Stmt):
    """`body` for var = 0 .. extent-1.

    serial: in order.  parallel, grid, local: iterations are independent.  vector: independent, run
    as `lanes` lanes of which the first `extent` are active.  unroll: constant extent, in order.
    """

    var: LoopVar
    extent: Dim
    kind: str
    body: Stmt
    lanes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Block(Stmt):
    """Statements one after the other."""

    stmts: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Alloc(Stmt):
    """`body` with a buffer of its own, uninitialised."""

    buffer: Buffer
    body: Stmt


@dataclass(frozen=True, slots=True, eq=False)
class Store(Stmt):
    """buffer[index] = value."""

    buffer: Buffer
    index: tuple[Dim, ...]
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Update(Stmt):
    """buffer[index] = function(buffer[index], value), function one of add, mul, max, min."""

    buffer: Buffer
    index: tuple[Dim, ...]
    function: str
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class If(Stmt):
    """`then` when the condition holds, else `otherwise`."""

    condition: Expr
    then: Stmt
    otherwise: Stmt | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Barrier(Stmt):
    """All work-items of a group wait for each other."""


@dataclass(frozen=True, slots=True, eq=False)
class Prefetch(Stmt):
    """buffer[index] will be read soon.  Changes no value, and may point past the buffer's end."""

    buffer: Buffer
    index: tuple[Dim, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """One unit of work.  A buffer in both `inputs` and `outputs` is updated in place.

    `dims` are the named extents that the body uses; `origin` the graph nodes it computes.
    """

    name: str
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    dims: tuple[DimVar, ...]
    body: Stmt
    origin: str = ""
    packings: tuple[tuple[int, Packing], ...] = ()
    """Inputs, by position, that a schedule reads packed: their buffers have the packed shape."""
    over_blocks: bool = False
    """Its outermost loops run over blocks of several kernels (see blocks.py)."""

    @property
    def params(self) -> tuple[Buffer, ...]:
        return (*self.inputs, *(b for b in self.outputs if b not in self.inputs))


def as_index(item: Any, extent: Dim) -> Dim:
    """The integer expression for one index; data-dependent values are clamped."""
    if isinstance(item, (int, Symbolic)):
        return item
    if isinstance(item, IndexValue):
        return item.dim
    if isinstance(item, Const) and item.dtype.is_integer:
        return int(item.value)
    if isinstance(item, Expr):
        if not item.dtype.is_integer:
            raise DTypeError(f"an index must be an integer, got {item.dtype}")
        return DataIndex(item, extent)
    raise DTypeError(f"an index must be an integer or an index expression, got {item!r}")


def as_expr(value: ExprLike, like: DType | None = None) -> Expr:
    """A literal or dim as an expression, of dtype `like` where given."""
    if isinstance(value, Expr):
        return value
    if isinstance(value, Symbolic):
        return IndexValue(value)
    if like is None:
        like = bool_ if isinstance(value, bool) else int64 if isinstance(value, int) else None
    if like is None:
        raise DTypeError(f"the dtype of the literal {value!r} is not known here; use const()")
    return const(value, like)


def const(value: int | float | bool, dtype: Any) -> Const:
    """A literal of a given dtype, rounded to it.  Raises: DTypeError when it does not fit."""
    kind = as_dtype(dtype)
    if kind.is_float:
        return Const(float(value), kind)
    if kind.is_bool:
        return Const(bool(value), kind)
    if isinstance(value, float) and not value.is_integer():
        raise DTypeError(f"the literal {value!r} does not fit {kind}: cast the tensor to a float")
    number = int(value)
    if not int(kind.lowest) <= number <= int(kind.highest):
        raise DTypeError(f"the literal {value!r} is out of range for {kind}")
    return Const(number, kind)


def call(function: str, *args: Expr) -> Expr:
    """Apply a scalar function to values of one dtype.  Raises: DTypeError."""
    spec = FUNCTIONS[function]
    kinds = {a.dtype for a in args}
    if len(kinds) != 1:
        names = ", ".join(a.dtype.name for a in args)
        raise DTypeError(f"{function} needs values of one dtype, got {names}; cast one of them")
    dtype = args[0].dtype
    if spec.domain == "float" and not dtype.is_float:
        raise DTypeError(f"{function} needs floats, got {dtype}; cast the value first")
    if spec.domain == "integer" and not dtype.is_integer:
        raise DTypeError(f"{function} needs integers, got {dtype}")
    return Call(function, tuple(args), bool_ if spec.result == "bool" else dtype)


def binary(function: str, a: ExprLike, b: ExprLike) -> Expr:
    """A function of two values of which one may be a literal or an index."""
    left, right = _common(a, b)
    return call(function, left, right)


def _common(a: ExprLike, b: ExprLike) -> tuple[Expr, Expr]:
    if isinstance(a, Expr) and not isinstance(b, Expr):
        return a, (as_expr(b) if isinstance(b, Symbolic) else as_expr(b, a.dtype))
    if isinstance(b, Expr) and not isinstance(a, Expr):
        return (as_expr(a) if isinstance(a, Symbolic) else as_expr(a, b.dtype)), b
    return as_expr(a), as_expr(b)


def _index_arithmetic(function: str, a: ExprLike, b: ExprLike) -> Expr:
    left, right = _dim_or_none(a), _dim_or_none(b)
    if left is None or right is None:
        return binary(function, a, b)
    operation = {
        "add": dims.add,
        "sub": lambda x, y: dims.add(x, dims.mul(y, -1)),
        "mul": dims.mul,
        "floordiv": dims.floordiv,
        "mod": dims.mod,
    }[function]
    return IndexValue(operation(left, right))


def _dim_or_none(value: ExprLike) -> Dim | None:
    if isinstance(value, IndexValue):
        return value.dim
    if isinstance(value, bool):
        return None
    return value if isinstance(value, (int, Symbolic)) else None


def cast(value: ExprLike, dtype: Any) -> Expr:
    """Convert to a dtype; nothing when it is that already."""
    target = as_dtype(dtype)
    expr = as_expr(value)
    if expr.dtype == target:
        return expr
    if isinstance(expr, Const) and target.is_float and not expr.dtype.is_bool:
        return const(expr.value, target)
    return Cast(expr, target)


def where(condition: Expr, then: ExprLike, otherwise: ExprLike) -> Expr:
    """`then` where the condition holds, else `otherwise`; literals take the other's dtype."""
    left, right = _common(then, otherwise)
    if condition.dtype != bool_:
        raise DTypeError(f"where needs a bool condition, got {condition.dtype}")
    if left.dtype != right.dtype:
        raise DTypeError(f"where needs branches of one dtype, got {left.dtype} and {right.dtype}")
    return Select(condition, left, right)


def neutral(kind: str, dtype: DType) -> Const:
    """The neutral element of a reduction."""
    assert kind in REDUCTIONS, kind
    values = {"sum": 0, "prod": 1, "max": dtype.lowest, "min": dtype.highest}
    return const(values[kind], dtype)


def block(*stmts: Stmt) -> Stmt:
    """The statements in order, nested blocks flattened."""
    flat: list[Stmt] = []
    for stmt in stmts:
        flat.extend(stmt.stmts if isinstance(stmt, Block) else (stmt,))
    return flat[0] if len(flat) == 1 else Block(tuple(flat))
