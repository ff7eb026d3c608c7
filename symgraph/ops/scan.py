"""The loop: a function of symbols run once for each step, with state carried between steps."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import AttributeValueError, InputError
from ..ir.apply import apply
from ..ir.each import Each
from ..ir.graph import Graph, topological
from ..ir.node import Node, Value
from ..ir.op import Variable
from ..ir.origin import Origin, caller
from ..ir.sample import Sample
from ..ir.scan import Scan, variable
from ..ir.symbol import Expression, Symbol, as_symbol
from ..ir.symbol import var as declare
from ..ir.tensor_type import TensorType, as_shape
from ..kernel.dims import Dim
from .arithmetic import Add, add, multiply
from .contraction import Linear, Matmul, linear
from .reduction import Sum
from .trigonometry import tanh

Symbols = Symbol | Sequence[Symbol]


def scan(
    body: Callable[..., Any], sequences: Symbols = (), states: Symbols = (), *,
    length: int | str | Dim | None = None, reverse: bool = False, axis: int = 0,
    output_axis: int | None = None, name: str | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """(states after the last step, results of every step stacked) of a loop over steps.

        def step(x, h):                              # x_t and the state before the step
            h = sg.tanh(sg.linear(x, 20, w) + sg.linear(h, 20, u))
            return h, h                              # the state after it, and what is stacked
        last, ys = sg.scan(step, xs, h0)

    `body` is called once, with symbols: a step of each of `sequences`, then `states`.  It returns
    (next states, results), each one symbol or several as they were given; results may be None.
    What else it uses, weights above all, is read from the graph around.  The number of steps may be
    open, and zero: then the states stay as they are.  Differentiable in everything that is a float.

    axis         of every sequence, that of the steps
    output_axis  the same of every stacked result, by default `axis`
    reverse      run from the last step to the first; results keep their step's place
    length       the number of steps (or the name of an open extent) where there are no sequences

    Shapes: sequences [t, *s], a step sees [*s]; states [*s] -> [*s]; results [*s] -> [t, *s].
    Dtypes: any; a state keeps its own.
    Raises: InputError for a body that returns something else, ShapeError and DTypeError where
    steps, or a state and its next value, do not fit.
    """
    place = caller()
    xs, hs = _several(sequences, "sequences", place), _several(states, "states", place)
    steps = _placeholders(body, xs, hs, axis, place)
    returned = body(*(Symbol(n[0]) for n in steps))
    next_states, results = _returned(returned, hs, states, place)
    inner, captured = _captured([*next_states, *results], steps, place)
    names = [n.name or "" for n in steps]
    op = Scan(
        inner,
        tuple(names[: len(xs)]),
        tuple(names[len(xs) :]),
        tuple(captured),
        (axis,) * len(xs),
        (axis if output_axis is None else output_axis,) * len(results),
        reverse,
        None if length is None else _length(length),
    )
    made = apply(op, *xs, *hs, *captured.values(), name=name, origin=place)
    outs = made if isinstance(made, tuple) else (made,)
    after, stacked = outs[: len(hs)], outs[len(hs) :]
    return _as_given(after, states), _as_given(stacked, returned[1])


def _several(items: Symbols, what: str, place: Origin) -> tuple[Symbol, ...]:
    if isinstance(items, Expression):
        return items.symbols
    if not isinstance(items, (tuple, list)):
        raise InputError(
            f"scan: {what} must be a symbol or several, got {type(items).__name__} (declared at "
            f"{place})"
        )
    return tuple(as_symbol(item) for item in items)


def _as_given(found: Sequence[Symbol], like: Any) -> Any:
    if like is None:
        return None
    return found[0] if isinstance(like, Symbol) else tuple(found)


def _length(length: int | str | Dim) -> Dim:
    shape = as_shape((length,), "scan: length")
    assert shape is not None
    return shape[0]


def _placeholders(
    body: Callable[..., Any],
    xs: Sequence[Symbol],
    hs: Sequence[Symbol],
    axis: int,
    place: Origin,
) -> list[Node]:
    """The body's variables, named as its parameters are."""
    names = _parameter_names(body, len(xs) + len(hs))
    types = []
    for number, x in enumerate(xs):
        shape = x.shape
        if shape is not None and not 0 <= axis < len(shape):
            raise AttributeValueError(
                f"scan: axis must be that of the steps in every sequence: axis {axis} of sequence "
                f"{number}, {x.type}, does not exist (declared at {place}); reshape it, or choose "
                f"an axis in [0, {len(shape)})"
            )
        rest = None if shape is None else (*shape[:axis], *shape[axis + 1 :])
        types.append(TensorType(rest, x.dtype))
    types += [h.type for h in hs]
    return [variable(n, t) for n, t in zip(names, types, strict=True)]


