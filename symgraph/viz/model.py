"""From symgraph's graphs and programs to the model of pictures, and the functions users call.

`to_networkx` is the only place that knows both sides. Counts with open extents are numbers at
extent 1 (so that they compare), marked in the attribute `counted_at`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import networkx as nx

from ..errors import InputError
from ..ir.cost import node_flops
from ..ir.graph import Graph
from ..ir.memory_report import live_tensors
from ..ir.node import Node, Value
from ..ir.op import Constant, Opaque, Variable
from ..ir.printer import attribute_text
from ..ir.program import Program
from ..ir.symbol import Expression, output_names
from ..ir.tensor_type import TensorType
from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from .arena import ArenaChart, draw_arena
from .drawing import Drawing, Engine
from .errors import DrawError
from .layout import Rankdir
from .view import Clusters, Model, Parameters

__all__ = ["as_graph", "draw", "draw_memory", "short_name", "to_networkx"]


def draw(
    what: Expression | Graph | Model,
    *,
    parameters: Parameters = "hide",
    shapes: bool = True,
    clusters: Clusters = True,
    rankdir: Rankdir = "TB",
    engine: Engine = "auto",
    heat: str | None = None,
    title: str = "symgraph",
    given: Mapping[str, Any] | None = None,
    **more_shapes: Any,
) -> Drawing:
    """A picture of a symbol, a group, a graph, or a model of one (see `Drawing` for the options).

    Shapes of variables may be given by name: `draw(logits, x=(64, 1, 28, 28))`; through `given`
    where a variable has the name of an option.

    Raises: ShapeError when the shapes contradict the graph; DrawError for unknown options.
    """
    chosen = {**(given or {}), **more_shapes}
    if isinstance(what, nx.DiGraph):
        if chosen:
            raise DrawError(f"draw: a model has its types already, got shapes for {list(chosen)}")
        model = what
    else:
        model = to_networkx(what, chosen)
    return Drawing(
        model,
        parameters=parameters,
        shapes=shapes,
        clusters=clusters,
        rankdir=rankdir,
        engine=engine,
        heat=heat,
        title=title,
    )


def to_networkx(what: Expression | Graph, shapes: Mapping[str, Any] | None = None) -> Model:
    """The graph as `networkx.DiGraph`: one node for each node, by its name in the graph.

    Two edges between the same nodes become one, whose `inputs` names both. Types hold the best
    knowledge, also where inference is not complete.
    """
    graph = as_graph(what)
    types = graph.infer(shapes).types if shapes else graph.types
    model: Model = nx.DiGraph()
    outputs = _output_names(graph)
    for node in graph.nodes:
        attributes = _node_attributes(graph, node, types)
        if node in outputs:
            attributes["output"] = ", ".join(outputs[node])
        model.add_node(graph.names[node], **attributes)
        _add_edges(model, graph, node, types)
    for name, value in graph.updates:
        model.nodes[graph.names[value.node]]["updates"] = name
    return model


def as_graph(what: Expression | Graph) -> Graph:
    """The graph behind a symbol or a group.  Raises: InputError for anything else."""
    if isinstance(what, Graph):
        return what
    if isinstance(what, Expression):
        return what.graph
    raise InputError(f"need a symbol, a group or a graph, got {type(what).__name__}")


def draw_memory(program: Program, **extents: int) -> ArenaChart:
    """The memory plan of a program as a chart; `extents` are the sizes of the open dims,
    by default those at which the plan was made.

    Raises: DrawError when the program has no plan, or an extent is missing.
    """
    plan = program.plan
    if plan is None:
        raise DrawError(f"program {program.name} has no memory plan")
    values = {**dict(plan.sample), **extents}
    env = {DimVar(name): size for name, size in values.items()}
    try:
        tensors, shared = live_tensors(program, values)
        total = int(dims.evaluate(plan.nbytes, env))
    except KeyError as error:
        raise DrawError(f"draw_memory: give the extent {error.args[0]}=") from error
    blocks = [(t.title(tensors), t.first, t.last, t.offset, t.nbytes) for t in tensors]
    sizes = ", ".join(f"{name}={size}" for name, size in values.items())
    title = f"{program.name}: memory plan" + (f" at {sizes}" if sizes else "")
    return draw_arena(blocks, total, title=title, shared=shared)


def _output_names(graph: Graph) -> dict[Node, list[str]]:
    names: dict[Node, list[str]] = {}
    for value, name in zip(graph.outputs, output_names(graph), strict=True):
        names.setdefault(value.node, []).append(name)
    return names


def _node_attributes(graph: Graph, node: Node, types: Mapping[Value, TensorType]) -> dict[str, Any]:
    flops = node_flops(node, types)
    nbytes = _sum_bytes([types[v] for v in node.values])
    scalar = node.op.name == "scalar"
    attributes: dict[str, Any] = {
        "label": _attributes(node) if scalar else short_name(graph, node),
        "kind": _kind(node),
        "op": "" if node.is_variable else node.op.name,
        "attributes": "" if scalar else _attributes(node),
        "scope": node.scope,
        "origin": str(node.origin),
        "type": ", ".join(str(types[v]) for v in node.values),
    }
    for name, count in (("flops", flops), ("nbytes", nbytes)):
        if count is not None:
            attributes[name] = at_one(count)
    open_extents = sorted({a.name for c in (flops, nbytes) if c is not None for a in _open(c)})
    if open_extents:
        attributes["counted_at"] = ", ".join(f"{name}=1" for name in open_extents)
    return attributes


def short_name(graph: Graph, node: Node) -> str:
    """The node's name in the graph without its scope."""
    name = graph.names[node]
    return name.removeprefix(f"{node.scope}/") if node.scope else name


