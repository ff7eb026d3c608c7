"""Make what a loop reads of contractions over all its steps for a band of steps at a time.

    zx = x @ wx;  repeat t: h = f(zx[t], h)
        ->   repeat band b:  zx' = x[b] @ wx;  repeat t in b: h = f(zx'[t], h)

A contraction that left a loop (hoist_from_loops.py) gains by using each weight for many rows.  A
few rows are enough for that, so its result need not be there for all steps: the steps are cut into
equal bands, with a loop over them around the loop, and only a band's result is kept, in a near
cache.  Every element is computed as before, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..ir.each import Each
from ..ir.graph import Graph, make_node
from ..ir.node import Node, Value
from ..ir.registry import registry
from ..ir.scan import Scan, variable
from ..kernel import dims
from ..kernel.dims import Dim
from .fusion.profile import Profiles
from .hoist_from_loops import rows_of
from .manager import Fact, Pass

ROWS = 16
"""Rows of a product that keep a core busy while its weights come from an outer cache; bands whose
products have as many are aimed at."""

LEAST_ROWS = 8
"""Bands with fewer rows would wait for weights."""

LEAST_BYTES = 64 * 1024
"""A result that is no larger stays in a near cache anyway."""

REST, MERGED, SPLIT = -2, -3, -4
"""Entries of a new shape: all axes that follow, two axes as one, one axis as two."""


@dataclass(frozen=True)
class BandLoops(Pass):
    """See the module's text; loops whose number of steps is open or cannot be cut stay whole."""

    name: ClassVar[str] = "band_loops"
    requires: ClassVar[Fact] = Fact.NAMED | Fact.TYPED | Fact.PRIMITIVE

    def run(self, graph: Graph) -> Graph:
        profiles = Profiles()
        found: dict[Node, dict[Node, None]] = {}
        for node in graph.nodes:
            if isinstance(node.op, Scan):
                made = _made_for(graph, node)
                if any(_is_large(n, profiles) for n in made):
                    found[node] = made

        def change(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
            made = found.get(node)
            size = None if made is None else _band(node, made, profiles)
            if made is None or size is None:
                return None
            return _Banding(node, inputs, made, size).run()

        return graph.rewrite(change)


def _made_for(graph: Graph, loop: Node) -> dict[Node, None]:
    """What is computed for every step ahead of a loop and read by it alone; inputs first."""
    results = set(graph.results)
    found: dict[Node, None] = {}
    assert isinstance(loop.op, Scan)
    axes = {(v, a) for v, a in zip(loop.inputs, loop.op.axes, strict=False)}
    for node in reversed(graph.nodes):
        if not isinstance(node.op, Each) or node.op.total or node[0] in results:
            continue
        users = graph.users.get(node[0], ())
        as_steps = [
            (node[0], node.op.axis) in axes and position < len(loop.op.sequences)
            if user is loop
            else user in found and _axis_of(user, position) == node.op.axis
            for user, position in users
        ]
        if users and all(as_steps) and any(a is not None for a in node.op.axes):
            found[node] = None
    return dict.fromkeys(reversed(found))


def _axis_of(user: Node, position: int) -> int | None:
    return user.op.axes[position] if isinstance(user.op, Each) else None


def _is_large(node: Node, profiles: Profiles) -> bool:
    profile = profiles.of(node)
    contracts = profile is not None and profile.contracts
    return contracts and _at_one(node.types[0].nbytes) > LEAST_BYTES


def _at_one(dim: Dim | None) -> int:
    """A number of elements or bytes with every open extent 1: larger ones have more rows yet."""
    return 0 if dim is None else int(dims.evaluate(dim, dict.fromkeys(dims.dim_vars(dim), 1)))


def _is_empty(value: Value) -> bool:
    return 0 in (value.type.shape or ())


def _band(loop: Node, made: dict[Node, None], profiles: Profiles) -> int | None:
    """How many steps a band has: as many as give each large product enough rows."""
    assert isinstance(loop.op, Scan)
    steps = loop.op.steps([v.type for v in loop.inputs])
    if not isinstance(steps, int) or any(map(_is_empty, (*loop.inputs, *loop.values))):
        return None
    least = min(_rows(n, steps) for n in made if _is_large(n, profiles))
    if least * steps < 2 * ROWS:
        return None
    sizes = [n for n in range(1, steps // 2 + 1) if steps % n == 0 and n * least >= LEAST_ROWS]
    return min(sizes, key=lambda n: (max(n * least / ROWS, ROWS / (n * least)), n), default=None)


def _rows(node: Node, steps: int) -> float:
    """The rows of a product of matrices that one step needs."""
    assert isinstance(node.op, Each)
    pairs = list(zip(node.inputs, node.op.axes, strict=True))
    alike = [_at_one(v.type.nelems) for v, axis in pairs if axis is None]
    moving = [_at_one(v.type.nelems) // steps for v, axis in pairs if axis is not None]
    return rows_of(max(moving), max(alike, default=0), _at_one(node.types[0].nelems) // steps)


class _Banding:
    """Puts one loop, and what is made for it, into a loop over bands of `size` steps."""

    def __init__(
        self, node: Node, inputs: tuple[Value, ...], made: dict[Node, None], size: int
    ) -> None:
        assert isinstance(node.op, Scan)
        self.node = node
        self.op = node.op
        self.made = made
        self.size = size
        self.sequences: dict[tuple[Value, int], tuple[str, Value]] = {}
        self.captured: dict[Value, tuple[str, Value]] = {}
        self.inner: dict[Value, Value] = {}
        self.new = self._renewed(inputs)

    def _renewed(self, inputs: tuple[Value, ...]) -> dict[Value, Value]:
        """What stands now for what the loop, and what is made for it, read before the rewrite."""
        found: dict[Value, Value] = {}
        pairs = list(zip(self.node.inputs, inputs, strict=True))
        while pairs:
            old, new = pairs.pop()
            if old not in found:
                found[old] = new
                if old.node in self.made:
                    pairs += zip(old.node.inputs, new.node.inputs, strict=True)
        return found

    def run(self) -> list[Value]:
        """The loop's results."""
        for made in self.made:
            given = [self._given(v, a) for v, a in zip(made.inputs, self._axes(made), strict=True)]
            self.inner[made[0]] = self._node(made.op, tuple(given), made.label)[0]
        sequences, states, captured = self.op.split(self.node.inputs)
        starts = [variable(f"state{n}", v.type)[0] for n, v in enumerate(states)]
        loop = self._node(
            self.op,
            (
                *(self._given(v, a) for v, a in zip(sequences, self.op.axes, strict=True)),
                *starts,
                *(self._given(v, None) for v in captured),
            ),
            self.node.label,
        )
        return self._results(loop, starts, states)

    @staticmethod
    def _axes(made: Node) -> tuple[int | None, ...]:
        assert isinstance(made.op, Each)
        return made.op.axes

    def _given(self, value: Value, axis: int | None) -> Value:
        """A value as a band sees it."""
        if value in self.inner:
            return self.inner[value]
        if axis is None:
            if value not in self.captured:
                name = f"whole{len(self.captured)}"
                self.captured[value] = (name, variable(name, value.type)[0])
            return self.captured[value][1]
        if (value, axis) not in self.sequences:
            shape = value.type.shape
            assert shape is not None
            name = f"band{len(self.sequences)}"
            type = replace(value.type, shape=(*shape[:axis], self.size, *shape[axis + 1 :]))
            self.sequences[value, axis] = (name, variable(name, type)[0])
        return self.sequences[value, axis][1]

    def _results(self, loop: Node, starts: Sequence[Value], states: Sequence[Value]) -> list[Value]:
        names = [f"state{n}" for n in range(len(starts))]
        op = Scan(
            Graph(loop.values),
            tuple(name for name, _ in self.sequences.values()),
            tuple(names),
            tuple(name for name, _ in self.captured.values()),
            tuple(axis for _, axis in self.sequences),
            self.op.output_axes,
            self.op.reverse,
        )
        given = (
            *(self._cut(v, axis, name) for (v, axis), (name, _) in self.sequences.items()),
            *(self._outside(v) for v in states),
            *(self._outside(v) for v in self.captured),
        )
        around = self._node(op, given, f"{self.node.label}_bands")
        found = list(around.values)
        for n, axis in enumerate(self.op.output_axes, len(starts)):
            label = self.op.output_names[n]
            found[n] = self._reshaped(found[n], (*(0,) * axis, MERGED, REST), label)
        return found

    def _outside(self, value: Value) -> Value:
        """What stands for a value around the loop."""
        return self.new[value]

    def _cut(self, value: Value, axis: int, label: str) -> Value:
        """The value with an axis of bands before that of a band's steps."""
        shape = value.type.shape
        assert shape is not None
        count = dims.exact_quotient(shape[axis], self.size)
        cut = (*(0,) * axis, SPLIT, count, self.size, REST)
        return self._reshaped(self._outside(value), cut, label)

    def _reshaped(self, value: Value, shape: tuple[Dim | None, ...], label: str) -> Value:
        reshape: Any = registry.get("reshape")
        return self._node(reshape(shape), (value,), f"{self.node.label}_{label}")[0]

    def _node(self, op: Any, inputs: tuple[Value, ...], label: str) -> Node:
        return make_node(op, inputs, label, self.node.origin, self.node.scope,
                         self.node.attributes)  # fmt: skip
