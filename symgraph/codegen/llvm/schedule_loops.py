"""Loops into vectors, for every kernel that is not a tiled contraction.

Each nest of independent loops gets the loop as vector lanes along which memory is touched most
evenly; where there is none (the row of a softmax or of a norm), the loops inside are looked at, and
a loop that only accumulates is run in partial results.  The choice counts accesses by their
strides; nothing is timed.
"""

from __future__ import annotations

from math import prod

from ...kernel.dims import LoopVar, dim_vars
from ...kernel.ir import Alloc, Block, Cast, For, If, Kernel, Load, Stmt, Store, Update
from ...kernel.rewrite import StmtRewriter, Substitute, expressions, statements, walk
from ...kernel.transform.locate import ScheduleError, perfect_nest
from ...kernel.transform.reorder import nest_in_order
from ...kernel.transform.vectorise import vectorise_loop
from ...kernel.transform.vectorise_reduction import vectorise_reduction_loop
from .machine import Machine
from .memory import MOST_STRIDE
from .strides import UNKNOWN_EXTENT, Access, accesses, index_values_vary, lane_cost, stride
from .transposed_copies import transposed_copy

MOST_LANES = 16
WORTHWHILE = 0.8
"""Vectors must cost at most this part of what scalars cost."""

MOST_WRITTEN_OUT = 16
"""Iterations of short loops inside vectors that are written out: windows of images and channels."""

JUDGED_EXTENTS = (16, 256)
"""An open extent of loops inside a nest, where lanes are chosen."""

SHORTEST_REDUCTION = 8
"""Constant reductions below this stay scalar: adding up the lanes would cost more."""

HORIZONTAL_COST = 60.0
"""One sum in lanes: its start, what is left over, adding up the lanes, against a scalar access."""


