"""Runs kernels with numpy: the ground truth for every target.

Loops whose iterations are independent, and serial loops that only accumulate, are run as numpy
axes; any other loop is a Python loop.  The newest loop is the first axis, so that values of outer
loops broadcast by numpy's own rule.  A condition that differs among iterations becomes a mask; the
work-items of a group run in step, statement by statement, which is what their barriers ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import VerifyError
from ...kernel import dims
from ...kernel.dims import Dim, DimVar, LoopVar
from ...kernel.dtypes import DType
from ...kernel.functions import FUNCTIONS
from ...kernel.ir import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    Call,
    Cast,
    Const,
    Expr,
    For,
    If,
    IndexValue,
    Kernel,
    Load,
    Prefetch,
    Select,
    Stmt,
    Store,
    Update,
)
from ...kernel.rewrite import data_indices, expressions, statements, walk
from ...kernel.transform.locate import uses

Array = Any
LIMIT = 1 << 21
"""Elements that one numpy step may hold."""


@dataclass
class _Storage:
    """Memory of a buffer; `axes` numpy axes in front make it private to iterations."""

    array: np.ndarray[Any, Any]
    axes: tuple[LoopVar, ...]


class Evaluator:
    """One run of one kernel."""

    def __init__(self, kernel: Kernel, arrays: Mapping[Buffer, Array], env: Mapping[str, int]):
        self.kernel = kernel
        self.values: dict[Any, Any] = {DimVar(k): v for k, v in env.items()}
        self.storage = {b: _Storage(a, ()) for b, a in arrays.items()}
        self.active: list[LoopVar] = []
        self.extents: dict[LoopVar, int] = {}
        self.lanes: dict[LoopVar, Array] = {}
        self.summed: set[LoopVar] = set()
        self.mask: Array | None = None

    def run(self) -> None:
        with np.errstate(all="ignore"):
            self.stmt(self.kernel.body)

    # -- statements ----------------------------------------------------------------------------

    def stmt(self, stmt: Stmt) -> None:
        match stmt:
            case Block(stmts=stmts):
                for inner in stmts:
                    self.stmt(inner)
            case For():
                self.loop(stmt)
            case Alloc(buffer=buffer, body=body):
                self.alloc(buffer)
                self.stmt(body)
            case Store(buffer=buffer, index=index, value=value):
                self.store(buffer, index, self.expr(value))
            case Update():
                self.update(stmt)
            case If():
                self.branch(stmt)
            case Prefetch():
                pass
            case Barrier():
                pass
            case _:
                raise AssertionError(stmt)

    def branch(self, stmt: If) -> None:
        condition, outer = np.asarray(self.expr(stmt.condition)), self.mask
        if condition.size == 1 and outer is None:
            if condition.item():
                self.stmt(stmt.then)
            elif stmt.otherwise is not None:
                self.stmt(stmt.otherwise)
            return
        self.mask = condition if outer is None else condition & outer
        self.stmt(stmt.then)
        if stmt.otherwise is not None:
            self.mask = ~condition if outer is None else ~condition & outer
            self.stmt(stmt.otherwise)
        self.mask = outer

    def loop(self, loop: For) -> None:
        extent = int(self.dim(loop.extent))
        if extent <= 0:
            return
        if not self._as_axis(loop):
            for position in range(extent):
                self.values[loop.var] = position
                self.stmt(loop.body)
            return
        room = max(1, LIMIT // max(1, int(np.prod([self.extents[v] for v in self.active]))))
        if any(isinstance(s, Barrier) for s in statements(loop.body)):
            room = extent
        for start in range(0, extent, room):
            self._run_axis(loop, start, min(extent, start + room))

    def _run_axis(self, loop: For, start: int, stop: int) -> None:
        lane = np.arange(stop - start).reshape((-1,) + (1,) * len(self.active))
        self.lanes[loop.var] = lane
        self.values[loop.var] = lane + start
        self.extents[loop.var] = stop - start
        self.active.append(loop.var)
        if loop.kind == "serial":
            self.summed.add(loop.var)
        self.stmt(loop.body)
        self.summed.discard(loop.var)
        self.active.pop()

    def _as_axis(self, loop: For) -> bool:
        if _controls(loop.body, loop.var):
            return False
        if loop.kind == "local":
            return True
        if loop.kind in ("parallel", "vector", "grid"):
            return not any(isinstance(s, Barrier) for s in statements(loop.body))
        return loop.kind == "serial" and _only_accumulates(loop)

    def alloc(self, buffer: Buffer) -> None:
        shape = tuple(int(self.dim(d)) for d in buffer.shape)
        front = tuple(self.extents[v] for v in reversed(self.active))
        array = np.empty(front + shape, buffer.dtype.numpy)
        if buffer.dtype.is_float:
            array[...] = np.nan
        self.storage[buffer] = _Storage(array, tuple(reversed(self.active)))

    def _place(
        self, buffer: Buffer, index: tuple[Dim, ...], clip: bool
    ) -> tuple[np.ndarray[Any, Any], tuple[Array, ...]]:
        storage = self.storage[buffer]
        positions: list[Array] = [self.lanes[v] for v in storage.axes]
        extents = storage.array.shape[len(storage.axes) :]
        for dim, extent in zip(index, extents, strict=True):
            position = np.asarray(self.dim(dim))
            if clip or self.mask is not None:
                if not clip:
                    self._check_active(buffer, position, extent)
                position = np.clip(position, 0, max(extent - 1, 0))
            elif position.size and (position.min() < 0 or position.max() >= extent):
                raise VerifyError(
                    "K3",
                    f"kernel {self.kernel.name} reads or writes {buffer.name} out of bounds: "
                    f"index {position.min()}..{position.max()} of extent {extent}",
                )
            positions.append(position)
        return storage.array, tuple(positions)

    def _check_active(self, buffer: Buffer, position: Array, extent: int) -> None:
        """Iterations in which the condition holds must stay inside."""
        mask = np.asarray(self.mask)
        shape = np.broadcast_shapes(position.shape, mask.shape)
        active = np.broadcast_to(position, shape)[np.broadcast_to(mask, shape)]
        if active.size and (active.min() < 0 or active.max() >= extent):
            raise VerifyError(
                "K3",
                f"kernel {self.kernel.name} writes {buffer.name} out of bounds: index "
                f"{active.min()}..{active.max()} of extent {extent}",
            )

    def _put(self, array: Array, positions: tuple[Array, ...], value: Array) -> None:
        """array[positions] = value, in the iterations in which the condition holds."""
        if self.mask is None:
            array[positions if positions else ...] = value
            return
        mask = self.mask
        shape = np.broadcast_shapes(mask.shape, np.shape(value), *(p.shape for p in positions))
        active = np.broadcast_to(mask, shape)
        chosen = np.broadcast_to(value, shape)[active]
        if positions:
            array[tuple(np.broadcast_to(p, shape)[active] for p in positions)] = chosen
        elif chosen.size:
            array[...] = chosen[-1]

    def store(self, buffer: Buffer, index: tuple[Dim, ...], value: Array) -> None:
        array, positions = self._place(buffer, index, clip=False)
        self._put(array, positions, value)

    def update(self, stmt: Update) -> None:
        private = self.storage[stmt.buffer].axes
        summed = [v for v in self.active if v in self.summed and v not in private]
        value = np.asarray(self.expr(stmt.value))
        function: Any = FUNCTIONS[stmt.function].numpy
        if summed:
            shape = tuple(self.extents[v] for v in reversed(self.active))
            rank = len(self.active)
            axes = tuple(rank - 1 - self.active.index(v) for v in summed)
            value = np.broadcast_to(value, np.broadcast_shapes(value.shape, shape))
            value = function.reduce(value, axis=axes, keepdims=True, dtype=value.dtype)
        array, positions = self._place(stmt.buffer, stmt.index, clip=False)
        key: Any = positions if positions else ...
        old = array[key]
        # Axes that were added up stand in front with extent 1; a place that needs no axis has none.
        value = value.reshape(value.shape[max(0, value.ndim - np.ndim(old)) :])
        self._put(array, positions, function(old, value))

    # -- expressions ---------------------------------------------------------------------------

    def dim(self, dim: Dim) -> Any:
        if isinstance(dim, int):
            return dim
        env = dict(self.values)
        for atom in data_indices((dim,)):
            extent = int(np.max(self.dim(atom.extent)))
            env[atom] = np.clip(self.expr(atom.value), 0, max(extent - 1, 0)).astype(np.int64)
        return dims.evaluate(dim, env)

    def expr(self, top: Expr) -> Array:
        guarded = _guarded(top)
        done: dict[int, Array] = {}
        for e in walk(top):
            done[id(e)] = self._one(e, done, id(e) in guarded)
        return done[id(top)]

    def _one(self, e: Expr, done: dict[int, Array], guarded: bool) -> Array:
        match e:
            case Const(value=value, dtype=dtype):
                return np.asarray(value, dtype.numpy)
            case IndexValue(dim=dim):
                return np.asarray(self.dim(dim), np.int64)
            case Load(tensor=tensor, index=index):
                assert isinstance(tensor, Buffer)
                array, positions = self._place(tensor, index, guarded or self.mask is not None)
                if array.size == 0:
                    return np.zeros((), array.dtype)
                return array[positions if positions else ()]
            case Call(function=function, args=args, dtype=dtype):
                values = [done[id(a)] for a in args]
                result = FUNCTIONS[function].numpy(*values)
                return np.asarray(result).astype(dtype.numpy, copy=False)
            case Cast(value=value, dtype=dtype):
                return convert(done[id(value)], dtype)
            case Select(condition=c, then=t, otherwise=o):
                return np.where(done[id(c)], done[id(t)], done[id(o)])
            case _:
                raise AssertionError(e)


def convert(value: Array, dtype: DType) -> Array:
    """astype with a defined meaning from float to integer: truncate, saturate, NaN gives 0."""
    value = np.asarray(value)
    if dtype.is_integer and value.dtype.kind not in "iub":
        wide = np.trunc(
            np.nan_to_num(value.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf)
        )
        low, high = int(dtype.lowest), int(dtype.highest)
        inside = np.clip(wide, float(low), float(high))
        result = np.where(wide >= float(high), high, np.where(wide <= low, low, inside))
        exact = np.where((wide > low) & (wide < float(high)), inside, 0).astype(dtype.numpy)
        saturated = np.where(wide >= float(high), high, low).astype(dtype.numpy)
        del result
        return np.where((wide > low) & (wide < float(high)), exact, saturated).astype(dtype.numpy)
    return value.astype(dtype.numpy)


def _guarded(top: Expr) -> set[int]:
    """Loads under a branch of a select, which may be out of bounds where it is not taken."""
    found: set[int] = set()
    for e in walk(top):
        if isinstance(e, Select):
            for branch in (e.then, e.otherwise):
                found.update(id(inner) for inner in walk(branch))
    return found


def _controls(body: Stmt, var: LoopVar) -> bool:
    """A loop's extent below depends on the variable."""
    return any(isinstance(stmt, For) and uses(stmt.extent, var) for stmt in statements(body))


def _only_accumulates(loop: For) -> bool:
    """The body only updates, with one function, buffers that it does not read."""
    private = {s.buffer for s in statements(loop.body) if isinstance(s, Alloc)}
    updated: dict[Buffer, str] = {}
    for stmt in statements(loop.body):
        if isinstance(stmt, If) or (isinstance(stmt, Store) and stmt.buffer not in private):
            return False
        if isinstance(stmt, Update) and stmt.buffer not in private:
            if updated.setdefault(stmt.buffer, stmt.function) != stmt.function:
                return False
            if any(uses(d, loop.var) for d in stmt.index):
                return False
    for top in expressions(loop.body):
        for e in walk(top):
            if isinstance(e, Load) and e.tensor in updated:
                return False
    return True