def _kind(node: Node) -> str:
    op = node.op
    if isinstance(op, Variable):
        return op.role
    if isinstance(op, Constant) or op.name == "scalar":
        return "constant"
    return "opaque" if op.is_host or isinstance(op, Opaque) else "operator"


def _attributes(node: Node) -> str:
    """`kernel_size=5 stride=2`, without what has its default value."""
    if isinstance(node.op, Variable):
        return ""
    if node.op.name in ("scalar", "constant"):
        return " ".join(attribute_text(value) for _, value in node.op.attribute_items)
    defaults = {
        name: field.default for name, field in getattr(node.op, "__dataclass_fields__", {}).items()
    }
    return " ".join(
        f"{name}={attribute_text(value).replace(' ', '')}"
        for name, value in node.op.attribute_items
        if name not in defaults or attribute_text(defaults[name]) != attribute_text(value)
    )


def _add_edges(model: Model, graph: Graph, node: Node, types: Mapping[Value, TensorType]) -> None:
    arguments = node.op.argument_names(len(node.inputs))
    sources: dict[Node, list[int]] = {}
    for position, value in enumerate(node.inputs):
        sources.setdefault(value.node, []).append(position)
    for source, positions in sources.items():
        values = list(dict.fromkeys(node.inputs[p] for p in positions))
        nbytes = _sum_bytes([types[v] for v in values])
        model.add_edge(
            graph.names[source],
            graph.names[node],
            label=", ".join(str(types[v]) for v in values),
            inputs=", ".join(arguments[p] for p in positions),
            nbytes=0 if nbytes is None else at_one(nbytes),
            style="dashed" if node.op.is_view and 0 in positions else "solid",
        )


def _sum_bytes(types: list[TensorType]) -> Dim | None:
    if not all(t.is_complete for t in types):
        return None
    total: Dim = 0
    for type_ in types:
        total = dims.add(total, type_.nbytes)
    return total


def _open(count: Dim) -> list[DimVar]:
    return [atom for atom in dims.atoms(count) if isinstance(atom, DimVar)]


def at_one(count: Dim) -> int:
    """The number when every open extent is 1."""
    return int(dims.evaluate(count, dict.fromkeys(_open(count), 1)))
