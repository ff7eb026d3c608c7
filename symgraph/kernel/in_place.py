"""Which outputs of a naive kernel may lie over which inputs.

An output may share an input's bytes when every element is read for the last time no later than
the statement that writes the same element:

    out[i,j] = relu(x[i,j] + b[j])        out may lie over x, not over b
    for r: acc += x[i,r];  out[i] = acc   out may not lie over x

or when a whole row is read before any of it is written, and rows keep apart:

    for i:  m = max_r x[i,r];  for j: out[i,j] = x[i,j] / m         out may lie over x

Read before means: what is read goes into a reduction that the written value needs.  Schedules keep
both: they may split and reorder iterations, but an element's operands are read before the element
is stored, and a reduction is complete before its result is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from . import dims
from .dims import Dim, LoopVar
from .ir import Alloc, Block, Buffer, Expr, For, If, Kernel, Load, Stmt, Store, Update
from .rewrite import data_indices, expressions, statements, walk


@lru_cache(maxsize=256)  # equal nodes share a kernel, and each of their steps asks
def in_place_pairs(kernel: Kernel) -> tuple[tuple[Buffer, Buffer], ...]:
    """(input, output) buffers of as many elements of one size that may share their bytes."""
    accesses = _Accesses(kernel)
    rows = _Rows(kernel)
    return tuple(
        (source, target)
        for source in kernel.inputs
        for target in kernel.outputs
        if source is not target
        and source.nelems == target.nelems
        and source.dtype.nbytes == target.dtype.nbytes
        and (accesses.compatible(source, target) or rows.compatible(source, target, accesses))
    )


def in_place_positions(kernel: Kernel) -> tuple[tuple[int, int], ...]:
    """The same as positions among the kernel's params, which outlive a schedule."""
    number = {b: n for n, b in enumerate(kernel.params)}
    return tuple((number[a], number[b]) for a, b in in_place_pairs(kernel))


@dataclass(frozen=True, slots=True)
class _Access:
    """One load or store: its position in program order, where, and inside which loops."""

    at: int
    index: tuple[Dim, ...]
    loops: tuple[For, ...]


class _Accesses:
    """Every load and store of a kernel with its position in program order."""

    def __init__(self, kernel: Kernel) -> None:
        self.position = 0
        self.around: list[For] = []
        self.loads: dict[Buffer, list[_Access]] = {}
        self.stores: dict[Buffer, list[_Access]] = {}
        self._stmt(kernel.body)

    def written_once(self, target: Buffer) -> _Access | None:
        """The one store of an output that is never read, each element once."""
        stores = self.stores.get(target, [])
        if len(stores) != 1 or target in self.loads:
            return None
        (store,) = stores
        used = {atom for d in store.index for atom in dims.atoms(d)}
        looped = {loop.var for loop in store.loops if loop.extent != 1}
        return store if looped <= used else None

    def compatible(self, source: Buffer, target: Buffer) -> bool:
        store = self.written_once(target)
        return store is not None and all(
            load.at <= store.at and same_element(source, load, target, store)
            for load in self.loads.get(source, [])
        )

    def _stmt(self, stmt: Stmt) -> None:
        match stmt:
            case Block(stmts=stmts):
                for inner in stmts:
                    self._stmt(inner)
            case For(body=body):
                self.around.append(stmt)
                self._stmt(body)
                self.around.pop()
            case Alloc(body=body):
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
                self._add(self.stores, buffer, index)
            case _:
                return

    def _expr(self, expr: Expr) -> None:
        for e in walk(expr):
            if isinstance(e, Load) and isinstance(e.tensor, Buffer):
                self._add(self.loads, e.tensor, e.index)

    def _add(
        self, table: dict[Buffer, list[_Access]], buffer: Buffer, index: tuple[Dim, ...]
    ) -> None:
        access = _Access(self.position, index, tuple(self.around))
        table.setdefault(buffer, []).append(access)


