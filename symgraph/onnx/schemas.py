"""Which element types the operators of ONNX take and give, as ONNX's own schemas say it.

A value of a type that an operator does not take is converted to the next wider one that it does
take, and its result back: ONNX has no minimum of booleans, but it has one of bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..kernel.dtypes import ALL, DType, as_dtype

_SPELLING = {"float32": "float", "float64": "double"}
_TYPES = {f"tensor({_SPELLING.get(t.name, t.name)})": t for t in ALL}

_WIDER = {
    "float16": ("float32", "float64"),
    "bfloat16": ("float32", "float64"),
    "float32": ("float64",),
    "bool": ("uint8", "int8", "int32", "int64"),
    "int8": ("int16", "int32", "int64"),
    "int16": ("int32", "int64"),
    "int32": ("int64",),
    "uint8": ("uint16", "int16", "uint32", "int32", "uint64", "int64"),
    "uint16": ("uint32", "int32", "uint64", "int64"),
    "uint32": ("uint64", "int64"),
    "uint64": ("int64",),
}
"""Types that hold all numbers of one, nearest first.  int64 holds the bits of uint64 alone: sums,
differences and products are right in it, and ONNX compares uint64 itself."""


class NotTakenError(Exception):
    """An operator of ONNX takes neither an element type nor any wider one."""


@dataclass(frozen=True)
class Plan:
    """How to apply an operator to values of given types: what to convert the inputs to (None: as
    they are), the types of the outputs, and what to convert these to (None: as they are)."""

    inputs: tuple[DType | None, ...]
    outputs: tuple[DType | None, ...]
    restored: tuple[DType | None, ...]


@dataclass(frozen=True)
class _Rule:
    inputs: tuple[str, ...]
    is_variadic: bool
    outputs: tuple[str, ...]
    allowed: dict[str, tuple[DType, ...]]


class Schemas:
    """The schemas of one operator set."""

    def __init__(self, onnx: Any, opset: int) -> None:
        self._onnx = onnx
        self._opset = opset
        self._rule = lru_cache(maxsize=None)(self._read)

    def _read(self, kind: str) -> _Rule:
        schema = self._onnx.defs.get_schema(kind, self._opset, "")
        variadic = self._onnx.defs.OpSchema.FormalParameterOption.Variadic
        allowed = {
            c.type_param_str: tuple(_TYPES[t] for t in c.allowed_type_strs if t in _TYPES)
            for c in schema.type_constraints
        }
        last = schema.inputs[-1]
        is_variadic = last.option == variadic
        names = [i.type_str for i in schema.inputs]
        if is_variadic and not last.is_homogeneous:
            names.pop()  # each of its own type
        return _Rule(
            tuple(names),
            is_variadic,
            tuple(o.type_str for o in schema.outputs),
            allowed,
        )

    def plan(self, kind: str, given: Sequence[DType | None], count: int) -> Plan:
        """For inputs of these types, None for one that is left out, and `count` outputs.

        Raises: NotTakenError.
        """
        rule = self._rule(kind)
        names: list[str | None] = list(rule.inputs)
        if rule.is_variadic:
            names += [rule.inputs[-1] if rule.inputs else None] * (len(given) - len(names))
        bound: dict[str, tuple[DType, DType]] = {}
        for name, dtype in zip(names, given, strict=False):
            if dtype is not None and name is not None and name not in bound:
                bound[name] = (dtype, _nearest(kind, dtype, _types(rule, name)))
        inputs = tuple(
            None if dtype is None or name is None or bound[name][1] == dtype else bound[name][1]
            for name, dtype in zip(names, given, strict=False)
        )
        results = [rule.outputs[min(n, len(rule.outputs) - 1)] for n in range(count)]
        pairs = [_result(rule, name, bound) for name in results]
        return Plan(inputs, tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))


def _types(rule: _Rule, name: str) -> tuple[DType, ...]:
    return rule.allowed[name] if name in rule.allowed else (_TYPES[name],)


def _result(
    rule: _Rule, name: str, bound: dict[str, tuple[DType, DType]]
) -> tuple[DType | None, DType | None]:
    """The type of an output, None where the attributes tell, and what to convert it to."""
    if name in bound:
        wanted, used = bound[name]
        return used, (None if wanted == used else wanted)
    types = _types(rule, name)
    return (types[0] if len(types) == 1 else None), None


def _nearest(kind: str, dtype: DType, allowed: Sequence[DType]) -> DType:
    if dtype in allowed:
        return dtype
    if len(allowed) == 1 and allowed[0].is_integer and dtype.is_integer:
        return allowed[0]
    for wider in _WIDER.get(dtype.name, ()):
        if as_dtype(wider) in allowed:
            return as_dtype(wider)
    raise NotTakenError(f"{kind} of ONNX takes no {dtype}")
