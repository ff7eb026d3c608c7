"""Copy an operand into scratch, in the order in which it will be read.

    parallel i < 7:                        alloc packed: f32[5,3] in local
      parallel j < 3:                      parallel r < 5:
        ...                                  parallel j < 3:
        serial r < 5:               ->         packed[r,j] = b[j,r]
          acc[] add= a[i,r] * b[j,r]       parallel i < 7:
                                             ...
                                                 acc[] add= a[i,r] * packed[r,j]

    stage(kernel, b, (r, j))

With `panel` = 16 the last axis is cut into panels, packed: f32[1,5,16], read at [j//16,r,j%16];
what lies beyond the end of j is zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from .. import dims
from ..dims import Dim, LoopVar
from ..ir import (
    Alloc,
    Buffer,
    Expr,
    For,
    IndexValue,
    Kernel,
    Load,
    Select,
    Stmt,
    Store,
    block,
    call,
    const,
)
from ..packing import packing_of
from ..rewrite import LoadRewriter, StmtRewriter, expressions, statements, walk
from .locate import ScheduleError, uses


def stage(
    kernel: Kernel, tensor: Buffer, order: Sequence[LoopVar], panel: int | None = None
) -> Kernel:
    """The kernel that reads a packed copy of `tensor`, axes in the order of these loop variables.

    Raises: ScheduleError unless every load has the same index, made of these variables alone, whose
    loops have extents that depend on no loop.
    """
    index = _only_index(kernel, tensor)
    loops = {s.var: s for s in statements(kernel.body) if isinstance(s, For)}
    missing = [v for v in order if v not in loops]
    if missing or any(uses(d, v) for d in index for v in loops if v not in order):
        raise ScheduleError(f"{tensor.name} is read with other loops than {list(order)}")
    extents = [loops[v].extent for v in order]
    if any(uses(e, v) for e in extents for v in loops):
        raise ScheduleError(f"an extent of {tensor.name}'s loops depends on a loop")
    packed, place = _layout(tensor, order, extents, panel)
    fill = _fill(tensor, index, packed, order, extents, panel)
    body = _Reader(tensor, packed, place).stmt(kernel.body)
    # Copies made before stay beside this one: all of them precede the same statement.
    earlier = []
    while isinstance(body, Alloc):
        earlier.append(body.buffer)
        body = body.body
    body = block(fill, body)
    for buffer in (*reversed(earlier), packed):
        body = Alloc(buffer, body)
    return replace(kernel, body=body)


def read_packed(
    kernel: Kernel,
    tensor: Buffer,
    order: Sequence[LoopVar],
    panel: int,
    around: Mapping[LoopVar, Dim] = MappingProxyType({}),
) -> Kernel | None:
    """As `stage` with a panel, where `tensor` is a constant: an input that is given packed.

    `around` has the extents of loops of the order that stand around the kernel.

    None when it is read in several ways, or when the order does not pass over every element exactly
    once.
    """
    try:
        index = _only_index(kernel, tensor)
    except ScheduleError:
        return None
    loops = dict(around) | {s.var: s.extent for s in statements(kernel.body) if isinstance(s, For)}
    packing = packing_of(index, tensor.shape, [(v, loops[v]) for v in order], panel)
    if packing is None:
        return None
    packed, place = _layout(tensor, order, [loops[v] for v in order], panel)
    packed = replace(packed, scope=tensor.scope)
    position = kernel.inputs.index(tensor)
    inputs = tuple(packed if b is tensor else b for b in kernel.inputs)
    body = _Reader(tensor, packed, place).stmt(kernel.body)
    packings = (*kernel.packings, (position, packing))
    return replace(kernel, inputs=inputs, body=body, packings=packings)


def is_read_alike(kernel: Kernel, tensor: Buffer) -> bool:
    """Every load of the tensor has the same index, and there is one."""
    return len(_indices(kernel, tensor)) == 1


def _only_index(kernel: Kernel, tensor: Buffer) -> tuple[Dim, ...]:
    found = _indices(kernel, tensor)
    if len(found) != 1:
        raise ScheduleError(f"{tensor.name} is not read with one index")
    return found[0]


def _indices(kernel: Kernel, tensor: Buffer) -> list[tuple[Dim, ...]]:
    """The distinct indices with which a tensor is read."""
    found = [
        e.index
        for top in expressions(kernel.body)
        for e in walk(top)
        if isinstance(e, Load) and e.tensor is tensor
    ]
    return list(dict.fromkeys(found))


def _layout(
    tensor: Buffer, order: Sequence[LoopVar], extents: Sequence[Dim], panel: int | None
) -> tuple[Buffer, tuple[Dim, ...]]:
    """The packed buffer and the index at which it is read."""
    if panel is None:
        return Buffer(f"{tensor.name}_packed", tuple(extents), tensor.dtype, "local"), tuple(order)
    *front, last = order
    shape = (dims.ceildiv(extents[-1], panel), *extents[:-1], panel)
    place = (dims.floordiv(last, panel), *front, dims.mod(last, panel))
    return Buffer(f"{tensor.name}_packed", shape, tensor.dtype, "local"), place


def _fill(
    tensor: Buffer,
    index: tuple[Dim, ...],
    packed: Buffer,
    order: Sequence[LoopVar],
    extents: Sequence[Dim],
    panel: int | None,
) -> Stmt:
    fresh: dict[LoopVar, LoopVar] = {v: LoopVar(v.hint) for v in order}
    if panel is None:
        value: Expr = Load(tensor, tuple(dims.substitute(d, fresh) for d in index))
        body: Stmt = Store(packed, tuple(fresh[v] for v in order), value)
        for var, extent in zip(reversed(order), reversed(extents), strict=True):
            body = For(fresh[var], extent, "parallel", body)
        return body
    *front, last = order
    outer, inner = LoopVar("p"), fresh[last]
    position = dims.add(dims.mul(outer, panel), inner)
    values: dict[LoopVar, Dim] = dict(fresh)
    values[last] = position
    value = Load(tensor, tuple(dims.substitute(d, values) for d in index))
    if dims.exact_quotient(extents[-1], panel) is None:
        inside = call("lt", IndexValue(position), IndexValue(extents[-1]))
        value = Select(inside, value, const(0, tensor.dtype))
    body = Store(packed, (outer, *(fresh[v] for v in front), inner), value)
    body = For(inner, panel, "parallel", body)
    for var, extent in zip(reversed(front), reversed(extents[:-1]), strict=True):
        body = For(fresh[var], extent, "parallel", body)
    return For(outer, packed.shape[0], "parallel", body)


class _Reader(StmtRewriter):
    def __init__(self, tensor: Buffer, packed: Buffer, place: tuple[Dim, ...]) -> None:
        self.tensor, self.packed, self.place = tensor, packed, place
        self.loads = LoadRewriter(self._load)

    def _load(self, load: Load) -> Expr | None:
        return Load(self.packed, self.place) if load.tensor is self.tensor else None

    def expr(self, expr: Expr) -> Expr:
        return self.loads(expr)
