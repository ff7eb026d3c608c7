"""A program as one OpenCL C source: a pure function, the same text for the same program."""

from __future__ import annotations

import re

from ...ir.program import Program
from ...kernel.dtypes import float64
from ...kernel.ir import Alloc, Kernel, Load
from ...kernel.rewrite import expressions, statements, walk
from .helpers import INDEX, helper_text
from .launches import LaunchPlan, plan_launches
from .statements import LaunchText

PREAMBLE = """\
#pragma OPENCL FP_CONTRACT OFF
{extensions}
// The loader defines INDEX as int when every buffer has fewer than 2^30 elements.
#ifndef INDEX
#define INDEX long
#endif
typedef INDEX index_t;

// Defined by the loader where the device multiplies and adds in one rounding.
#ifdef FUSED_MULTIPLY_ADD
#define MULTIPLY_ADD(a, b, c) fma(a, b, c)
#else
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#endif

// Element `index` of this work-item's own scratch: neighbours side by side on a GPU.
#ifdef INTERLEAVED
#define SLICE(index, size) ((index) * slots + slot)
#else
#define SLICE(index, size) (slot * (size) + (index))
#endif

"""


def emit(program: Program) -> str:
    """The source of every kernel of a program, each kernel once."""
    used: set[tuple[str, str]] = set()
    bodies = [
        LaunchText(launch, used).text()
        for plan in launch_plans(program).values()
        for launch in plan.launches
    ]
    doubles = any(uses_double(kernel) for kernel in program.kernels)
    extensions = "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n" if doubles else ""
    head = f"// symgraph program {program.name}\n" + PREAMBLE.replace("{extensions}", extensions)
    return "\n".join([head + INDEX + helper_text(used), *bodies])


def launch_plans(program: Program) -> dict[Kernel, LaunchPlan]:
    """The launches of each kernel, under names that are unique in the program."""
    return {
        kernel: plan_launches(kernel, f"k{number}_{_identifier(kernel.name)}")
        for number, kernel in enumerate(dict.fromkeys(program.kernels))
    }


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def uses_double(kernel: Kernel) -> bool:
    """A value or buffer of the kernel is float64."""
    return first_double(kernel) is not None


def first_double(kernel: Kernel) -> str | None:
    """The name of the first tensor of float64, or of the kernel when only a value is."""
    for buffer in kernel.params:
        if buffer.dtype == float64:
            return buffer.name
    for stmt in statements(kernel.body):
        if isinstance(stmt, Alloc) and stmt.buffer.dtype == float64:
            return stmt.buffer.name
    for top in expressions(kernel.body):
        for e in walk(top):
            if e.dtype == float64:
                return e.tensor.name if isinstance(e, Load) else kernel.name
    return None
