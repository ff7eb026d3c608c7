"""Rows of the result in bands, outermost, so that a thread works on the same rows everywhere.

    parallel u < 2:                               parallel b < 2:
      parallel t < 6:                               parallel u < 2:
        y[14*t+i,u] = sum x[14*t+i,k]*w[k,u]   ->     parallel t2 < 3:
                                                        y[14*(3*b+t2)+i,u] = ...

A row is what the result and every operand but some constants moves along: an image, a line of one,
a row of a matrix; along columns an operand that another kernel has just computed stays the same.
Threads take neighbouring parts of the outermost loops.  Where kernel after kernel is cut by rows,
a thread finds what it has computed itself in its own cache; cut by columns, every thread needs what
all threads have computed, and what lies in another core's cache comes more slowly than anything.

Against that, every band reads the constants anew.  So rows come first only where these are fewer
bytes than those that move along the rows; and some row tiles stay inside a band, behind one panel
of constants after the other.  The order in which elements are computed never changes their values.
"""

from __future__ import annotations

from dataclasses import replace

from ...kernel.dims import LoopVar
from ...kernel.ir import Alloc, Block, Buffer, For, If, Kernel, Load, Stmt, Update
from ...kernel.rewrite import statements, walk
from ...kernel.transform.locate import ScheduleError, perfect_nest, uses
from ...kernel.transform.reorder import nest_in_order
from ...kernel.transform.sink_condition import loops_of_branches, sink_condition
from ...kernel.transform.split import split_loop
from .strides import Access, accesses

LEAST_BANDS = 2
"""Bands are cut by columns too, where there are more threads."""

MOST_AGAIN = 384 * 1024
"""Bytes of constants that stay in a core's own cache from one band to the next."""

LEAST_KEPT = 4096
"""Bytes of constants for one round of a loop along which everything moves."""

MIXED_PART = 4
"""A kernel whose every operand moves along its channels says nothing of the weights around it: its
neighbours are taken to mix all its channels into a part of them, or the other way round."""


def row_bands(kernel: Kernel, constants: frozenset[int]) -> Kernel:
    """The kernel with the rows of each shared nest outermost where that pays.

    `constants` are the positions of inputs that hold the same in every call.
    """
    fixed = frozenset(kernel.inputs[number] for number in constants)
    if not fixed:
        return kernel
    private, body = [], kernel.body
    while isinstance(body, Alloc):
        private.append(body.buffer)
        body = body.body
    if isinstance(body, Block):
        body = Block(tuple(_banded(kernel, stmt, fixed) for stmt in body.stmts))
    else:
        body = _banded(kernel, body, fixed)
    for buffer in reversed(private):
        body = Alloc(buffer, body)
    return replace(kernel, body=body)


def _banded(kernel: Kernel, stmt: Stmt, fixed: frozenset[Buffer]) -> Stmt:
    if not isinstance(stmt, For) or stmt.kind != "parallel":
        return stmt
    nest = perfect_nest(_sunk(kernel, stmt))
    found = accesses(nest[-1].body)
    row = next((loop for loop in nest if _is_row(loop, found, fixed)), None)
    if row is None or row is nest[0] or not isinstance(row.extent, int):
        return stmt
    again = _again(nest, row, found)
    if again is None or again > min(MOST_AGAIN, _moved_nbytes(row, found)):
        return stmt
    band, rest = LoopVar("b"), LoopVar(row.var.hint)
    split = split_loop(row, _rows_of_a_band(row.extent), band, rest)
    assert isinstance(split.body, For)
    position = nest.index(row)
    inner = perfect_nest(split.body)
    order = [band, *(loop.var for loop in nest[:position]), *(loop.var for loop in inner)]
    try:
        return nest_in_order([split, *nest[:position], *inner], order)
    except ScheduleError:
        return stmt


def _sunk(kernel: Kernel, loop: For) -> For:
    """The nest with the conditions between its loops moved inside them."""
    alone = replace(kernel, body=loop)
    while True:
        assert isinstance(alone.body, For)
        last = perfect_nest(alone.body)[-1]
        if not isinstance(last.body, If) or loops_of_branches(last) is None:
            return alone.body
        alone = sink_condition(alone, last.var)


def _is_row(loop: For, found: list[Access], fixed: frozenset[Buffer]) -> bool:
    """Everything moves along the loop but at least one constant."""
    if loop.extent in (0, 1):
        return False
    still = {a.buffer for a in found if not _moves(a, loop.var)}
    return bool(still) and still <= fixed


def _moves(access: Access, var: LoopVar) -> bool:
    return any(uses(d, var) for d in access.index)


def _again(nest: list[For], row: For, found: list[Access]) -> int | None:
    """Bytes that each band reads although another one has, or that its neighbours do; None where
    other loops must stay outside.

    Along some loops everything moves: channels of a depthwise convolution, groups, the products of
    a transformed one.  They go inside the bands only where a round of them keeps next to nothing.
    """
    still = {a.buffer for a in found if not _moves(a, row.var)}
    total = sum(_nbytes(b) for b in still)
    alone = [loop.extent for loop in nest if all(_moves(a, loop.var) for a in found)]
    if not alone:
        return total
    rounds = 1
    for extent in alone:
        rounds *= extent if isinstance(extent, int) else 1
    if total > rounds * LEAST_KEPT or not _is_weighted(nest[-1].body, still):
        return None
    channels = rounds * _lanes(nest[-1].body)
    return max(total, channels * channels * 4 // MIXED_PART)


def _is_weighted(body: Stmt, constants: set[Buffer]) -> bool:
    """Constants are among what is added up."""
    return any(
        isinstance(e, Load) and e.tensor in constants
        for s in statements(body)
        if isinstance(s, Update)
        for e in walk(s.value)
    )


def _lanes(body: Stmt) -> int:
    widths = [s.lanes or s.extent for s in statements(body)
              if isinstance(s, For) and s.kind == "vector"]  # fmt: skip
    return max((w for w in widths if isinstance(w, int)), default=1)


def _moved_nbytes(row: For, found: list[Access]) -> int:
    return sum(_nbytes(b) for b in {a.buffer for a in found if _moves(a, row.var)})


def _nbytes(buffer: Buffer) -> int:
    nbytes = buffer.nbytes
    return nbytes if isinstance(nbytes, int) else 0


def _rows_of_a_band(extent: int) -> int:
    """The most rows that divide the extent into enough bands; one where none do."""
    return next(n for n in range(max(1, extent // LEAST_BANDS), 0, -1) if extent % n == 0)