def _parameter_names(body: Callable[..., Any], count: int) -> list[str]:
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        found = [p.name for p in inspect.signature(body).parameters.values() if p.kind in plain]
    except (TypeError, ValueError):
        found = []
    names = found[:count]
    taken = set(names)
    for number in range(len(names), count):
        name = f"item{number}"
        while name in taken:
            name += "_"
        names.append(name)
        taken.add(name)
    return names


def _returned(
    returned: Any, hs: Sequence[Symbol], states: Symbols, place: Origin
) -> tuple[tuple[Symbol, ...], tuple[Symbol, ...]]:
    """The next states and the results."""
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        raise InputError(
            f"scan: the body must return (next states, results), got {_text(returned)} (declared "
            f"at {place}); return None as results where nothing is stacked"
        )
    after, results = returned
    if isinstance(states, Symbol) and not isinstance(after, Symbol):
        raise InputError(
            f"scan: the body must return one symbol as next state, as states was one, got "
            f"{_text(after)} (declared at {place})"
        )
    next_states = () if after is None else _several(after, "next states", place)
    if len(next_states) != len(hs):
        raise InputError(
            f"scan: the body must return a next value for each state: {len(hs)} states, "
            f"{len(next_states)} next values (declared at {place})"
        )
    return next_states, () if results is None else _several(results, "results", place)


def _text(item: Any) -> str:
    if isinstance(item, (tuple, list)):
        return f"{type(item).__name__} of {len(item)}"
    return type(item).__name__


def _captured(
    results: Sequence[Symbol], steps: Sequence[Node], place: Origin
) -> tuple[Graph, dict[str, Symbol]]:
    """The body as a graph of its own, and what it reads from outside by the name it has inside.

    What depends on no step is computed outside, once; numbers become part of the body.
    """
    nodes = topological(s.node for s in results)
    inside = set(steps)
    for node in nodes:
        if any(v.node in inside for v in node.inputs):
            inside.add(node)
    named = _owned_names(nodes, inside)
    new: dict[Value, Value] = {n[0]: n[0] for n in steps}
    captured: dict[str, Symbol] = {}
    taken = {n.name for n in steps}

    def moved(value: Value) -> Value:
        if value not in new and value.node not in inside and not _is_number(value.node):
            outer = named.get(value, value)
            name = _unique(_label(outer.node), taken)
            captured[name] = Symbol(outer)
            new[value] = variable(name, value.type)[0]
        return new.get(value, value)

    for node in nodes:
        if node in inside and node not in steps:
            _check(node, place)
            inputs = tuple(moved(v) for v in node.inputs)
            copy = Node(node.op, inputs, node.types, node.name, node.origin, node.scope,
                        node.attributes, node.serial)  # fmt: skip
            new.update(zip(node.values, copy.values, strict=True))
    return Graph([moved(s.value) for s in results]), captured


def _label(node: Node) -> str:
    hint = node.op.hint if isinstance(node.op, Variable) else ""
    return hint if hint and node.name is None else node.label


def _is_number(node: Node) -> bool:
    return not node.inputs and not node.is_variable and node.types[0].shape == ()


def _unique(base: str, taken: set[str | None]) -> str:
    name, number = base, 1
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add(name)
    return name


