"""Operators applied to symbols: nodes declared, and composites taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import AttributeValueError, InputError, ShapeError
from ..kernel.dtypes import as_dtype
from .attributes import check_attributes, with_plain_numbers
from .graph import make_node, topological
from .node import Node, Value
from .op import Op, Owned, Variable
from .origin import NOWHERE, Origin, caller, current_attributes, current_scope
from .symbol import Symbol, as_symbol
from .tensor_type import TensorType


def apply(op: Op, *inputs: Any, name: str | None = None, origin: Origin | None = None) -> Any:
    """Declare a node: the symbol of its output, or a tuple of symbols for several outputs.

    Inputs given as None or left out become variables where the operator owns them.
    Raises: ShapeError, DTypeError, AttributeValueError at once for what can be known now.
    """
    op = with_plain_numbers(op)
    check_attributes(op)
    op.check_attributes()
    place = caller() if origin is None else origin
    values = [None if item is None else as_symbol(item).value for item in inputs]
    values = _complete_inputs(op, values, place)
    scope, attributes = current_scope(), tuple(sorted(current_attributes().items()))
    complete = tuple(v for v in values if v is not None)
    node = make_node(op, complete, name, place, scope, attributes)
    symbols = tuple(Symbol(v) for v in node.values)
    return symbols[0] if len(symbols) == 1 else symbols


def _complete_inputs(op: Op, values: list[Value | None], place: Origin) -> list[Value | None]:
    """Make the variables that the operator owns and nobody gave."""
    least, most = op.input_limits
    names = op.argument_names(len(values) if most is None else most)
    values = values + [None] * (len(names) - len(values))
    for owned in op.owned:
        if owned.argument not in names:
            raise AttributeValueError(
                f"{op.name}: it owns {owned.argument!r}, but its inputs are {', '.join(names)}"
            )
        position = names.index(owned.argument)
        if values[position] is None and owned.needed(op):
            values[position] = _owned_variable(owned, place)
    given = [v for v in values if v is not None]
    missing = [n for n, v in zip(names, values, strict=False) if v is None][: least - len(given)]
    if len(given) < least or (most is not None and len(values) > most):
        what = f"missing {', '.join(missing)}" if missing else f"got {len(values)}"
        raise InputError(
            f"{op.name} takes {', '.join(names) or 'no inputs'}: {what} (declared at {place})"
        )
    holes = [n for n, v, after in zip(names, values, values[1:], strict=False) if not v and after]
    if holes and op.input_limits[0] > names.index(holes[0]):
        raise InputError(f"{op.name}: input {holes[0]} is None (declared at {place})")
    return values


def _owned_variable(owned: Owned, place: Origin) -> Value:
    role = "auxiliary" if owned.auxiliary else "parameter"
    type = TensorType(None, None if owned.dtype is None else as_dtype(owned.dtype))
    op = Variable(type, role, owned.init, owned.argument)
    attributes = tuple(sorted(current_attributes().items()))
    return Node(op, (), (type,), None, place, current_scope(), attributes)[0]


def expand_parts(
    node: Node, types: Sequence[TensorType] | None = None
) -> tuple[tuple[Value, ...], tuple[Node, ...], tuple[Value, ...]]:
    """A composite node as (stand-in inputs, inner nodes, outputs).

    `types` are those of its inputs where more is known of them than when it was declared.
    """
    inputs = stand_ins_for(node, types)
    outputs = as_values(node.op.forward(*(Symbol(v) for v in inputs)), node.op)
    stand_ins = {v.node for v in inputs}
    inner = tuple(n for n in topological(v.node for v in outputs) if n not in stand_ins)
    return inputs, inner, outputs


def stand_ins_for(node: Node, types: Sequence[TensorType] | None = None) -> tuple[Value, ...]:
    """Variables in place of a node's inputs, with their names and types."""
    names = node.op.argument_names(len(node.inputs))
    known = [v.type for v in node.inputs] if types is None else types
    pairs = zip(known, names, strict=True)
    return tuple(Node(Variable(t), (), (t,), n, NOWHERE)[0] for t, n in pairs)


def as_values(result: Any, op: Op) -> tuple[Value, ...]:
    """The values of what a method returned: one symbol or one for each output."""
    items = [result] if isinstance(result, Symbol) else list(result)
    if len(items) != op.output_count:
        raise ShapeError(
            f"{op.name} has {op.output_count} outputs but {type(op).__name__} returned {len(items)}"
        )
    return tuple(as_symbol(item).value for item in items)
