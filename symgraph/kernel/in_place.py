"""Which outputs of a naive kernel may lie over which inputs.

An output may share an input's bytes when every element is read for the last time no later than
the statement that writes the same element:

    out[i,j] = relu(x[i,j] + b[j])        out may lie over x, not over b
    for r: acc += x[i,r];  out[i] = acc   out may not lie over x

Schedules keep this: they may split and reorder iterations, but an element's operands are read
before the element is stored.
"""

from __future__ import annotations

from .dims import Dim
from .ir import Alloc, Block, Buffer, Expr, For, If, Kernel, Load, Stmt, Store, Update
from .rewrite import data_indices, walk


def in_place_pairs(kernel: Kernel) -> tuple[tuple[Buffer, Buffer], ...]:
    """(input, output) buffers of equal shape and element size that may share their bytes."""
    accesses = _Accesses(kernel)
    return tuple(
        (source, target)
        for source in kernel.inputs
        for target in kernel.outputs
        if source is not target
        and source.shape == target.shape
        and source.dtype.nbytes == target.dtype.nbytes
        and accesses.compatible(source, target)
    )


def in_place_positions(kernel: Kernel) -> tuple[tuple[int, int], ...]:
    """The same as positions among the kernel's params, which outlive a schedule."""
    number = {b: n for n, b in enumerate(kernel.params)}
    return tuple((number[a], number[b]) for a, b in in_place_pairs(kernel))


class _Accesses:
    """Every load and store of a kernel with its position in program order."""

    def __init__(self, kernel: Kernel) -> None:
        self.position = 0
        self.loads: dict[Buffer, list[tuple[int, tuple[Dim, ...]]]] = {}
        self.stores: dict[Buffer, list[tuple[int, tuple[Dim, ...]]]] = {}
        self._stmt(kernel.body)

    def compatible(self, source: Buffer, target: Buffer) -> bool:
        stores = self.stores.get(target, [])
        if len(stores) != 1 or target in self.loads:
            return False
        written_at, index = stores[0]
        return all(at <= written_at and i == index for at, i in self.loads.get(source, []))

    def _stmt(self, stmt: Stmt) -> None:
        match stmt:
            case Block(stmts=stmts):
                for inner in stmts:
                    self._stmt(inner)
            case For(body=body) | Alloc(body=body):
                self._stmt(body)
            case If(condition=condition, then=then, otherwise=otherwise):
                self._expr(condition)
                self._stmt(then)
                if otherwise is not None:
                    self._stmt(otherwise)
            case (
                Store(buffer=buffer, index=index, value=value)
                | Update(buffer=buffer, index=index, value=value)
            ):
                self.position += 1
                self._expr(value)
                for atom in data_indices(index):
                    self._expr(atom.value)
                self.stores.setdefault(buffer, []).append((self.position, index))
            case _:
                return

    def _expr(self, expr: Expr) -> None:
        for e in walk(expr):
            if isinstance(e, Load) and isinstance(e.tensor, Buffer):
                self.loads.setdefault(e.tensor, []).append((self.position, e.index))
