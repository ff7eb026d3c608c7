"""What a node's index expressions say about fusing it; no operator is named.

The profile is read off `forward` over placeholders, once for each operator with its attributes and
types, so a chain of 50,000 equal nodes costs one look.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from ...errors import UnknownOperatorError
from ...ir.compose import apply_forward, literal, literal_tensor
from ...ir.form import op_key
from ...ir.fused import Fused
from ...ir.node import Node
from ...ir.op import Constant
from ...kernel.compute import Compute, Tensor
from ...kernel.dims import LoopVar, atoms
from ...kernel.dtypes import as_dtype
from ...kernel.inlining import flops
from ...kernel.ir import Axis, Buffer, Call, DataIndex, Expr, IndexValue, Load, Reduce, Select
from ...kernel.placement import find_placement
from ...kernel.rewrite import loads, operands, walk


@dataclass(frozen=True)
class Profile:
    """`maps`: no output reduces.  `read`: the inputs of which elements are read, not just shapes.
    `same`: the inputs that every output reads at its own index only.
    `moves`: each output is one element of an input.  `places`: its input stands in the middle of
    its output, with a constant around.  `contracts`: a sum of products in which an
    operand is read again and again.  `inner`: operations inside its reductions.  `depth`: of its
    expressions.  `flops`: for one element of each output together."""

    maps: bool
    read: frozenset[int]
    same: frozenset[int]
    moves: bool
    places: bool
    contracts: bool
    inner: int
    depth: int
    flops: int


MOST_KNOWN = 1 << 14
_known: dict[Hashable, Profile | None] = {}
"""Of every operator with its attributes and types: each pass that asks is told the same."""


class Profiles:
    """The profiles of nodes, made when asked for; None for a node that cannot be fused."""

    def __init__(self) -> None:
        self._of: dict[Node, Profile | None] = {}

    def of(self, node: Node) -> Profile | None:
        if node.is_variable or isinstance(node.op, Constant):
            return None  # nothing to fuse, and the key of a weight would be all of its bytes
        if node not in self._of:
            key = self._key(node)
            self._of[node] = _profile(node) if key is None else self._known(key, node)
        return self._of[node]

    @staticmethod
    def _known(key: Hashable, node: Node) -> Profile | None:
        if key not in _known:
            if len(_known) >= MOST_KNOWN:
                _known.clear()
            _known[key] = _profile(node)
        return _known[key]

    @staticmethod
    def _key(node: Node) -> Hashable | None:
        key = op_key(node.op)
        if key is None:
            return None
        numbers = tuple(literal(v) is None for v in node.inputs)
        return (key, tuple(v.type for v in node.inputs), node.types, numbers)


def _profile(node: Node) -> Profile | None:
    op = node.op
    if op.is_variable or op.is_host or op.is_composite or isinstance(op, (Constant, Fused)):
        return None
    if not all(t.is_complete for t in node.types):
        return None
    tensors = [_placeholder(node, n) for n in range(len(node.inputs))]
    try:
        results = apply_forward(node, tensors)
    except (NotImplementedError, UnknownOperatorError):
        return None  # lowering says what is missing, where it is needed
    position = {t: n for n, t in enumerate(tensors)}
    everything = _all_computes(results, with_literals=True)
    read = frozenset(
        position[x.tensor] for c in everything for x in loads(c.body) if x.tensor in position
    )
    computes = _all_computes(results)
    exprs = [c.body for c in computes]
    reduces = [e for x in exprs for e in walk(x) if isinstance(e, Reduce)]
    flat = len(computes) == len(results)
    same = _read_at_own_index(results, position) if flat else frozenset()
    moves = flat and not reduces and all(isinstance(c.body, Load) for c in results)
    places = flat and len(tensors) == len(results) == 1 and find_placement(results[0]) is not None
    contracts = any(contraction(c) for c in computes)
    inner = sum(inner_operations(c.body) for c in computes)
    depths = [expression_depth(x) for x in exprs]
    depth = max(depths) if flat else sum(depths)
    cost = sum(map(flops, exprs))
    return Profile(not reduces, read, same, moves, places, contracts, inner, depth, cost)


def _placeholder(node: Node, number: int) -> Tensor:
    value = node.inputs[number]
    known = literal(value)
    if known is not None:
        return literal_tensor(known)
    assert value.type.shape is not None
    return Buffer(f"x{number}", value.type.shape, as_dtype(value.type.dtype))


def _all_computes(results: Sequence[Compute], with_literals: bool = False) -> list[Compute]:
    """The computations and those they read."""
    found: dict[Compute, None] = {}
    stack = list(reversed(results))
    while stack:
        current = stack.pop()
        if current in found:
            continue
        found[current] = None
        below = [x.tensor for x in loads(current.body)]
        stack.extend(c for c in below if isinstance(c, Compute) and (c.axes or with_literals))
    return list(found)


def _read_at_own_index(results: Sequence[Compute], position: dict[Tensor, int]) -> frozenset[int]:
    """Inputs of the outputs' shape that are only read at the element being computed."""
    good = set(position.values())
    read: set[int] = set()
    for compute in results:
        for e in walk(compute.body):
            if isinstance(e, Reduce):
                good -= {position[x.tensor] for x in loads(e.body) if x.tensor in position}
            if isinstance(e, Load) and e.tensor in position:
                number = position[e.tensor]
                read.add(number)
                if e.tensor.shape != compute.shape or not _is_own(e, compute.axes):
                    good.discard(number)
    shapes = {compute.shape for compute in results}
    return frozenset(good & read) if len(shapes) == 1 else frozenset()


def _is_own(load: Load, axes: Sequence[Axis]) -> bool:
    return all(
        d == a.var or (d == 0 and a.extent == 1) for d, a in zip(load.index, axes, strict=True)
    )


def contraction(compute: Compute) -> bool:
    """A sum of products in which some operand does not depend on every axis of the result."""
    axes = {a.var for a in compute.axes if a.extent != 1}
    return any(
        isinstance(e, Reduce) and e.kind == "sum" and _is_product(e.body, axes)
        for e in walk(compute.body)
    )


def _is_product(body: Expr, axes: set[LoopVar]) -> bool:
    for e in walk(body):
        if isinstance(e, Call) and e.function == "mul":
            sides = [_variables(loads(a)) for a in e.args]
            if all(s is not None for s in sides) and any(not axes <= s for s in sides if s):
                return True
    return False


def _variables(found: list[Load]) -> set[object] | None:
    """What the indices of the loads depend on; None where nothing is loaded."""
    return {a for x in found for d in x.index for a in atoms(d)} if found else None


def inner_operations(expr: Expr) -> int:
    """Operations, choices and indices read from data inside the reductions of an expression."""
    counted: set[int] = set()
    for e in walk(expr):
        if not isinstance(e, Reduce):
            continue
        for inside in walk(e.body):
            data = isinstance(inside, Load) and any(
                isinstance(a, DataIndex) for d in inside.index for a in atoms(d)
            )
            if data or isinstance(inside, (Call, Select)):
                counted.add(id(inside))
    return len(counted)


def expression_depth(expr: Expr) -> int:
    """The longest path of operations."""
    depth: dict[int, int] = {}
    for e in walk(expr):
        below = max((depth[id(o)] for o in operands(e)), default=0)
        depth[id(e)] = below + (0 if isinstance(e, (Load, IndexValue)) else 1)
    return depth[id(expr)]