def _owned_names(nodes: Sequence[Node], inside: set[Node]) -> Mapping[Value, Value]:
    """Variables that operators of the body made, named after them rather than after the loop."""
    inner = [n for n in nodes if n in inside and n.inputs]
    graph = Graph([v for n in inner for v in n.values])
    found: dict[Value, Value] = {}
    for node in nodes:
        op = node.op
        if isinstance(op, Variable) and op.hint and node.name is None and node not in inside:
            owner = [n for n in inner if node[0] in n.inputs]
            if not owner:
                continue
            full, explicit = graph.names[node], owner[0].name is not None
            hinted = Variable(op.type, op.role, op.init, "" if explicit else full)
            label = full if explicit else None
            found[node[0]] = Node(hinted, (), node.types, label, node.origin, "",
                                  node.attributes, node.serial)[0]  # fmt: skip
    return found


def _check(node: Node, place: Origin) -> None:
    where = f"in the loop declared at {place}"
    if node.op.is_host:
        raise InputError(
            f"scan: host operator {node.op.name} (declared at {node.origin}) cannot run {where}: "
            f"every step would call back into Python; write it as a native operator, or call it on "
            f"whole sequences outside"
        )
    if not node.op.pure or node.op.state:
        what = "draws random numbers" if not node.op.pure else "keeps state between calls"
        raise InputError(
            f"scan: operator {node.op.name} (declared at {node.origin}) {what}, which every step "
            f"{where} would repeat; make it outside and pass it as a sequence or a state"
        )


def _sample_body(kind: str, dtype: str = "float32") -> Scan:
    """Small loops for the tests of every operator."""
    x, h, w = (declare(n, None, dtype) for n in ("x", "h", "w"))
    match kind:
        case "cumulative":  # elementwise, scalars included
            after = add(multiply(h, 0.5), x)
            results = [after, after]
        case "recurrent":  # a contraction with the state and a captured weight
            after = tanh(add(linear(h, 3, w, use_bias=False), x))
            results = [after, multiply(after, x)]
        case _:  # two states, one of which only counts
            count = declare("count", None, dtype)
            after = tanh(add(multiply(h, w), x))
            results = [after, add(count, 1.0), multiply(after, count)]
    nodes = [variable(n) for n in ("x", "h", "w", "count")]
    graph = Graph([r.value for r in results])
    named = {n.name: n[0] for n in nodes}
    graph = graph.replace({v[0]: named[graph.names[v]] for v in graph.variables})
    states = ("h", "count") if kind == "counted" else ("h",)
    captured = () if kind == "cumulative" else ("w",)
    return Scan(graph, ("x",), states, captured, (0,), (0,))


Scan.samples = (
    Sample(_sample_body("cumulative"), ((5,), ())),
    Sample(_sample_body("cumulative"), ((1, 3), (3,))),
    Sample(replace(_sample_body("cumulative"), reverse=True), ((4, 0), (0,))),
    Sample(_sample_body("recurrent"), ((5, 17, 3), (17, 3), (3, 3))),
    Sample(_sample_body("recurrent", "float64"), ((4, 2, 3), (2, 3), (3, 3)), dtype="float64"),
    Sample(replace(_sample_body("recurrent"), reverse=True, axes=(1,), output_axes=(1,)),
           ((2, 4, 3), (2, 3), (3, 3))),
    Sample(_sample_body("counted"), ((3, 2), (2,), (), (2,))),
)  # fmt: skip

Each.samples = (
    Sample(Each(Linear(5, False), (0, None)), ((3, 17, 2), (5, 2)), gradient=False),
    Sample(Each(Linear(5, False), (1, None), 1), ((2, 3, 7), (5, 7)), gradient=False),
    Sample(Each(Matmul(True, False), (0, 1), 0, True), ((3, 17, 2), (17, 3, 5)), gradient=False),
    Sample(Each(Add(), (0, None)), ((2, 1, 3), (3,)), dtype="float64", gradient=False),
    Sample(Each(Add(), (0, 0)), ((5,), (5,)), gradient=False),
    Sample(Each(Sum((1,)), (1,), 1), ((3, 2, 5),), gradient=False),
    Sample(Each(Add(), (0, None), 0, True), ((2, 0, 3), (3,)), gradient=False),
)
