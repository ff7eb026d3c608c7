"""Results of kernels that nothing reads are not computed.

A fused group exports what other nodes name as an input; some of those only ask for its shape, which
is known once the kernels are written.

    a, b = k(x); y = f(b)    ->    b = k'(x); y = f(b)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..ir.program import KernelStep, Port, ProgramBuffer, Step
from ..kernel.in_place import in_place_positions
from .kernels import node_kernel
from .windows import in_windows


def without_unread(steps: Sequence[Step], outputs: Sequence[Port]) -> list[Step]:
    """The steps without those results; steps of which nothing is read are left out.

    Calls and loops are kept as they are.
    """
    read = {port.buffer.root for port in outputs}
    found: list[Step] = []
    for step in reversed(steps):
        kept: Step | None = step
        if isinstance(step, KernelStep) and _is_of_a_node(step):
            kept = _narrowed(step, read)
        if kept is not None:
            found.append(kept)
            read.update(b.root for b in kept.reads)
    return found[::-1]


def _is_of_a_node(step: KernelStep) -> bool:
    """Its results are those of its node, one by one; not so for what loops add around them."""
    return step.node is not None and len(step.writes) == len(step.node.values)


def _narrowed(step: KernelStep, read: set[ProgramBuffer]) -> KernelStep | None:
    """The step with the results that are read; None where none is."""
    wanted = [b.root in read or b.root.place != "arena" for b in step.writes]
    if all(wanted):
        return step
    if not any(wanted):
        return None
    node = step.node
    assert node is not None
    name, origin = step.kernel.name, step.kernel.origin
    seen = step.windows or ((),) * len(step.arguments)
    places = list(zip(step.arguments, seen, strict=True))
    values = dict(zip(node_kernel(node, name, origin)[1], places, strict=False))
    kernel, used = node_kernel(node, name, origin, tuple(wanted))
    written = [p for p, w in zip(places[len(step.reads) :], wanted, strict=True) if w]
    arguments, windows = zip(*(values[v] for v in used), *written, strict=True)
    positions = in_place_positions(kernel)
    narrow = replace(step, kernel=kernel, arguments=arguments, in_place=positions, windows=())
    return in_windows(narrow, windows)
