"""Write out the loops along which an expression is chosen.

    parallel a < 2:                                parallel i < 7:
      parallel i < 7:                                unroll a < 2:
        y[a,i] = a == 0 ? x[i] + 1 : x[i] - 1  ->      y[a,i] = a == 0 ? x[i] + 1 : x[i] - 1

    parallel i < 8:                                parallel i < 4:
      y[i] = i%2 == 0 ? x[i//2] : -x[i//2]     ->    unroll i2 < 2:
                                                       y[2*i+i2] = i2 == 0 ? x[i] : -x[i]

Where the loop is written out every choice is known, and what the alternatives share is computed
once for all of them.  A loop that the choice does not divide evenly gets a condition.
"""

from __future__ import annotations

from dataclasses import replace

from .. import dims
from ..dims import Dim, LoopVar
from ..inlining import compared_index
from ..ir import Alloc, Block, Expr, For, If, IndexValue, Kernel, Select, Stmt, call
from ..rewrite import StmtRewriter, SubstituteWithin, expressions, walk
from .locate import perfect_nest, uses

MOST = 8
"""Values of a choice that are written out."""


def unroll_choices(kernel: Kernel) -> Kernel:
    """The kernel with its loops over choices innermost and written out."""
    return replace(kernel, body=_Unroll().stmt(kernel.body))


class _Unroll(StmtRewriter):
    """Rewrites the nests of independent loops that hold no further loops."""

    def stmt(self, stmt: Stmt) -> Stmt:
        if not isinstance(stmt, For) or stmt.kind != "parallel":
            return super().stmt(stmt)
        nest = perfect_nest(stmt)
        found = {} if _has_loops(nest[-1].body) else _choices(nest[-1].body)
        sizes = {loop.var: _size(loop, found) for loop in nest}
        if all(size is None for size in sizes.values()):
            return super().stmt(stmt)
        return _written_out(nest, sizes)


def _has_loops(stmt: Stmt) -> bool:
    match stmt:
        case Block(stmts=stmts):
            return any(_has_loops(s) for s in stmts)
        case Alloc(body=body):
            return _has_loops(body)
        case For():
            return True
        case _:
            return False


def _choices(body: Stmt) -> dict[LoopVar, set[Dim]]:
    """For each variable what it is compared as, in the conditions of selects: itself or v%k."""
    found: dict[LoopVar, set[Dim]] = {}
    for top in expressions(body):
        for e in walk(top):
            if isinstance(e, Select):
                compared = compared_index(e.condition)
                atom = compared.a if isinstance(compared, dims.Mod) else compared
                if isinstance(atom, LoopVar):
                    assert compared is not None
                    found.setdefault(atom, set()).add(compared)
    return found


def _size(loop: For, choices: dict[LoopVar, set[Dim]]) -> int | None:
    """How many iterations in a row are written out; None for a loop that is no choice."""
    forms = choices.get(loop.var, set())
    if len(forms) != 1:
        return None
    (form,) = forms
    size = form.b if isinstance(form, dims.Mod) else loop.extent
    return size if isinstance(size, int) and 1 < size <= MOST else None


def _written_out(nest: list[For], sizes: dict[LoopVar, int | None]) -> Stmt:
    ranges: dict[object, tuple[int | None, int | None]] = {}
    values: dict[LoopVar, Dim] = {}
    outer: list[For] = []
    inner: list[For] = []
    conditions: list[Expr] = []
    for loop in nest:
        size = sizes[loop.var]
        if size is None or any(uses(other.extent, loop.var) for other in nest):
            outer.append(loop)
            _, high = dims.bounds(loop.extent)
            ranges[loop.var] = (0, None if high is None else max(high - 1, 0))
            continue
        step, whole = LoopVar(loop.var.hint), dims.floordiv(dims.add(loop.extent, size - 1), size)
        inner.append(For(step, size, "unroll", Block(())))
        ranges[step] = (0, size - 1)
        if loop.extent == size:
            values[loop.var] = step
            continue
        first = LoopVar(loop.var.hint)
        outer.append(For(first, whole, loop.kind, Block(())))
        ranges[first] = (0, None)
        place = dims.add(dims.mul(first, size), step)
        values[loop.var] = place
        if dims.exact_quotient(loop.extent, size) is None:
            conditions.append(call("lt", IndexValue(place), IndexValue(loop.extent)))
    body = SubstituteWithin(values, ranges).stmt(nest[-1].body)
    for condition in conditions:
        body = If(condition, body)
    for loop in reversed((*outer, *inner)):
        body = For(loop.var, loop.extent, loop.kind, body)
    return body