def same_element(source: Buffer, load: _Access, target: Buffer, store: _Access) -> bool:
    """Both are the same place in memory in every iteration."""
    if source.shape == target.shape and load.index == store.index:
        return True
    if any(True for index in (load.index, store.index) for _ in data_indices(index)):
        return False
    ones = {loop.var for loop in (*load.loops, *store.loops) if loop.extent == 1}
    return _without(source.offset(load.index), ones) == _without(target.offset(store.index), ones)


def _without(dim: Dim, ones: set[LoopVar]) -> Dim:
    """An expression in which the variables of loops that run once are 0."""
    return dims.transform(dim, lambda atom: 0 if atom in ones else None)


class _Rows:
    """A kernel as a sequence of statements inside loops over rows."""

    def __init__(self, kernel: Kernel) -> None:
        self.loops: list[For] = []
        stmt = kernel.body
        while isinstance(stmt, (For, Alloc)):
            if isinstance(stmt, For):
                self.loops.append(stmt)
            stmt = stmt.body
        self.items = [_Item.of(s) for s in _sequence(stmt)]

    def compatible(self, source: Buffer, target: Buffer, accesses: _Accesses) -> bool:
        store = accesses.written_once(target)
        loads = accesses.loads.get(source, [])
        if (
            store is None
            or len(self.items) < 2
            or not self._keep_apart(source, target, store, loads)
        ):
            return False
        (last,) = [n for n, item in enumerate(self.items) if target in item.writes]
        needed = self._needed_by(last)
        reductions = [n for n in needed if self.items[n].reduces]
        complete = {m for n in reductions for m in (n, *self._needed_by(n))}
        for number, item in enumerate(self.items):
            if source in item.reads and number != last and number not in complete:
                return False
        writer = self.items[last].stmt
        return all(
            same_element(source, load, target, store) and load.at <= store.at
            if writer in load.loops or load.at == store.at
            else load.at < store.at
            for load in loads
        )

    def _keep_apart(
        self, source: Buffer, target: Buffer, store: _Access, loads: Sequence[_Access]
    ) -> bool:
        """Every loop over rows goes along one axis of both, so that no two rows meet."""
        if source.shape != target.shape:
            return False
        indices = [store.index, *(load.index for load in loads)]
        return all(
            any(all(index[axis] == loop.var for index in indices) for axis in range(source.ndim))
            for loop in self.loops
            if loop.extent != 1
        )

    def _needed_by(self, number: int) -> list[int]:
        """The statements before, whose results a statement uses, directly or not."""
        wanted, found = set(self.items[number].reads), []
        for n in reversed(range(number)):
            if self.items[n].writes & wanted:
                found.append(n)
                wanted |= self.items[n].reads
        return found


@dataclass(frozen=True, slots=True)
class _Item:
    """What a statement of the sequence reads and writes; `reduces`: all of it is one sum."""

    stmt: Stmt
    reads: frozenset[Buffer]
    writes: frozenset[Buffer]
    reduces: bool

    @classmethod
    def of(cls, stmt: Stmt) -> _Item:
        inside = list(statements(stmt))
        changes = [s for s in inside if isinstance(s, (Store, Update))]
        reads = {
            e.tensor
            for top in expressions(stmt)
            for e in walk(top)
            if isinstance(e, Load) and isinstance(e.tensor, Buffer)
        }
        reads |= {s.buffer for s in changes if isinstance(s, Update)}
        own = {s.var for s in inside if isinstance(s, For)}
        reduces = isinstance(stmt, For) and all(
            isinstance(s, Update) and not own & {a for d in s.index for a in dims.atoms(d)}
            for s in changes
        )
        return cls(stmt, frozenset(reads), frozenset(s.buffer for s in changes), reduces)


def _sequence(stmt: Stmt) -> list[Stmt]:
    """The statements that run one after the other, scopes opened."""
    match stmt:
        case Block(stmts=stmts):
            return [s for inner in stmts for s in _sequence(inner)]
        case Alloc(body=body):
            return _sequence(body)
        case _:
            return [stmt]
