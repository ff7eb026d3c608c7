"""Tiles that crowd the registers are tried: the kernel is compiled alone and its spills counted.

    tile of 6x2 vectors, 16 registers         tile of 5x2
    each step: 12 products, 2 spilled    ->   each step: 10 products, none spilled

Which registers a loop needs besides its sums is LLVM's to say; where the estimate leaves no room
for it, machine code is made and looked at (see inner_loops.py), and where innermost loops spill,
so is that of smaller tiles.  The one with the fewest spills for each multiplication is kept, the
fewest instructions among equals.  Decided by counting, never by time, and from the kernel alone, so
that equal kernels get equal tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from ...kernel.ir import Alloc, Block, Buffer, Call, For, If, Kernel, Load, Stmt, Update
from ...kernel.printer import text_without_names
from ...kernel.rewrite import expressions, walk
from .builder import ModuleBuilder
from .functions import Sharing, emit_kernel
from .inner_loops import InnerLoops, inner_loops
from .machine import Machine
from .phases import split_phases
from .schedule import schedule_kernel

KEPT_FREE = (1, 2, 4, 6)
"""Registers that smaller tiles leave free, one try after the other."""

LOADS_AHEAD = 2
"""Registers of a machine that cannot multiply by what lies in memory: loads are started early."""


def schedule_in_registers(
    kernel: Kernel,
    machine: Machine,
    level: int,
    constants: frozenset[int] = frozenset(),
    cache: str | None = None,
) -> Kernel:
    """As schedule_kernel, with a smaller tile where that one's innermost loops spill."""
    made = schedule_kernel(kernel, machine, level, constants)
    # Strict code is the same on every machine, so that no one machine's code decides.
    if level < 2 or machine.ordered_sums or not is_crowded(made, machine):
        return made
    best, least = made, tried(made, machine, cache)
    seen = {text_without_names(made)}
    for free in KEPT_FREE:
        if least.spills == 0:
            break
        smaller = replace(machine, registers=machine.registers - free)
        other = schedule_kernel(kernel, smaller, level, constants)
        text = text_without_names(other)
        if text in seen:
            continue
        seen.add(text)
        found = tried(other, machine, cache)
        # A loop without products is no longer the contraction in tiles.
        if found.multiplies > 0 and found.rate < least.rate:
            best, least = other, found
    return best


def tried(kernel: Kernel, machine: Machine, cache: str | None) -> InnerLoops:
    """The innermost loops of a scheduled kernel that is compiled alone."""
    module = ModuleBuilder()
    emit_kernel(module, machine, split_phases(kernel, machine.stack_limit), "k_trial", Sharing())
    return inner_loops(module.text(f'target triple = "{machine.triple}"\n'), machine, cache)


def is_crowded(kernel: Kernel, machine: Machine) -> bool:
    """Some tile's sums and operands may need more registers than there are."""
    return any(needed > machine.registers for needed in _needs(kernel.body, machine))


def _needs(stmt: Stmt, machine: Machine) -> Iterator[int]:
    """An estimate for each sum of products in registers."""
    match stmt:
        case For(body=body) | Alloc(body=body):
            yield from _needs(body, machine)
        case Block(stmts=stmts):
            for inner in stmts:
                yield from _needs(inner, machine)
        case If(then=then, otherwise=otherwise):
            yield from _needs(then, machine)
            if otherwise is not None:
                yield from _needs(otherwise, machine)
        case Update(buffer=buffer) if buffer.scope == "register":
            yield _need(stmt, buffer, machine)
        case _:
            return


def _need(update: Update, buffer: Buffer, machine: Machine) -> int:
    """Sums, the vectors that rows share, a broadcast; a product without fused multiply-add; what
    else is worked out of the operands."""
    extents = [extent for extent in buffer.shape if isinstance(extent, int)]
    if len(extents) != len(buffer.shape) or len(extents) < 2:
        return 0
    lanes = max(1, machine.vector_bytes // buffer.dtype.nbytes)
    *tile, last = extents
    sums = prod(tile) * -(-last // lanes)
    shared = tile[-1] * -(-last // lanes)
    parts = [e for top in expressions(update) for e in walk(top)]
    loads = len({id(e) for e in parts if isinstance(e, Load)})
    more = max(0, sum(isinstance(e, Call) for e in parts) - 1) + max(0, loads - 2)
    ahead = 0 if machine.triple.startswith("x86_64") else LOADS_AHEAD
    return sums + shared + 1 + (not machine.fma) + more + ahead
