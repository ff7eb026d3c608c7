"""The description of an artefact as data: what the object's section and NAME.json hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..codegen.llvm.stack import TASKS, Stack
from ..ir.cost import node_flops
from ..ir.graph import Graph
from ..ir.live_ranges import live_ranges
from ..ir.node import Node
from ..ir.program import KernelStep, Program
from ..kernel import dims
from ..kernel.dims import Dim
from ..kernel.dtypes import as_dtype
from .extents_text import encode_dim
from .header import ABI_VERSION
from .rules import Rule
from .signature import ALIGNMENT, Signature, Tensor
from .weights import layout_digest

FORMAT = "symgraph.object"
FORMAT_VERSION = 1
LICENCE = "The compiled model is its owner's; symgraph, the compiler, is under Apache-2.0."


def describe(
    signature: Signature,
    rules: Sequence[Rule],
    program: Program,
    *,
    model_hash: str,
    weights: str,
    digest: bytes,
    machine: Mapping[str, Any],
    flops: Dim | None,
    work: Dim,
    settings: Mapping[str, Any],
    selftest: int | None = None,
) -> dict[str, Any]:
    """Everything that is known before the object is made."""
    p = signature.prefix
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "abi": ABI_VERSION,
        "name": program.name,
        "prefix": p,
        "model_hash": model_hash,
        "machine": dict(machine),
        "settings": dict(settings),
        "symbols": symbols(signature, selftest is not None),
        "selftest_nbytes": selftest,
        "inputs": [_tensor(t) for t in signature.inputs],
        "outputs": [_tensor(t) for t in signature.outputs],
        "extents": [
            {"name": e.name, "field": e.field, "low": e.low, "high": e.high}
            for e in signature.extents
        ],
        "conditions": [
            {
                "left": encode_dim(c.left),
                "relation": c.relation,
                "right": encode_dim(c.right),
                "message": c.message,
            }
            for c in signature.conditions
        ],
        "errors": [
            {"code": r.code, "name": r.name, "kind": r.kind.value, "message": r.message}
            for r in rules
        ],
        "workspace": {
            "nbytes": encode_dim(signature.needed),
            "shared": encode_dim(signature.workspace),
            "per_thread": encode_dim(signature.thread_workspace),
            "alignment": ALIGNMENT,
        },
        "weights": {
            "kind": weights,
            "nbytes": signature.weights_nbytes,
            "sha256": digest.hex(),
            "layout": layout_digest(signature).hex(),
            "arrays": [
                {
                    "name": w.name,
                    "dtype": w.dtype.name,
                    "shape": list(w.shape),
                    "offset": w.offset,
                    "packing": w.order,
                }
                for w in signature.weights
            ],
        },
        "flops": None if flops is None else encode_dim(flops),
        "work": encode_dim(work),
        "nbytes_moved": encode_dim(bytes_moved(program)),
        "kernels": [s.kernel.name for s in program.timeline if isinstance(s, KernelStep)],
        "memory": _memory(program),
        "licence": LICENCE,
    }


def describe_stack(tests: frozenset[str], found: Mapping[str, Stack | None]) -> dict[str, Any]:
    """`nbytes` is enough for every function but the self-test, None where it is not known;
    `chain` is the deepest chain of calls, with each function's own bytes."""
    own = [stack for name, stack in found.items() if name not in (TASKS, *tests)]
    known = [stack for stack in own if stack is not None]
    deepest = max(known, key=lambda stack: stack.nbytes) if len(known) == len(own) else None
    task = found[TASKS]
    tested = [found[name] for name in tests if name in found]
    largest = max((s.nbytes for s in tested if s is not None), default=None)
    return {
        "nbytes": None if deepest is None else deepest.nbytes,
        "task_nbytes": None if task is None else task.nbytes,
        "selftest_nbytes": None if None in tested else largest,
        "chain": [] if deepest is None else [list(row) for row in deepest.chain],
    }


def symbols(signature: Signature, has_selftest: bool) -> dict[str, str]:
    """The exported functions by what they are."""
    names = ["run", "strerror", "explain", "workspace_needed"]
    names += ["isa"] if signature.asks_processor else []
    names += ["selftest", "selftest_name"] if has_selftest else []
    return {name: f"{signature.prefix}_{name}" for name in names}


def _tensor(tensor: Tensor) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": tensor.name,
        "field": tensor.field,
        "dtype": tensor.dtype.name,
        "shape": [encode_dim(d) for d in tensor.shape],
        "role": tensor.role,
    }
    if tensor.updates:
        row["updates"] = tensor.updates
    if tensor.origin:
        row["origin"] = tensor.origin
    return row


def _memory(program: Program) -> dict[str, Any]:
    """Where each intermediate lies in the arena, and during which steps."""
    plan = program.plan
    assert plan is not None
    ranges = live_ranges(program)
    rows = []
    position = {buffer: number for number, (buffer, _) in enumerate(plan.offsets)}
    for buffer, offset in plan.offsets:
        first, end = ranges.get(buffer, (0, 0))
        assert buffer.type.shape is not None
        rows.append(
            {
                "name": buffer.name,
                "source": buffer.source,
                "origin": buffer.origin,
                "dtype": as_dtype(buffer.type.dtype).name,
                "shape": [encode_dim(d) for d in buffer.type.shape],
                "offset": encode_dim(offset),
                "nbytes": encode_dim(buffer.type.nbytes),
                "steps": [first, end],
            }
        )
    steps = []
    for step in program.timeline:
        touched = dict.fromkeys(position[b.root] for b in step.arguments if b.root in position)
        steps.append({"label": step.label, "origin": step.origin, "buffers": list(touched)})
    return {
        "arena": encode_dim(plan.nbytes),
        "method": plan.method,
        "lower_bound": plan.lower_bound,
        "naive": plan.naive,
        "proved": plan.proved,
        "excess": plan.excess,
        "sample": dict(plan.sample),
        "buffers": rows,
        "shared": [[position[a.root], position[b.root]] for a, b in plan.shared],
        "steps": steps,
    }


def bytes_moved(program: Program) -> Dim:
    """Bytes that the kernels read and write, each argument of each kernel once."""
    total: Dim = 0
    for step in program.timeline:
        for buffer in step.arguments:
            total = dims.add(total, buffer.type.nbytes)
    return total


def flops_by_node(graph: Graph) -> list[tuple[Node, Dim | None]]:
    """The operations of each node of a typed graph; None where an operator does not tell."""
    types = {value: value.node.types[value.index] for n in graph.nodes for value in n.values}
    return [(node, node_flops(node, types)) for node in graph.nodes]


def total_flops(parts: Sequence[tuple[Node, Dim | None]]) -> Dim | None:
    """Their sum; None where one is unknown."""
    total: Dim = 0
    for _, part in parts:
        if part is None:
            return None
        total = dims.add(total, part)
    return total
