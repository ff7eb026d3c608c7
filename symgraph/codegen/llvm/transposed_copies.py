"""Copies whose rows become columns: square tiles turned round in registers.

    parallel r < 64:                           parallel a < 4:
      parallel v < 64:                           parallel b < 4:
        packed[r,v] = k[v,r]                       alloc tile: f32[16,16] in register
                                        ->         unroll i < 16: vector j < 16:
                                                     tile[i,j] = k[16*a+i,16*b+j]
                                                   unroll j < 16: vector i < 16:
                                                     packed[16*b+j,16*a+i] = tile[i,j]

Memory is read and written in whole vectors; between them are as many shuffles as vectors for each
halving of the tile.  Element by element, a copy of keys took as long as a quarter of attention over
128 of them.
"""

from __future__ import annotations

from ...kernel import dims
from ...kernel.dims import Dim, LoopVar
from ...kernel.ir import (
    Alloc,
    Buffer,
    Const,
    Expr,
    For,
    If,
    IndexValue,
    Load,
    Select,
    Stmt,
    Store,
    block,
    call,
)
from ...kernel.rewrite import substitute
from ...kernel.transform.locate import expr_uses
from .strides import Access, stride

LEAST_LANES = 4


def transposed_copy(nest: list[For], lanes: int) -> Stmt | None:
    """A nest that only copies into scratch, in tiles; None where it is something else, or the axes
    are no whole tiles."""
    store = nest[-1].body
    if lanes < LEAST_LANES or not isinstance(store, Store) or store.buffer.scope != "local":
        return None
    load = _copied(store.value)
    if load is None or load.dtype != store.buffer.dtype:
        return None
    assert isinstance(load.tensor, Buffer)
    column = _contiguous(nest, Access(store.buffer, store.index, 1, True))
    row = _contiguous(nest, Access(load.tensor, load.index, 1, False))
    if column is None or row is None or column is row:
        return None
    if not all(isinstance(x.extent, int) and x.extent >= lanes for x in (column, row)):
        return None
    if isinstance(store.value, Select) and expr_uses(store.value.condition, row.var):
        return None
    return _tiles(nest, store, column, row, lanes)


def _copied(value: Expr) -> Load | None:
    """What is copied, perhaps only where a condition holds, a number elsewhere."""
    if isinstance(value, Select) and isinstance(value.otherwise, Const):
        value = value.then
    return value if isinstance(value, Load) else None


def _contiguous(nest: list[For], access: Access) -> For | None:
    """The loop along which elements are neighbours."""
    return next((loop for loop in nest if stride(access, loop.var) == 1), None)


def _tiles(nest: list[For], store: Store, column: For, row: For, lanes: int) -> Stmt:
    outer = {x.var: LoopVar(x.var.hint) for x in (column, row)}
    tile = Buffer("tile", (lanes, lanes), store.buffer.dtype, "register")

    def at(across: Dim, along: Dim) -> dict[LoopVar, Dim]:
        inner = ((column.var, across), (row.var, along))
        return {v: dims.add(dims.mul(outer[v], lanes), n) for v, n in inner}

    def left(loop: For) -> Dim:
        """What the axis still has where a tile starts."""
        return dims.add(loop.extent, dims.mul(outer[loop.var], -lanes))

    def known(loop: For) -> Dim:
        return lanes if loop.extent % lanes == 0 else dims.minimum(lanes, left(loop))

    i, j = LoopVar("i"), LoopVar("j")
    values = at(i, j)
    if column.extent % lanes:
        # The last row is read for those that do not exist; it is not written there.
        values[column.var] = dims.minimum(values[column.var], dims.add(column.extent, -1))
    read = Store(tile, (i, j), substitute(store.value, values))
    first = For(i, lanes, "unroll", For(j, known(row), "vector", read, lanes))
    i, j = LoopVar("i"), LoopVar("j")
    index = tuple(dims.substitute(d, at(i, j)) for d in store.index)
    write: Stmt = Store(store.buffer, index, Load(tile, (i, j)))
    write = For(i, known(column), "vector", write, lanes)
    if row.extent % lanes:
        write = If(call("lt", IndexValue(j), IndexValue(left(row))), write)
    then = For(j, lanes, "unroll", write)
    body: Stmt = Alloc(tile, block(first, then))
    for loop in (row, column):
        assert isinstance(loop.extent, int)
        body = For(outer[loop.var], -(-loop.extent // lanes), "parallel", body)
    for loop in reversed(nest):
        if loop is not row and loop is not column:
            body = For(loop.var, loop.extent, loop.kind, body)
    return body
