"""Reductions whose condition picks their terms, written as loops that visit every term once.

Read literally, such a reduction looks at every term for every element; the loops here cost as many
steps as there are terms and elements together.

    scattered   y[k,j] = sum_r (x[r,j] if place[r] == k else 0)
                ->  for k, j: y[k,j] = 0
                    for j: for r: if 0 <= place[r] < n: y[place[r],j] += x[r,j]

    running     y[i]   = sum_r (x[r] if r <= i else 0)
                ->  acc = 0;   for i: acc += x[i]; y[i] = acc          (`i <= r`: from the end)

Terms are combined in the same order as by the plain loop, except that a running reduction from the
end starts there.  A term that is not picked must be the neutral value, so that leaving it out
changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import dims
from .compute import Compute
from .dims import Dim, LoopVar
from .functions import REDUCTIONS
from .ir import (
    Alloc,
    Axis,
    Buffer,
    Call,
    Const,
    DataIndex,
    Expr,
    For,
    If,
    IndexValue,
    Load,
    Reduce,
    Select,
    Stmt,
    Store,
    Update,
    block,
    call,
    cast,
    const,
    neutral,
)
from .rewrite import ExprRewriter, Substitute, walk

Target = tuple[Buffer, tuple[Dim, ...]]


@dataclass(frozen=True, slots=True)
class Scattered:
    """`value`, for each of `terms`, combined by `kind` into the element that `place` names along
    the axis number `axis`."""

    axis: int
    kind: str
    place: Expr
    value: Expr
    terms: tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Running:
    """`value`, of which `term` is the position along the axis number `axis`, combined by `kind`
    from the first position to each, or under `reverse` from the last."""

    axis: int
    kind: str
    value: Expr
    term: Axis
    reverse: bool


Picked = Scattered | Running


def picked_terms(compute: Compute) -> Picked | None:
    """What a computation is, when it is one reduction over picked terms."""
    body = compute.body
    if not isinstance(body, Reduce) or not isinstance(body.body, Select):
        return None
    choice = body.body
    if not _is_neutral(choice.otherwise, body) or _holds_reduction(choice):
        return None
    condition = choice.condition
    if not isinstance(condition, Call) or len(condition.args) != 2:
        return None
    if condition.function == "eq":
        return _scattered(compute, body, choice, condition)
    return _running(compute, body, choice, condition) if condition.function == "le" else None


def visited(compute: Compute, picked: Picked) -> Dim:
    """How many terms the loops of a picked reduction visit in all."""
    rest = [a.extent for n, a in enumerate(compute.axes) if n != picked.axis]
    terms = picked.terms if isinstance(picked, Scattered) else (picked.term,)
    return dims.product([*rest, *(a.extent for a in terms)])


def _scattered(
    compute: Compute, reduction: Reduce, choice: Select, condition: Call
) -> Scattered | None:
    if compute.dtype != compute.dtype.accumulator:
        return None  # it adds up in the result itself
    for element, place in (condition.args, condition.args[::-1]):
        axis = _axis_number(compute, element)
        if axis is None or not place.dtype.is_integer:
            continue
        variable = compute.axes[axis].var
        if not _depends(place, variable) and not _depends(choice.then, variable):
            return Scattered(axis, reduction.kind, place, choice.then, reduction.axes)
    return None


def _running(
    compute: Compute, reduction: Reduce, choice: Select, condition: Call
) -> Running | None:
    if len(reduction.axes) != 1:
        return None
    (term,) = reduction.axes
    for reverse in (False, True):
        first, second = condition.args[::-1] if reverse else condition.args
        axis = _axis_number(compute, second)
        if axis is None or _variable(first) != term.var:
            continue
        over = compute.axes[axis]
        if over.extent == term.extent and not _depends(choice.then, over.var):
            return Running(axis, reduction.kind, choice.then, term, reverse)
    return None


def _is_neutral(value: Expr, reduction: Reduce) -> bool:
    return isinstance(value, Const) and value.value == neutral(reduction.kind, value.dtype).value


def _holds_reduction(expr: Expr) -> bool:
    return any(isinstance(e, Reduce) for e in walk(expr))


def _variable(expr: Expr) -> LoopVar | None:
    return expr.dim if isinstance(expr, IndexValue) and isinstance(expr.dim, LoopVar) else None


def _axis_number(compute: Compute, expr: Expr) -> int | None:
    variable = _variable(expr)
    found = [n for n, a in enumerate(compute.axes) if a.var == variable and a.extent != 1]
    return found[0] if found else None


def _depends(expr: Expr, variable: LoopVar) -> bool:
    for e in walk(expr):
        index: tuple[Dim, ...] = ()
        if isinstance(e, Load):
            index = e.index
        elif isinstance(e, IndexValue):
            index = (e.dim,)
        if any(variable in dims.atoms(d) for d in index):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Loops:
    """Where a picked reduction is written: the first of `targets` holds the result, the others are
    copies of it; `loops` are the element loops that are not shared with other stages; `rewriter`
    makes an expression of the computation one of the kernel, given the variables of its terms;
    `simplify` makes indices plain."""

    targets: Sequence[Target]
    loops: Sequence[Axis]
    rewriter: Callable[[dict[object, Dim]], ExprRewriter]
    simplify: Callable[[Sequence[Axis], Expr], Expr]

    def write(self, picked: Picked, variable: LoopVar) -> Stmt:
        """The statements; `variable` is the loop along the picked axis."""
        if isinstance(picked, Scattered):
            return self._scattered(picked, variable)
        return self._running(picked, variable)

    def _scattered(self, picked: Scattered, variable: LoopVar) -> Stmt:
        (buffer, index), *copies = self.targets
        along = next(a for a in self.loops if a.var == variable)
        others = [a for a in self.loops if a is not along]
        start = Store(buffer, index, neutral(picked.kind, buffer.dtype))
        terms = [Axis(LoopVar(a.var.hint), a.extent) for a in picked.terms]
        values: dict[object, Dim] = {a.var: t.var for a, t in zip(picked.terms, terms, strict=True)}
        rewriter = self.rewriter(values)
        place, value = (
            self.simplify([*self.loops, *terms], rewriter(e)) for e in (picked.place, picked.value)
        )
        place = cast(place, "int64")
        below = call("lt", place, IndexValue(along.extent))
        inside = call("and", call("le", const(0, "int64"), place), below)
        chosen = {variable: DataIndex(place, along.extent)}
        where = tuple(dims.substitute(d, chosen) for d in index)
        add = If(inside, Update(buffer, where, REDUCTIONS[picked.kind], value))
        return block(
            self._own_nest(start),
            nest(others, "parallel", nest(terms, "serial", add)),
            *(self._own_nest(Store(b, i, Load(buffer, index))) for b, i in copies),
        )

    def _own_nest(self, body: Stmt) -> Stmt:
        """The body for every element, in loops with variables of its own."""
        loops = [Axis(LoopVar(a.var.hint), a.extent) for a in self.loops]
        values = {a.var: b.var for a, b in zip(self.loops, loops, strict=True)}
        return nest(loops, "parallel", Substitute(values).stmt(body))

    def _running(self, picked: Running, variable: LoopVar) -> Stmt:
        along = next(a for a in self.loops if a.var == variable)
        others = [a for a in self.loops if a is not along]
        position: Dim = variable
        if picked.reverse:
            position = dims.add(dims.add(along.extent, -1), dims.mul(variable, -1))
        value = self.simplify(self.loops, self.rewriter({picked.term.var: position})(picked.value))
        kind = value.dtype.accumulator
        total = Buffer("total", (), kind, "register")
        result = cast(Load(total, ()), value.dtype)
        step: list[Stmt] = [Update(total, (), REDUCTIONS[picked.kind], cast(value, kind))]
        for buffer, index in self.targets:
            place = tuple(dims.substitute(d, {variable: position}) for d in index)
            step.append(Store(buffer, place, result))
        start = Store(total, (), neutral(picked.kind, kind))
        body = block(start, For(along.var, along.extent, "serial", block(*step)))
        return nest(others, "parallel", Alloc(total, body))


def nest(axes: Sequence[Axis], kind: str, body: Stmt) -> Stmt:
    """`body` inside loops, the first axis outermost."""
    for axis in reversed(axes):
        body = For(axis.var, axis.extent, kind, body)
    return body
