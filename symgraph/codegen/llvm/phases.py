"""A kernel cut into phases, its scratch memory laid out, its work estimated.

    kernel = alloc* phase phase ...

A phase that is a loop over independent iterations can be shared among threads; a phase ends before
the next begins.  What is allocated around the phases is shared by them; what is allocated inside
one belongs to one thread.  Large scratch of both kinds lies in the workspace, at offsets that are
closed forms of the open extents.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...kernel import dims
from ...kernel.dims import Dim, DimVar
from ...kernel.functions import FUNCTIONS
from ...kernel.ir import (
    Alloc,
    Block,
    Buffer,
    Call,
    Expr,
    For,
    If,
    Kernel,
    Load,
    Select,
    Stmt,
    Store,
    Update,
    block,
)
from ...kernel.rewrite import walk
from .abi import ALIGNMENT
from .machine import STACK_LIMIT

STORE_COST = 4
"""Instructions that one store to memory counts as: it stands for the traffic of its operands too,
which are used once where they are not in registers."""


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """`loop` is the shared loop, None when the phase runs on one thread.

    `own` are the offsets of scratch that each thread has; `cost` estimates instructions.
    """

    body: Stmt
    loop: For | None
    own: tuple[tuple[Buffer, Dim], ...]
    own_nbytes: Dim
    cost: Dim


@dataclass(frozen=True, slots=True, eq=False)
class KernelPhases:
    """The phases in order, and the scratch they share."""

    kernel: Kernel
    phases: tuple[Phase, ...]
    shared: tuple[tuple[Buffer, Dim], ...]
    shared_nbytes: Dim

    @property
    def own_nbytes(self) -> Dim:
        """Bytes of scratch that each thread needs."""
        result: Dim = 0
        for phase in self.phases:
            result = dims.maximum(result, phase.own_nbytes)
        return result


def split_phases(kernel: Kernel, stack: int = STACK_LIMIT) -> KernelPhases:
    """Cut a kernel at its outermost independent loops; the stack takes buffers of `stack` bytes."""
    body = kernel.body
    around: list[Buffer] = []
    while isinstance(body, Alloc) and body.buffer.scope != "register":
        around.append(body.buffer)
        body = body.body
    stmts = body.stmts if isinstance(body, Block) else (body,)
    phases: list[Phase] = []
    serial: list[Stmt] = []
    for stmt in stmts:
        if isinstance(stmt, For) and stmt.kind in ("parallel", "grid"):
            if serial:
                phases.append(_phase(block(*serial), None, stack))
                serial = []
            phases.append(_phase(stmt, stmt, stack))
        else:
            serial.append(stmt)
    if serial:
        phases.append(_phase(block(*serial), None, stack))
    shared, nbytes = _layout(around)
    return KernelPhases(kernel, tuple(phases), shared, nbytes)


def _phase(body: Stmt, loop: For | None, stack: int) -> Phase:
    lanes: dict[Buffer, int] = {}
    _private_lanes(body, 1, lanes)
    large = [b for b, width in lanes.items() if not _on_stack(b, width, stack)]
    own, nbytes = _layout(large, lanes)
    return Phase(body, loop, own, nbytes, cost(body))


def _private_lanes(stmt: Stmt, lanes: int, found: dict[Buffer, int]) -> None:
    """Every private buffer and how many copies of it a vector loop around makes."""
    match stmt:
        case Block(stmts=stmts):
            for inner in stmts:
                _private_lanes(inner, lanes, found)
        case For(kind=kind, body=body):
            width = stmt.lanes if stmt.lanes else stmt.extent
            inside = width if kind == "vector" and isinstance(width, int) else lanes
            _private_lanes(body, inside, found)
        case Alloc(buffer=buffer, body=body):
            found[buffer] = lanes
            _private_lanes(body, lanes, found)
        case If(then=then, otherwise=otherwise):
            _private_lanes(then, lanes, found)
            if otherwise is not None:
                _private_lanes(otherwise, lanes, found)
        case _:
            return


def _on_stack(buffer: Buffer, lanes: int, stack: int) -> bool:
    nelems = buffer.nelems
    return isinstance(nelems, int) and nelems * lanes * buffer.dtype.nbytes <= stack


def _layout(
    buffers: list[Buffer], lanes: dict[Buffer, int] | None = None
) -> tuple[tuple[tuple[Buffer, Dim], ...], Dim]:
    """One after the other, each aligned."""
    offset: Dim = 0
    placed: list[tuple[Buffer, Dim]] = []
    for buffer in buffers:
        placed.append((buffer, offset))
        copies = 1 if lanes is None else lanes[buffer]
        nbytes = dims.align(dims.mul(buffer.nbytes, copies), ALIGNMENT)
        offset = dims.add(offset, nbytes)
    return tuple(placed), offset


def cost(stmt: Stmt) -> Dim:
    """About how many instructions a statement takes, as a closed form of the open extents."""
    return _cost(stmt, {})


Ranges = dict[object, "tuple[int | None, int | None]"]


def _cost(stmt: Stmt, ranges: Ranges) -> Dim:
    match stmt:
        case Block(stmts=stmts):
            total: Dim = 0
            for inner in stmts:
                total = dims.add(total, _cost(inner, ranges))
            return total
        case For(extent=extent, kind=kind, body=body):
            inside = _cost(body, ranges)
            return inside if kind == "vector" else dims.mul(_closed(extent), inside)
        case Alloc(body=body):
            return _cost(body, ranges)
        case If(then=then, otherwise=otherwise):
            other: Dim = 0 if otherwise is None else _cost(otherwise, ranges)
            return dims.maximum(_cost(then, ranges), other)
        case Store(buffer=buffer, value=value) | Update(buffer=buffer, value=value):
            return (1 if buffer.scope == "register" else STORE_COST) + _expression_cost(value)
        case _:
            return 0


def _closed(extent: Dim) -> Dim:
    """An extent that depends on outer loops, by its first closed bound or else by a guess."""
    if all(isinstance(atom, (DimVar, dims.FloorDiv, dims.Mod, dims.Minimum, dims.Maximum))
           for atom in dims.atoms(extent)):  # fmt: skip
        return extent
    if isinstance(extent, dims.Minimum):
        for side in (extent.a, extent.b):
            if isinstance(side, int):
                return side
    return 16


def _expression_cost(expr: Expr) -> int:
    total = 0
    for e in walk(expr):
        if isinstance(e, Call):
            total += FUNCTIONS[e.function].flops
        elif isinstance(e, (Load, Select)):
            total += 1
    return total
