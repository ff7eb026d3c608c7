"""What a header says about state: the arrays that calls update, as one struct of the caller's.

State are the inputs over which an entry writes their next values: hidden values and caches,
auxiliary variables, parameters that are trained and what their optimiser remembers.  All entries of
an object use one struct.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import TargetError
from ..ir.initializer import Constant
from ..ir.op import Variable
from ..kernel import dims
from ..kernel.dims import Dim
from ..kernel.dtypes import DType
from .formula import c_text
from .header import c_type, comment, formula_function
from .header_entries import common_workspace
from .header_layout import struct_layout
from .names import unique_identifiers
from .request import Request
from .signature import ALIGNMENT, Signature, Tensor


@dataclass(frozen=True, slots=True)
class State:
    """One array of the state; `initial` is what a reset fills it with, None where that is not one
    number: then a reset leaves it."""

    tensor: Tensor
    initial: float | None


def state_of(request: Request, signature: Signature) -> tuple[State, ...]:
    """The arrays that an entry updates, in the order of its inputs."""
    updated = {t.updates for t in signature.outputs if t.updates}
    operators = {request.graph.names[n]: n.op for n in request.graph.variables}
    rows = []
    for tensor in signature.inputs:
        if tensor.name in updated:
            op = operators.get(tensor.name)
            given = request.params.get(tensor.name)
            rows.append(State(tensor, _initial(op, given)))
    return tuple(rows)


def _initial(op: object, given: Any) -> float | None:
    """The one number of the given array, or of the variable's own initialiser; an input is zero."""
    if given is not None:
        values = np.asarray(given).reshape(-1)
        same = values.size == 0 or (values == values[0]).all()
        return (float(values[0]) if values.size else 0.0) if same else None
    if isinstance(op, Variable) and isinstance(op.init, Constant):
        return float(op.init.value)
    return 0.0 if isinstance(op, Variable) and op.role == "input" else None


def state_header(
    prefix: str,
    signatures: Sequence[Signature],
    states: Sequence[Sequence[State]],
    pointer_bytes: int,
) -> list[str]:
    """The struct, its size, its place in memory, its first values, and NAME_step for each entry;
    nothing where no entry has state.

    Raises: TargetError for entries that keep arrays of different types under one name.
    """
    rows = _common(states)
    if not rows:
        return []
    whole, _ = common_workspace(prefix, signatures)
    fields = unique_identifiers([row.tensor.name for row in rows], whole.fields.values())
    known = dict(zip((row.tensor.name for row in rows), fields, strict=True))
    guard = f"{prefix.upper()}_STATE_SYMGRAPH_H"
    pointers = [(known[row.tensor.name], 0) for row in rows]
    return [
        f"#ifndef {guard}\n#define {guard}",
        _struct(prefix, rows, known),
        struct_layout(f"{prefix}_state", f"{prefix.upper()}_STATE", pointers, pointer_bytes),
        _memory(whole, rows, known),
        _reset(whole, rows, known),
        *(_step(prefix, s, own, known) for s, own in zip(signatures, states, strict=True) if own),
        f"#endif /* {guard} */\n",
    ]


def _common(states: Sequence[Sequence[State]]) -> list[State]:
    """The state of all entries, each array once."""
    found: dict[str, State] = {}
    for row in (row for own in states for row in own):
        old = found.setdefault(row.tensor.name, row)
        if str(old.tensor) != str(row.tensor):
            raise TargetError(
                f"export: state {row.tensor.name!r} is {old.tensor} in one entry and {row.tensor} "
                f"in another: give them different names"
            )
    return list(found.values())


def _struct(prefix: str, rows: Sequence[State], known: Mapping[str, str]) -> str:
    lines = [
        f"    {c_type(r.tensor.dtype)} *{known[r.tensor.name]}; "
        f"/* {comment(r.tensor.name)}: {r.tensor} */"
        for r in rows
    ]
    body = "\n".join(lines)
    return (
        f"/* What calls remember: arrays of the caller's, which each call of a step updates. */\n"
        f"typedef struct {prefix}_state {{\n{body}\n}} {prefix}_state;\n"
    )


def _memory(whole: Signature, rows: Sequence[State], known: Mapping[str, str]) -> str:
    p, arguments = whole.prefix, _arguments(whole)
    offset: Dim = 0
    lines = []
    for row in rows:
        place = f"(char *)memory + (size_t)({c_text(offset, whole.fields)})"
        name, type = known[row.tensor.name], c_type(row.tensor.dtype)
        lines.append(f"    state.{name} = ({type} *)(void *)({place});")
        offset = dims.add(offset, dims.align(row.tensor.nbytes, ALIGNMENT))
    unused = "".join(f"    (void){field};\n" for field in whole.fields.values())
    body = "\n".join(lines)
    return (
        f"/* Bytes of memory for the whole state. */\n"
        f"{formula_function(whole, f'{p}_state_bytes', 'size_t', offset)}"
        f"/* The state in memory of that size, aligned to {ALIGNMENT} bytes. */\n"
        f"static inline {p}_state {p}_state_place(void *memory{arguments})\n"
        f"{{\n    {p}_state state;\n{unused}{body}\n    return state;\n}}\n"
    )


def _reset(whole: Signature, rows: Sequence[State], known: Mapping[str, str]) -> str:
    p = whole.prefix
    lines, left = [], []
    for row in rows:
        if row.initial is None:
            left.append(row.tensor.name)
            continue
        count = c_text(row.tensor.nelems, whole.fields)
        value = _literal(row.initial, row.tensor.dtype)
        name = known[row.tensor.name]
        lines.append(f"    for (i = 0; i < {count}; i++)\n        state->{name}[i] = {value};")
    unused = "".join(f"    (void){field};\n" for field in whole.fields.values())
    note = f"; the caller sets {comment(', '.join(left))}" if left else ""
    body = "\n".join(lines)
    return (
        f"/* The first values of the state{note}. */\n"
        f"static inline void {p}_reset(const {p}_state *state{_arguments(whole)})\n"
        f"{{\n    int64_t i;\n    (void)i;\n    (void)state;\n{unused}{body}\n}}\n"
    )


def _step(prefix: str, signature: Signature, own: Sequence[State], known: Mapping[str, str]) -> str:
    p = signature.prefix
    sets = "\n".join(f"    all.{r.tensor.field} = state->{known[r.tensor.name]};" for r in own)
    return (
        f"/* {p}_run with the arrays of the state, which it updates: those fields of `inputs` are\n"
        f"   not read. */\n"
        f"static inline int32_t {p}_step(const {prefix}_state *state, const {p}_inputs *inputs,\n"
        f"    const {p}_outputs *outputs, void *workspace, const sg_context *context)\n"
        f"{{\n    {p}_inputs all = *inputs;\n{sets}\n"
        f"    return {p}_run(&all, outputs, workspace, context);\n}}\n"
    )


def _arguments(whole: Signature) -> str:
    return "".join(f", int64_t {field}" for field in whole.fields.values())


def _literal(value: float, dtype: DType) -> str:
    if not dtype.is_float:
        return str(int(value))
    if dtype.nbytes == 2:
        bits = np.asarray(value).astype(dtype.numpy).reshape(1).view(np.uint16)[0]
        return f"UINT16_C({int(bits)})"
    return repr(float(value)) + ("f" if dtype.nbytes == 4 else "")
