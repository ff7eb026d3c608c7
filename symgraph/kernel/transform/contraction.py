"""Recognise a contraction in a naive kernel: sums of products over any axes.

    parallel i < M:                     rows     i   (only in the left factor)
      parallel j < N:                   columns  j   (only in the right factor)
        alloc acc: f32[] in register    summed   r
        acc[] = 0.0                     left     a[i,r]
        serial r < K:            ->     right    b[r,j]
          acc[] add= a[i,r] * b[r,j]    batch    axes that both factors have
        c[i,j] = acc[] + bias[j]        epilogue c[i,j] = acc[] + bias[j]

Matrix products in every transpose, batched ones, convolutions and their gradients all have this
form.  The factors are any expressions, so what was fused into them comes along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .. import dims
from ..dims import Dim, LoopVar
from ..ir import (
    Alloc,
    Axis,
    Block,
    Buffer,
    Call,
    Cast,
    Const,
    DataIndex,
    Expr,
    For,
    IndexValue,
    Kernel,
    Load,
    Stmt,
    Store,
    Update,
    block,
)
from ..rewrite import statements, walk


@dataclass(frozen=True, slots=True, eq=False)
class Contraction:
    """accumulator = sum over `summed` of left * right, then `epilogue`, at every outer point.

    `casts` are applied to each product before it is added (half precision sums in float32).  The
    last outer axis is among `columns`, so that neighbouring columns are neighbours in the output.
    """

    batch: tuple[Axis, ...]
    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]
    summed: tuple[Axis, ...]
    accumulator: Buffer
    left: Expr
    right: Expr
    casts: tuple[Cast, ...]
    epilogue: Stmt

    def product(self, left: Expr, right: Expr) -> Expr:
        """left * right as it is added to the accumulator."""
        value: Expr = Call("mul", (left, right), left.dtype)
        for conversion in self.casts:
            value = Cast(value, conversion.dtype)
        return value


def variables(expr: Expr) -> set[LoopVar]:
    """The loop variables that a value depends on."""
    found: set[LoopVar] = set()
    for e in walk(expr):
        index: tuple[Dim, ...] = ()
        if isinstance(e, Load):
            index = e.index
        elif isinstance(e, IndexValue):
            index = (e.dim,)
        found.update(atom for d in index for atom in dims.atoms(d) if isinstance(atom, LoopVar))
    return found


def match_contraction(kernel: Kernel) -> Contraction | None:
    """The contraction that the kernel is, or None."""
    axes, body = perfect_nest(kernel.body, "parallel")
    if not isinstance(body, Alloc) or body.buffer.shape != () or not isinstance(body.body, Block):
        return None
    accumulator, (start, *rest) = body.buffer, body.body.stmts
    if len(rest) < 2 or not _starts_at_zero(start, accumulator):
        return None
    summed, update = perfect_nest(rest[0], "serial")
    if not summed or not isinstance(update, Update) or update.buffer is not accumulator:
        return None
    factors = _factors(update)
    if factors is None or any(isinstance(s, (Alloc, For)) for r in rest[1:] for s in statements(r)):
        return None
    left, right, casts = factors
    return _classify(axes, summed, accumulator, left, right, casts, block(*rest[1:]))


def perfect_nest(stmt: Stmt, kind: str) -> tuple[list[Axis], Stmt]:
    """The loops of one kind that stand directly in each other, and what is inside."""
    axes: list[Axis] = []
    while isinstance(stmt, For) and stmt.kind == kind:
        axes.append(Axis(stmt.var, stmt.extent))
        stmt = stmt.body
    return axes, stmt


def _starts_at_zero(stmt: Stmt, accumulator: Buffer) -> bool:
    return (
        isinstance(stmt, Store)
        and stmt.buffer is accumulator
        and isinstance(stmt.value, Const)
        and stmt.value.value == 0
    )


def _factors(update: Update) -> tuple[Expr, Expr, tuple[Cast, ...]] | None:
    if update.function != "add":
        return None
    value, casts = update.value, []
    while isinstance(value, Cast):
        casts.append(value)
        value = value.value
    if not isinstance(value, Call) or value.function != "mul":
        return None
    left, right = value.args
    return left, right, tuple(reversed(casts))


def _classify(
    axes: Sequence[Axis],
    summed: Sequence[Axis],
    accumulator: Buffer,
    left: Expr,
    right: Expr,
    casts: tuple[Cast, ...],
    epilogue: Stmt,
) -> Contraction | None:
    in_left, in_right = variables(left), variables(right)
    if not axes or not all(a.var in in_left and a.var in in_right for a in summed):
        return None
    if any(isinstance(d, DataIndex) for a in summed for d in dims.atoms(a.extent)):
        return None
    if axes[-1].var in in_left and axes[-1].var not in in_right:
        left, right, in_left, in_right = right, left, in_right, in_left
    batch = tuple(a for a in axes if a.var in in_left and a.var in in_right)
    rows = tuple(a for a in axes if a.var in in_left and a.var not in in_right)
    columns = tuple(a for a in axes if a.var in in_right and a.var not in in_left)
    if not rows or not columns or len(batch) + len(rows) + len(columns) != len(axes):
        return None
    return Contraction(
        batch, rows, columns, tuple(summed), accumulator, left, right, casts, epilogue
    )