class Vectorise(StmtRewriter):
    """Rewrites statements from the outside in."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def stmt(self, stmt: Stmt) -> Stmt:
        if isinstance(stmt, For) and has_vectors(stmt):
            return stmt
        if isinstance(stmt, For) and stmt.kind == "parallel":
            return self._independent(stmt)
        if isinstance(stmt, For) and stmt.kind == "serial":
            return self._serial(stmt)
        return super().stmt(stmt)

    def _independent(self, loop: For) -> Stmt:
        nest = perfect_nest(loop)
        lanes = self.lanes(nest[-1].body)
        turned = transposed_copy(nest, lanes)
        if turned is not None:
            return turned
        chosen = best_axis(nest, lanes)
        if chosen is not None:
            order = [n.var for n in nest if n.var != chosen] + [chosen]
            try:
                ordered = nest_in_order(nest, order)
                near = _along_stores(nest, chosen)
                return WriteOut().stmt(_beside_lanes(_innermost(ordered, lanes), near))
            except ScheduleError:
                pass
        body = self.stmt(nest[-1].body)
        for outer in reversed(nest):
            body = For(outer.var, outer.extent, outer.kind, body, outer.lanes)
        return body

    def _serial(self, loop: For) -> Stmt:
        update = loop.body
        may_split = not self.machine.ordered_sums
        if may_split and isinstance(update, Update) and reduces_evenly(loop):
            try:
                return vectorise_reduction_loop(loop, self.lanes(update))
            except ScheduleError:
                pass
        return super().stmt(loop)

    def lanes(self, body: Stmt) -> int:
        """Lanes of the widest type that the body works in."""
        return min(MOST_LANES, self.machine.lanes(widest(body)))


class WriteOut(StmtRewriter):
    """Short loops inside vectors written out, so that their indices are known."""

    def __init__(self) -> None:
        self.room = 0

    def stmt(self, stmt: Stmt) -> Stmt:
        if not isinstance(stmt, For):
            return super().stmt(stmt)
        room = self.room
        if stmt.kind == "vector":
            self.room = MOST_WRITTEN_OUT
        elif stmt.kind == "serial" and isinstance(stmt.extent, int) and 0 < stmt.extent <= room:
            self.room //= stmt.extent
            stmt = For(stmt.var, stmt.extent, "unroll", stmt.body)
        else:
            self.room = 0
        new = super().stmt(stmt)
        self.room = room
        return new


def has_vectors(stmt: Stmt) -> bool:
    """Something inside runs in lanes already."""
    return any(isinstance(s, For) and s.kind == "vector" for s in statements(stmt))


def widest(body: Stmt) -> int:
    """Bytes of the largest element; float16 and bfloat16 count as the float32 they become."""
    sizes = [1]
    for s in statements(body):
        if isinstance(s, (Store, Update)):
            sizes.append(s.buffer.dtype.accumulator.nbytes)
    for top in expressions(body):
        for e in walk(top):
            if isinstance(e, (Load, Cast)):
                sizes.append(e.dtype.accumulator.nbytes)
    return max(sizes)


def best_axis(nest: list[For], lanes: int) -> LoopVar | None:
    """The loop of a nest to run in lanes, or None when scalars are as good, or lanes along the
    loops inside are better.  Open loops inside are judged at few iterations and at many."""
    loops = [loop for loop in nest if lanes > 1 and loop.extent not in (0, 1)]
    judged = [_judged(body, lanes, loops) for body in _at_sizes(nest[-1].body)]
    best: LoopVar | None = None
    best_cost = prod(inside for inside, _ in judged)
    for loop in reversed(loops):
        cost = prod(along[loop.var] for _, along in judged)
        if cost < best_cost:
            best, best_cost = loop.var, cost
    return best


def _at_sizes(body: Stmt) -> tuple[Stmt, ...]:
    """What a nest does; where loops inside are open, with their extents as few and as many."""
    extents = [s.extent for s in statements(body) if isinstance(s, For)]
    open_ = {v for e in extents for v in dim_vars(e)}
    if not open_:
        return (body,)
    return tuple(Substitute(dict.fromkeys(open_, n)).stmt(body) for n in JUDGED_EXTENTS)


def _judged(body: Stmt, lanes: int, loops: list[For]) -> tuple[float, dict[LoopVar, float]]:
    """What lanes along the loops inside cost, and those along each of the loops around,
    against scalars."""
    found = accesses(body)
    scalar = float(sum(a.weight for a in found)) or 1.0
    inside = WORTHWHILE
    if any(isinstance(s, For) for s in statements(body)):
        inside = min(inside, _inside_cost(body, lanes) / scalar)
    return inside, {x.var: _cost_along(x, found, body, lanes) / scalar for x in loops}


def _cost_along(loop: For, found: list[Access], body: Stmt, lanes: int) -> float:
    """What one round costs with a loop in lanes, a scalar access being 1."""
    total = sum(a.weight * lane_cost(a, loop.var, lanes, MOST_STRIDE) for a in found)
    total += 2.0 * lanes * index_values_vary(body, loop.var)
    used = float(lanes)
    if isinstance(loop.extent, int):
        used = loop.extent / -(-loop.extent // lanes)
    return (total if found else 1.0) / used


def _inside_cost(stmt: Stmt, lanes: int) -> float:
    """What a statement costs where its own loops are run in lanes."""
    match stmt:
        case Block(stmts=stmts):
            return sum(_inside_cost(s, lanes) for s in stmts)
        case Alloc(body=body):
            return _inside_cost(body, lanes)
        case If(then=then, otherwise=otherwise):
            other = 0.0 if otherwise is None else _inside_cost(otherwise, lanes)
            return _inside_cost(then, lanes) + other
        case For(kind="parallel"):
            nest = perfect_nest(stmt)
            times = prod(_times(loop) for loop in nest)
            found = accesses(nest[-1].body)
            costs = [_inside_cost(nest[-1].body, lanes)]
            long = [loop for loop in nest if lanes > 1 and loop.extent not in (0, 1)]
            costs += [_cost_along(loop, found, nest[-1].body, lanes) for loop in long]
            return times * min(costs)
        case For(body=body):
            is_long = lanes > 1 and stmt.extent not in (0, 1)
            if is_long and isinstance(body, Update) and reduces_evenly(stmt):
                one = _cost_along(stmt, accesses(body), body, lanes)
                return _times(stmt) * one + HORIZONTAL_COST
            return _times(stmt) * _inside_cost(body, lanes)
        case _:
            return float(sum(a.weight for a in accesses(stmt)))


def _times(loop: For) -> int:
    return loop.extent if isinstance(loop.extent, int) else UNKNOWN_EXTENT


def _innermost(nest: Stmt, lanes: int) -> Stmt:
    """The innermost of directly nested loops as vectors."""
    if isinstance(nest, For) and isinstance(nest.body, For) and nest.body.kind == "parallel":
        return For(nest.var, nest.extent, nest.kind, _innermost(nest.body, lanes), nest.lanes)
    assert isinstance(nest, For)
    if isinstance(nest.extent, int):
        while lanes // 2 >= max(2, nest.extent):
            lanes //= 2
    return vectorise_loop(nest, lanes)


def _along_stores(nest: list[For], chosen: LoopVar) -> LoopVar | None:
    """The loop along which memory is written that the lanes scatter their elements over."""
    found = accesses(nest[-1].body)
    scattered = [a for a in found if a.is_store and stride(a, chosen) not in (0, 1)]
    for loop in reversed(nest):
        if loop.var != chosen and any(stride(a, loop.var) == 1 for a in scattered):
            return loop.var
    return None


def _beside_lanes(stmt: Stmt, var: LoopVar | None) -> Stmt:
    """The loop moved inside the others, next to the lanes: what they leave of the lines that they
    touch is touched next."""
    if var is None or not isinstance(stmt, For):
        return stmt
    nest = perfect_nest(stmt)
    if all(loop.var != var for loop in nest):
        return stmt
    return nest_in_order(nest, [*(loop.var for loop in nest if loop.var != var), var])


def reduces_evenly(loop: For) -> bool:
    """An accumulating loop whose loads are contiguous or uniform along it."""
    if isinstance(loop.extent, int) and loop.extent < SHORTEST_REDUCTION:
        return False
    found = accesses(loop.body)
    if not found or index_values_vary(loop.body, loop.var):
        return False
    return all(a.is_store or lane_cost(a, loop.var, 16, 2) <= 4.0 for a in found)


def vectorise_kernel(kernel: Kernel, machine: Machine) -> Kernel:
    """Every loop nest of a kernel in vectors where that pays."""
    from dataclasses import replace

    return replace(kernel, body=Vectorise(machine).stmt(kernel.body))
