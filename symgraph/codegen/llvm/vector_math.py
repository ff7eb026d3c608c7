"""The scalar functions of the loop IR as LLVM IR text, for any number of lanes.

Owns: the table of functions and the two ways to get their text. The formulas are in `math/`. No
function calls libm or any intrinsic that may become a library call; there are no loads or fast-math
flags, and a branch only around what sin, cos and tan of large arguments need, so for equal features
every target and every number of lanes gives equal bits.
(One exception: the vector unit of 32-bit ARM takes denormal float32 numbers for zero.)

Errors in units in the last place: the bound that the tests assert, then the largest error seen
with and without FMA over every exponent, special values and two million random points.

    function    float32  FMA   none    float64  FMA   none
    exp          1.00   0.91   0.97     1.00   0.96   0.95
    exp2         1.25   0.83   1.03     1.25   0.84   1.03
    expm1        1.50   1.39   1.39     2.00   1.84   1.87
    sinh         2.50   2.11   2.03     2.50   2.24   2.26
    cosh         1.50   1.44   1.40     1.50   1.43   1.43
    tanh         2.50   2.39   2.23     2.50   2.46   2.44
    sigmoid      2.50   2.35   2.29     2.50   2.22   2.29
    gated_tanh   5.00   4.62   4.57     5.00   4.35   4.40
    log          1.00   0.84   0.84     1.00   0.83   0.83
    log2         1.00   0.81   0.81     1.00   0.81   0.86
    log1p        1.50   1.38   1.38     1.50   1.33   1.25
    erf          1.50   1.05   1.37     1.50   1.06   1.21
    sin, cos     1.00   0.78   0.80     1.00   0.78   0.78
    tan          2.50   2.24   2.37     2.50   2.12   2.11
    asin         1.25   1.13   1.13     1.25   1.15   1.14
    acos         1.00   0.78   0.78     1.00   0.77   0.77
    atan, atan2  2.00   1.89   1.86     2.00   1.73   1.73
    pow          0.55   0.51   0.51     1.50   1.14   1.14
    rsqrt        1.50   1.49   1.49     1.50   1.50   1.50
    the others   exact or rounded once; `fma` rounds twice without an FMA

gated_tanh(x, y) is sigmoid(x) * tanh(y); worked out one by one that has nearly the same bound.
sin, cos and tan hold for every finite argument, or for |x| <= 2**25 in their short form
(`full_range_trigonometry=False`). minimum and maximum give NaN if either argument is NaN. The
second argument of ldexp is an integer vector as wide as the floats.

Where the text goes into a function of one's own, that function should be `nounwind`: otherwise
32-bit ARM objects refer to an unwinder.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from symgraph.codegen.llvm.math import (
    error_function,
    exponential,
    inverse,
    logarithm,
    power,
    rounding,
    trigonometric,
)
from symgraph.codegen.llvm.math.code import (
    FORMATS,
    Builder,
    Code,
    Collector,
    Kind,
    MathFeatures,
    Value,
)

__all__ = [
    "FUNCTIONS",
    "Builder",
    "MathFeatures",
    "MathFunction",
    "emit_call",
    "features_of",
    "function_name",
    "function_text",
]


@dataclass(frozen=True, slots=True)
class MathFunction:
    """How to build one function, the kinds of its arguments, and its stated bounds in ulp.

    A bound of 0.5 means correctly rounded (or exact).
    """

    build: Callable[..., Value]
    arguments: tuple[Kind, ...]
    ulp32: float
    ulp64: float


def _unary(build: Callable[[Value], Value], ulp32: float, ulp64: float) -> MathFunction:
    return MathFunction(build, ("float",), ulp32, ulp64)


def _binary(build: Callable[[Value, Value], Value], ulp32: float, ulp64: float) -> MathFunction:
    return MathFunction(build, ("float", "float"), ulp32, ulp64)


FUNCTIONS: dict[str, MathFunction] = {
    "exp": _unary(exponential.exp, 1.0, 1.0),
    "exp2": _unary(exponential.exp2, 1.0, 1.25),
    "expm1": _unary(exponential.expm1, 1.5, 2.0),
    "sinh": _unary(exponential.sinh, 2.5, 2.5),
    "cosh": _unary(exponential.cosh, 1.5, 1.5),
    "tanh": _unary(exponential.tanh, 2.5, 2.5),
    "sigmoid": _unary(exponential.sigmoid, 2.5, 2.5),
    "gated_tanh": _binary(exponential.gated_tanh, 5.0, 5.0),
    "log": _unary(logarithm.log, 1.0, 1.0),
    "log2": _unary(logarithm.log2, 1.0, 1.0),
    "log1p": _unary(logarithm.log1p, 1.5, 1.5),
    "erf": _unary(error_function.erf, 1.5, 1.5),
    "sin": _unary(trigonometric.sin, 1.0, 1.0),
    "cos": _unary(trigonometric.cos, 1.0, 1.0),
    "tan": _unary(trigonometric.tan, 2.5, 2.5),
    "asin": _unary(inverse.asin, 1.25, 1.25),
    "acos": _unary(inverse.acos, 1.0, 1.0),
    "atan": _unary(inverse.atan, 2.0, 2.0),
    "atan2": _binary(inverse.atan2, 2.0, 2.0),
    "pow": _binary(power.pow, 0.55, 1.5),
    "sqrt": _unary(rounding.sqrt, 0.5, 0.5),
    "rsqrt": _unary(rounding.rsqrt, 1.5, 1.5),
    "floor": _unary(rounding.floor, 0.5, 0.5),
    "ceil": _unary(rounding.ceil, 0.5, 0.5),
    "trunc": _unary(rounding.trunc, 0.5, 0.5),
    "rint": _unary(rounding.rint, 0.5, 0.5),
    "minimum": _binary(rounding.minimum, 0.5, 0.5),
    "maximum": _binary(rounding.maximum, 0.5, 0.5),
    "fmod": _binary(rounding.fmod, 0.5, 0.5),
    "fma": MathFunction(rounding.fused_multiply_add, ("float", "float", "float"), 0.5, 0.5),
    "ldexp": MathFunction(rounding.ldexp, ("float", "int"), 0.5, 0.5),
}


def emit_call(
    builder: Builder,
    name: str,
    arguments: Sequence[str],
    dtype: str,
    lanes: int,
    features: MathFeatures,
) -> str:
    """Appends the instructions of `name(arguments)` to the builder; returns the result's name."""
    code = Code(builder, FORMATS[dtype], lanes, features)
    function = FUNCTIONS[name]
    values = [
        code.argument(text, kind) for text, kind in zip(arguments, function.arguments, strict=True)
    ]
    return function.build(*values).text


