"""Put equivalent forms in the place of operators where they are faster.

Operators offer the forms (`Op.alternatives`), each with a bound on its rounding error against the
operator as it is defined.  Among those that are accurate enough the one with the least estimated
time is taken, if it is clearly less than that of the operator itself.  The estimate counts, for
every node of a form, its operations at the machine's rate or its bytes at the rates of the caches
and of memory, whichever takes longer; constants always come from memory, and nodes that depend on
constants only cost nothing.  Nothing is timed.

    %y = convolution(%x, %w)   ->   %v = winograd_tiles(%x); %u = winograd_weights(%w)
                                    %p = winograd_product(%v, %u); %y = winograd_results(%p)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from ..ir.alternative import ALGORITHM, STANDS_FOR, Alternative
from ..ir.cost import node_flops
from ..ir.graph import Graph
from ..ir.node import Node, Value, next_serial
from ..ir.op import Constant
from ..ir.symbol import Symbol
from ..kernel import dims
from ..kernel.dims import Dim
from ..kernel.dtypes import as_dtype
from ..kernel.rates import Rates
from .expand import made_after, replacement
from .manager import Fact, Pass

GAIN = 0.9
"""A form must take less than this part of the operator's time: estimates are not exact."""

OPEN_EXTENT = 1
"""What an open extent counts as: forms that pay for one image pay for many."""


@dataclass(frozen=True)
class ChooseAlgorithms(Pass):
    """`tolerance`: how many times as large as the operator's own a form's error may be; `plain`:
    operators, by their names, that stay as they are."""

    rates: Rates
    tolerance: float
    plain: frozenset[str] = frozenset()
    name: ClassVar[str] = "choose_algorithms"
    requires: ClassVar[Fact] = Fact.TYPED | Fact.PRIMITIVE
    breaks: ClassVar[Fact] = Fact.CANONICAL

    def run(self, graph: Graph) -> Graph:
        return graph.rewrite(self._best)

    def _best(self, node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        offered = node.op.alternatives(tuple(Symbol(v) for v in inputs))
        forms = [a for a in offered if a.error <= self.tolerance]
        if not forms or node.label in self.plain:
            return None
        own = self._cycles([node])
        best, least = None, GAIN * own
        for form in forms:
            before = next_serial()
            values = _made(node, inputs, form)
            parts = made_after(values, before)
            cycles = self._cycles(parts)
            if cycles < least:
                best, least = _labelled(values, parts, node, form.name, own - cycles), cycles
        return best

    def _cycles(self, nodes: Sequence[Node]) -> float:
        """The estimated time of nodes that run one after the other."""
        constant: set[Node] = set()
        total = 0.0
        for node in nodes:
            if all(v.node in constant or isinstance(v.node.op, Constant) for v in node.inputs):
                constant.add(node)
            elif not node.op.is_view:
                total += self._node_cycles(node, constant)
        return total

    def _node_cycles(self, node: Node, constant: set[Node]) -> float:
        types = {v: v.type for v in (*node.inputs, *node.values)}
        flops = node_flops(node, types)
        traffic = 0.0
        for value in dict.fromkeys((*node.inputs, *node.values)):
            nbytes = _weigh(value.type.nbytes)
            fixed = value.node in constant or isinstance(value.node.op, Constant)
            rate = self.rates.memory if fixed else self.rates.bytes_per_cycle(nbytes)
            traffic += nbytes / rate
        size = as_dtype(node.types[0].dtype).nbytes
        return self.rates.cycles(_weigh(0 if flops is None else flops), size, traffic)


def _made(node: Node, inputs: tuple[Value, ...], form: Alternative) -> tuple[Value, ...]:
    values = replacement(node, inputs, lambda op, ins: form.make())
    assert values is not None
    return values


def _labelled(
    values: Sequence[Value], parts: Sequence[Node], node: Node, algorithm: str, saved: float
) -> tuple[Value, ...]:
    """The parts of a form, named after the node that they stand for, with the form's name."""
    notes = ((ALGORITHM, algorithm), (STANDS_FOR, (node.label, saved)))
    done: dict[Value, Value] = {}
    for part in parts:
        name = node.name if part is values[0].node else f"{node.label}_{part.op.name}"
        new = replace(
            part,
            inputs=tuple(done.get(v, v) for v in part.inputs),
            name=name,
            attributes=(*part.attributes, *notes),
        )
        done.update(zip(part.values, new.values, strict=True))
    return tuple(done.get(v, v) for v in values)


def _weigh(dim: Dim) -> int:
    return int(dims.evaluate(dim, dict.fromkeys(dims.dim_vars(dim), OPEN_EXTENT)))
