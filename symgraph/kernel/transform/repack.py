"""Read a packed constant in other panels than the schedule chose.

    acc += x[0,r] * w[u+(4*jj+v)//28,r,(4*jj+v)%28]              w packed in panels of 28
    acc += x[0,r] * w[(7*u+jj)//16,r,4*((7*u+jj)%16)+v]     ->   in panels of 64

The kernel computes the same numbers in the same order; only addresses change.  Vectors along the
packed axis stay contiguous: their lanes must divide both panels.
"""

from __future__ import annotations

from dataclasses import replace

from .. import dims
from ..dims import Dim, FloorDiv, LoopVar, Mod
from ..ir import Buffer, Expr, For, Kernel, Load, Stmt
from ..packing import Packing
from ..rewrite import LoadRewriter, StmtRewriter, expressions, statements, walk


def repack(kernel: Kernel, position: int, new: Packing) -> Kernel | None:
    """The kernel that is given its input at `position` in another packing; None where it cannot
    read it.  The packings must be of the same view with the same last axis."""
    packings = dict(kernel.packings)
    old = packings[position]
    if old == new:
        return kernel
    if (old.view, old.order[-1]) != (new.view, new.order[-1]):
        return None
    tensor = kernel.inputs[position]
    lanes = {s.var: s.lanes for s in statements(kernel.body) if isinstance(s, For) and s.lanes > 1}
    fresh = Buffer(tensor.name, new.shape, tensor.dtype, tensor.scope)
    reader = _Reader(tensor, fresh, old, new, lanes)
    if any(not reader.can_read(load) for load in _loads(kernel, tensor)):
        return None
    packings[position] = new
    inputs = tuple(fresh if b is tensor else b for b in kernel.inputs)
    return replace(
        kernel, inputs=inputs, body=reader.stmt(kernel.body), packings=tuple(packings.items())
    )


def _loads(kernel: Kernel, tensor: Buffer) -> list[Load]:
    return [
        e
        for top in expressions(kernel.body)
        for e in walk(top)
        if isinstance(e, Load) and e.tensor is tensor
    ]


class _Reader(StmtRewriter):
    def __init__(
        self,
        tensor: Buffer,
        fresh: Buffer,
        old: Packing,
        new: Packing,
        lanes: dict[LoopVar, int],
    ) -> None:
        self.tensor, self.fresh, self.old, self.new, self.lanes = tensor, fresh, old, new, lanes
        self.loads = LoadRewriter(self._load)

    def expr(self, expr: Expr) -> Expr:
        return self.loads(expr)

    def stmt(self, stmt: Stmt) -> Stmt:
        return super().stmt(stmt)

    def can_read(self, load: Load) -> bool:
        """Vectors of this load lie within one panel of both packings."""
        _, width = self._along(load)
        return width is not None

    def _load(self, load: Load) -> Expr | None:
        if load.tensor is not self.tensor:
            return None
        place, width = self._along(load)
        assert width is not None
        lane, step = place
        panel = self.new.panel
        front = dict(zip(self.old.order[:-1], load.index[1:-1], strict=True))
        inner = dims.add(dims.mul(dims.mod(step, panel // width), width), lane)
        index = (
            dims.floordiv(step, panel // width),
            *(front[axis] for axis in self.new.order[:-1]),
            inner,
        )
        return Load(self.fresh, index)

    def _along(self, load: Load) -> tuple[tuple[Dim, Dim], int | None]:
        """((lane, step), width): the place along the packed axis is step*width + lane."""
        place = _joined(load.index[0], load.index[-1], self.old.panel)
        moving = [v for v in self.lanes if v in set(_atoms(place))]
        others = {v for d in load.index[1:-1] for v in _atoms(d)}
        if not moving:
            return (0, place), 1
        if len(moving) > 1 or dims.coefficient(place, moving[0]) != 1 or moving[0] in others:
            return (0, place), 1
        width = self.lanes[moving[0]]
        start = dims.add(place, dims.mul(moving[0], -1))
        step = dims.exact_quotient(start, width)
        if step is None or self.new.panel % width or self.old.panel % width:
            return (0, place), None
        return (moving[0], step), width


def _atoms(dim: Dim) -> list[object]:
    return [] if isinstance(dim, int) else list(dims.atoms(dim))


def _joined(panel: Dim, inside: Dim, size: int) -> Dim:
    """The place that was split: p + x//size and x%size give size*p + x."""
    whole = dims.add(dims.mul(panel, size), inside)
    for atom in _atoms(inside):
        if isinstance(atom, Mod) and atom.b == size and inside == atom:
            rest = dims.add(panel, dims.mul(FloorDiv(atom.a, size), -1))
            return dims.add(dims.mul(rest, size), atom.a)
    return whole