def function_name(name: str, dtype: str, lanes: int) -> str:
    """The symbol that `function_text` defines, without the `@`."""
    return f"sg_{name}_{dtype}_{lanes}"


def function_text(name: str, dtype: str, lanes: int, features: MathFeatures) -> str:
    """The `declare` lines and one `define internal` that wraps `emit_call`."""
    collector = Collector()
    code = Code(collector, FORMATS[dtype], lanes, features)
    kinds = FUNCTIONS[name].arguments
    names = [f"%a{k}" for k in range(len(kinds))]
    result = emit_call(collector, name, names, dtype, lanes, features)
    parameters = ", ".join(
        f"{code.type_of(kind)} {text}" for kind, text in zip(kinds, names, strict=True)
    )
    head = f"define internal {code.type_of('float')} @{function_name(name, dtype, lanes)}"
    lines = [*collector.declarations, *collector.helpers.values()]
    lines += [f"{head}({parameters}) nounwind willreturn {{", "entry:"]
    lines += [f"  {line}" for line in collector.lines]
    lines += [f"  ret {code.type_of('float')} {result}", "}"]
    return "\n".join(lines) + "\n"


def features_of(architecture: str, features: Collection[str]) -> MathFeatures:
    """The facts of a target, from the first part of its triple and its LLVM feature names."""
    names = {name.lstrip("+") for name in features if not name.startswith("-")}
    match architecture:
        case "x86_64" | "i386" | "i586" | "i686":
            # vscalef needs DQ to convert 64-bit exponents and VL for fewer than 512 bits.
            has_scale = {"avx512f", "avx512dq", "avx512vl"} <= names
            return MathFeatures("fma" in names, "sse4.1" in names or "avx" in names, has_scale)
        case "aarch64" | "arm64":
            return MathFeatures(fma=True, native_round=True)
        case "riscv32" | "riscv64":
            return MathFeatures(fma={"f", "d"} <= names)
        case _:
            return MathFeatures()
