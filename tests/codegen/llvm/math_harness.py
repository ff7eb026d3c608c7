"""Compiles vector math text, without any IR pass, and runs it over numpy arrays.

Owns: nothing but plumbing for the tests of the vector math.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import llvmlite.binding as llvm
import numpy as np

from symgraph.codegen.llvm.objects import make_engine
from symgraph.codegen.llvm.vector_math import (
    FUNCTIONS,
    MathFeatures,
    features_of,
    function_name,
    function_text,
)

LLVM_TYPES = {"float32": "float", "float64": "double"}
BITS = {"float32": 32, "float64": 64}


@dataclass(frozen=True)
class Machine:
    """A target to generate code for."""

    name: str
    triple: str
    cpu: str
    attributes: str

    @property
    def features(self) -> MathFeatures:
        return features_of(self.triple.split("-")[0], self.attributes.split(","))

    def target_machine(self) -> llvm.TargetMachine:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        return llvm.Target.from_triple(self.triple).create_target_machine(
            cpu=self.cpu, features=self.attributes, opt=2, reloc="pic", codemodel="small"
        )


def host() -> Machine:
    llvm.initialize_all_targets()
    flags = llvm.get_host_cpu_features()
    names = ",".join("+" + name for name, is_on in sorted(flags.items()) if is_on)
    return Machine("host", llvm.get_process_triple(), llvm.get_host_cpu_name(), names)


BASELINE = Machine("baseline", "x86_64-unknown-linux-gnu", "x86-64", "+sse2")
AVX2 = Machine("avx2", "x86_64-unknown-linux-gnu", "x86-64-v3", "+avx2,+fma,+sse4.1")


def loop_text(name: str, dtype: str, lanes: int, features: MathFeatures) -> str:
    """The function and `run`, which maps it over whole arrays of a multiple of `lanes`."""
    scalars = {"float": LLVM_TYPES[dtype], "int": f"i{BITS[dtype]}"}
    kinds = FUNCTIONS[name].arguments
    types = [scalars[k] if lanes == 1 else f"<{lanes} x {scalars[k]}>" for k in kinds]
    result = scalars["float"] if lanes == 1 else f"<{lanes} x {scalars['float']}>"
    lines = [
        f"define void @run(ptr %out, {', '.join(f'ptr %in{k}' for k in range(len(kinds)))}, "
        "i64 %count) nounwind {",
        "entry:",
        "  %none = icmp eq i64 %count, 0",
        "  br i1 %none, label %done, label %body",
        "body:",
        "  %i = phi i64 [0, %entry], [%next, %body]",
    ]
    for k, (kind, type_) in enumerate(zip(kinds, types, strict=True)):
        lines.append(f"  %p{k} = getelementptr {scalars[kind]}, ptr %in{k}, i64 %i")
        lines.append(f"  %x{k} = load {type_}, ptr %p{k}, align {BITS[dtype] // 8}")
    passed = ", ".join(f"{type_} %x{k}" for k, type_ in enumerate(types))
    lines += [
        f"  %y = call {result} @{function_name(name, dtype, lanes)}({passed})",
        f"  %q = getelementptr {scalars['float']}, ptr %out, i64 %i",
        f"  store {result} %y, ptr %q, align {BITS[dtype] // 8}",
        f"  %next = add i64 %i, {lanes}",
        "  %more = icmp ult i64 %next, %count",
        "  br i1 %more, label %body, label %done",
        "done:",
        "  ret void",
        "}",
    ]
    return function_text(name, dtype, lanes, features) + "\n".join(lines) + "\n"


def parse(text: str, machine: Machine) -> llvm.ModuleRef:
    module = llvm.parse_assembly(f'target triple = "{machine.triple}"\n' + text)
    module.verify()
    return module


class Runner:
    """One function compiled for this computer, callable on arrays of any length."""

    def __init__(
        self, name: str, dtype: str, lanes: int, machine: Machine, features: MathFeatures | None
    ) -> None:
        chosen = machine.features if features is None else features
        self._lanes, self._dtype = lanes, dtype
        self._engine = make_engine(
            parse(loop_text(name, dtype, lanes, chosen), machine), machine.target_machine()
        )
        self._engine.finalize_object()
        count = len(FUNCTIONS[name].arguments)
        prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (count + 1), ctypes.c_int64)
        self._call = prototype(self._engine.get_function_address("run"))

    def __call__(self, *arrays: Sequence[float] | np.ndarray) -> np.ndarray:
        given = [np.asarray(array) for array in arrays]
        size = given[0].size
        padded = -(-size // self._lanes) * self._lanes
        inputs = [np.resize(array, padded) for array in given]
        out = np.empty(padded, self._dtype)
        self._call(out.ctypes.data, *(array.ctypes.data for array in inputs), padded)
        return out[:size]
