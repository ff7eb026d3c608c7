"""Limits that an artefact must keep: over one is an error that says what takes the most.

A limit on what depends on open extents is held against their greatest legal values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import TargetError, UserError
from ..ir.live_ranges import live_segments
from ..ir.node import Node
from ..ir.program import Program
from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from .signature import Signature

NAMES = ("workspace", "text", "stack", "flops")
LISTED = 6


class BudgetError(UserError, ValueError):
    """An artefact needs more than it may; the message lists the largest contributors."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """None is no limit: bytes of workspace, of code and of stack, operations of one call."""

    workspace: int | None = None
    text: int | None = None
    stack: int | None = None
    flops: int | None = None

    @property
    def are_set(self) -> bool:
        return any(getattr(self, name) is not None for name in NAMES)


def budgets_from(given: Mapping[str, int]) -> Budgets:
    """Raises: TargetError for an unknown name or a negative limit."""
    unknown = sorted(set(given) - set(NAMES))
    if unknown:
        raise TargetError(f"budgets: unknown {unknown[0]!r}; known are {', '.join(NAMES)}")
    for name, limit in given.items():
        if limit < 0:
            raise TargetError(f"budgets: {name} must be >= 0, got {limit}")
    return Budgets(**given)


def check_workspace(budgets: Budgets, signature: Signature, program: Program) -> None:
    """Raises: BudgetError listing what lies in the arena when it is fullest."""
    if budgets.workspace is None:
        return
    largest = _largest(signature, signature.needed, "workspace")
    if largest > budgets.workspace:
        env = {e.name: e.high for e in signature.extents}
        parts = _at_the_peak(program, env)
        advice = "a smaller batch (ranges=), or smaller intermediate values"
        raise _over("workspace", "bytes", largest, budgets.workspace, env, parts, advice)


def check_flops(
    budgets: Budgets, signature: Signature, parts: Sequence[tuple[Node, Dim | None]]
) -> None:
    """Raises: BudgetError listing the operators that compute the most."""
    if budgets.flops is None:
        return
    env = {e.name: e.high for e in signature.extents}
    sizes = []
    for node, part in parts:
        if part is None:
            raise BudgetError(f"budgets: the operations of {node.label} are not known")
        sizes.append((node.name or node.label, _largest(signature, part, "flops")))
    total = sum(size for _, size in sizes)
    if total > budgets.flops:
        advice = "a smaller batch (ranges=), or a smaller network"
        raise _over("flops", "operations", total, budgets.flops, env, sizes, advice)


def check_text(budgets: Budgets, nbytes: int, functions: Iterable[tuple[str, int]]) -> None:
    """Raises: BudgetError listing the largest functions of the object."""
    if budgets.text is not None and nbytes > budgets.text:
        advice = "a lower level=, or fewer versions in cpu="
        raise _over("text", "bytes", nbytes, budgets.text, {}, list(functions), advice)


def check_stack(budgets: Budgets, found: Mapping[str, Any]) -> None:
    """Raises: BudgetError listing the functions of the deepest chain of calls."""
    if budgets.stack is None:
        return
    if found["nbytes"] is None:
        raise BudgetError("budgets: the use of stack is not known for this processor")
    if found["nbytes"] > budgets.stack:
        parts = [(name, size) for name, size in found["chain"]]
        advice = "a processor with narrower vectors in cpu=, or a lower level="
        raise _over("stack", "bytes", found["nbytes"], budgets.stack, {}, parts, advice)


def _largest(signature: Signature, dim: Dim, name: str) -> int:
    """The value at the greatest legal extents.  Raises: BudgetError where one has no limit."""
    used = {v.name for v in dims.dim_vars(dim)}
    for extent in signature.extents:
        if extent.name in used and not extent.is_limited:
            raise BudgetError(
                f"budgets: {name} grows with the extent {extent.name}, which has no limit; give "
                f'it one: ranges={{"{extent.name}": (1, 32)}}, --dim {extent.name}=1..32'
            )
    return int(dims.evaluate(dim, {DimVar(e.name): e.high for e in signature.extents}))


def _at_the_peak(program: Program, env: Mapping[str, int]) -> list[tuple[str, int]]:
    """The buffers that live at the step where most bytes do."""
    values = {DimVar(name): value for name, value in env.items()}
    segments = [
        (s.buffer.source or s.buffer.name, s.first, s.end, int(dims.evaluate(s.nbytes, values)))
        for s in live_segments(program)
    ]
    best: list[tuple[str, int]] = []
    for step in range(len(program.timeline)):
        live = [(name, size) for name, first, end, size in segments if first <= step < end]
        if sum(n for _, n in live) > sum(n for _, n in best):
            best = live
    return best


def _over(
    name: str,
    unit: str,
    got: int,
    limit: int,
    env: Mapping[str, int],
    parts: Sequence[tuple[str, int]],
    advice: str,
) -> BudgetError:
    at = ", ".join(f"{k}={v}" for k, v in env.items())
    largest = sorted(parts, key=lambda part: (-part[1], part[0]))[:LISTED]
    lines = [
        f"budgets: {name} is {got:,} {unit}{f' at {at}' if at else ''}, the limit is {limit:,}. "
        f"The largest contributors:"
    ]
    lines += [f"  {size:>12,}  {label}" for label, size in largest]
    lines.append(f"To lower it: {advice}.")
    return BudgetError("\n".join(lines))
