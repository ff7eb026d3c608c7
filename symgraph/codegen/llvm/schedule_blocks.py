"""Kernels that run over blocks: each nest inside a block is arranged like a kernel of its own.

    parallel b < 28:                     parallel b < 28:
      alloc t: f32[4,9] in local           alloc t: f32[4,9] in local
        parallel i < 4: ...          ->      parallel u < 1: (register tiles of t)
        parallel i < 2: ...                  parallel i < 2: vector v < 9: ...

The loops over blocks are what threads share; what is inside runs on one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ...kernel.ir import Alloc, Block, Buffer, For, If, Kernel, Load, Stmt, Store, Update, block
from ...kernel.rewrite import expressions, statements, walk
from ...kernel.transform.hoist_copies import hoist_copies
from ...kernel.transform.locate import perfect_nest, uses
from .machine import Machine
from .schedule_contraction import tile_contraction
from .schedule_loops import Vectorise, has_vectors
from .schedule_parts import tile_parts

LEAST_SHARED = 6
"""Iterations that are left to threads where a copy is made for each."""

OPEN_ROUNDS = 4
"""What a loop over blocks of an open extent counts as."""


def schedule_blocks(
    kernel: Kernel, machine: Machine, level: int, constants: frozenset[int]
) -> Kernel:
    """The kernel with what stands inside its loops over blocks arranged; what stands beside them
    stays as it is."""
    nests = _Nests(kernel, machine, level, constants)
    body = kernel.body
    new: list[Stmt] = []
    first: list[tuple[Buffer, Stmt]] = []
    for stmt in body.stmts if isinstance(body, Block) else (body,):
        if not is_blocked(stmt):
            new.append(stmt)
            continue
        assert isinstance(stmt, For)
        nests.around = perfect_nest(stmt)
        arranged = _inside(stmt, nests.arranged)
        assert isinstance(arranged, For)
        arranged, copies = hoist_copies(nests.kernel, arranged, LEAST_SHARED)
        new.append(arranged)
        first += copies
    whole = block(*(fill for _, fill in first), *new)
    for buffer, _ in reversed(first):
        whole = Alloc(buffer, whole)
    return replace(nests.kernel, body=whole)


def is_blocked(stmt: Stmt) -> bool:
    """Independent loops around scratch that several nests share."""
    if not isinstance(stmt, For) or stmt.kind != "parallel":
        return False
    body, found = perfect_nest(stmt)[-1].body, False
    while isinstance(body, Alloc):
        found = found or body.buffer.scope == "local"
        body = body.body
    return found and _is_nests(body)


def _is_nests(stmt: Stmt) -> bool:
    """Nests one after the other; others of a shorter block."""
    if isinstance(stmt, If):
        return stmt.otherwise is not None and _is_nests(stmt.then) and _is_nests(stmt.otherwise)
    return isinstance(stmt, Block) and all(_is_loop(s) for s in stmt.stmts)


def _is_loop(stmt: Stmt) -> bool:
    return isinstance(stmt, For) and stmt.kind == "parallel"


def _inside(stmt: Stmt, change: Callable[[Stmt], Stmt]) -> Stmt:
    """The loops and allocations as they are, each nest inside changed."""
    match stmt:
        case For(body=body) | Alloc(body=body):
            return replace(stmt, body=_inside(body, change))
        case If(then=then, otherwise=otherwise):
            assert otherwise is not None
            return replace(stmt, then=_inside(then, change), otherwise=_inside(otherwise, change))
        case Block(stmts=stmts):
            return block(*(change(s) for s in stmts))
        case _:
            return stmt


class _Nests:
    """Arranges nests one by one; `kernel` has the inputs that they want packed."""

    def __init__(
        self, kernel: Kernel, machine: Machine, level: int, constants: frozenset[int]
    ) -> None:
        self.kernel = kernel
        self.machine = machine
        self.level = level
        self.around: list[For] = []
        readers: dict[Buffer, int] = {}
        for stmt in _nests_of(kernel):
            for buffer in _read(stmt):
                readers[buffer] = readers.get(buffer, 0) + 1
        # A constant that is read twice would have to be there in two orders.
        self.constants = {kernel.inputs[n] for n in constants if readers.get(kernel.inputs[n]) == 1}

    def arranged(self, stmt: Stmt) -> Stmt:
        alone = self._alone(stmt)
        fixed = frozenset(n for n, b in enumerate(alone.inputs) if b in self.constants)
        if self.level >= 2:
            tiled = tile_contraction(alone, self.machine, fixed, self._rounds(stmt), self.around)
            if tiled is None:
                tiled = tile_parts(alone, self.machine, fixed)
            if tiled is not None:
                self._take_packings(alone, tiled)
                alone = tiled
        body = alone.body
        return body if has_vectors(body) and _is_loop(body) else Vectorise(self.machine).stmt(body)

    def _rounds(self, stmt: Stmt) -> dict[Buffer, int]:
        """How many of the inner loops over blocks read an input alike, known extents at least."""
        found: dict[Buffer, int] = {}
        for top in expressions(stmt):
            for e in walk(top):
                if not isinstance(e, Load) or e.tensor not in self.kernel.inputs:
                    continue
                rounds = 1
                for loop in reversed(self.around):
                    if any(uses(d, loop.var) for d in e.index):
                        break
                    rounds *= loop.extent if isinstance(loop.extent, int) else OPEN_ROUNDS
                assert isinstance(e.tensor, Buffer)
                found[e.tensor] = min(rounds, found.get(e.tensor, rounds))
        return found

    def _alone(self, stmt: Stmt) -> Kernel:
        """A nest as a kernel: what it reads, and what it writes."""
        changes = [s for s in statements(stmt) if isinstance(s, (Store, Update))]
        written = dict.fromkeys(s.buffer for s in changes)
        own = {s.buffer for s in statements(stmt) if isinstance(s, Alloc)}
        outputs = tuple(b for b in written if b not in own)
        # What is read and written is in both: it is changed in place.
        inputs = tuple(b for b in _read(stmt) if b not in own)
        return Kernel(self.kernel.name, inputs, outputs, self.kernel.dims, stmt, self.kernel.origin)

    def _take_packings(self, alone: Kernel, tiled: Kernel) -> None:
        """The kernel's own inputs as the nest wants them."""
        inputs = list(self.kernel.inputs)
        packings = list(self.kernel.packings)
        for position, packing in tiled.packings:
            number = inputs.index(alone.inputs[position])
            inputs[number] = tiled.inputs[position]
            packings.append((number, packing))
        self.kernel = replace(self.kernel, inputs=tuple(inputs), packings=tuple(packings))


def _nests_of(kernel: Kernel) -> list[Stmt]:
    """Every nest of the kernel, inside blocks or not."""
    found: list[Stmt] = []
    body = kernel.body
    for stmt in body.stmts if isinstance(body, Block) else (body,):
        if not is_blocked(stmt):
            found.append(stmt)
            continue
        _inside(stmt, lambda nest: found.append(nest) or nest)  # type: ignore[func-returns-value]
    return found


def _read(stmt: Stmt) -> tuple[Buffer, ...]:
    """The buffers that a statement reads, in order."""
    found: dict[Buffer, None] = {}
    for top in expressions(stmt):
        for e in walk(top):
            if isinstance(e, Load) and isinstance(e.tensor, Buffer):
                found[e.tensor] = None
    return tuple(found)
