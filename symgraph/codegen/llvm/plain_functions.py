"""Native code for plain functions (`kernel.plain`): their own text, read as LLVM IR.

Owns the engine: signatures, the call through one block of arguments, and the compiled object, which
is kept like any other. What the statements mean is in `plain_statements`. LLVM's optimiser is
allowed everything but to change a float, so the results are those of Python, bit by bit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ...errors import InternalError
from ...kernel.plain import DTYPES, PlainFunction, flattened
from .machine import machine
from .objects import LoadedObject, compile_object, load
from .plain_statements import Parameter, declared, function_text, result_kind

_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
_SYMBOL = "symgraph_plain"


@cache
def native(
    entry: PlainFunction, helpers: tuple[PlainFunction, ...], folder: str | None
) -> Callable[..., int]:
    """Machine code for this processor; `folder` keeps the object, if given.

    Raises: InternalError where the text is not that of plain functions.
    """
    body = compile_object(module_text(entry, helpers), machine(None), folder, optimised=True)
    loaded = load(body, [_SYMBOL])
    return _NativeFunction(declared(entry), loaded, _ENTRY(loaded.addresses[0]))


@dataclass(frozen=True, eq=False)
class _NativeFunction:
    """Machine code behind the signature of the function it was made from."""

    parameters: tuple[Parameter, ...]
    loaded: LoadedObject
    run: Callable[[int], int]

    def __call__(self, *arguments: Any) -> int:
        flat = flattened(arguments)
        if len(flat) != len(self.parameters):
            raise InternalError(f"{len(flat)} arguments for {len(self.parameters)} parameters")
        block = (ctypes.c_int64 * len(flat))()
        for place, (parameter, value) in enumerate(zip(self.parameters, flat, strict=True)):
            block[place] = _argument(parameter, value)
        return int(self.run(ctypes.addressof(block)))


def _argument(parameter: Parameter, value: Any) -> int:
    """Eight bytes: an integer, the bits of a float, or the address of an array."""
    if parameter.kind == "double":
        return int(np.float64(value).view(np.int64))
    if not parameter.array:
        return int(value)
    wanted = DTYPES[parameter.array]
    if value.dtype != wanted or not value.flags.c_contiguous:
        raise InternalError(f"{parameter.name}: a contiguous array of {np.dtype(wanted)} is needed")
    return int(value.ctypes.data)


def module_text(entry: PlainFunction, helpers: Sequence[PlainFunction]) -> str:
    """The module: every function, and an entry that unpacks a block of arguments."""
    functions = {f.__name__: f for f in (*helpers, entry)}
    parts = [function_text(f, functions) for f in functions.values()]
    parts.append(_entry_text(entry))
    parts.append("declare double @llvm.sqrt.f64(double)\n")
    return "\n".join(parts)


def _entry_text(entry: PlainFunction) -> str:
    lines, passed = [f'define i64 @{_SYMBOL}(ptr %block) nounwind "no-builtins" {{'], []
    for place, parameter in enumerate(declared(entry)):
        lines.append(f"  %a{place} = getelementptr i64, ptr %block, i64 {place}")
        lines.append(f"  %v{place} = load {parameter.kind}, ptr %a{place}")
        passed.append(f"{parameter.kind} %v{place}")
    kind = result_kind(entry)
    lines.append(f"  %result = call {kind} @{entry.__name__}({', '.join(passed)})")
    if kind == "i1":
        lines.append("  %wide = zext i1 %result to i64")
    return "\n".join([*lines, f"  ret i64 %{'wide' if kind == 'i1' else 'result'}", "}", ""])
