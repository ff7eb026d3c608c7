"""`NAME_selftest`: a seeded case run where the object runs, with a checksum after each operator.

    int32_t NAME_selftest(void *workspace, const sg_context *context)
    const char *NAME_selftest_name(int32_t code)

Returns 0, or the number of the first operator whose sum of absolute values is wrong, or
    -1 for a workspace that is missing, not aligned or too small
    -2 for weights that are missing, not aligned, or in a file that is not the one of the export
    -3 for a processor below the one that the object was compiled for
Inputs, outputs, checksums and the program's
own workspace lie in the caller's workspace, one after the other.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ...kernel.dtypes import DType
from . import abi
from .texts import string_table
from .types import round_bfloat16

MULTIPLIER, STEP, MIX = 2654435761, 40503, 0x2C1B3C6D
TOLERANCE = 1e-3
"""Relative: sums of other processors differ in rounding; a wrong operator differs in kind."""


@dataclass(frozen=True, slots=True)
class TestArray:
    """An input to be filled: where it lies, how many elements it has."""

    offset: int
    nelems: int
    dtype: DType


@dataclass(frozen=True, slots=True)
class Selftest:
    """`outputs` are the offsets of the program's outputs, the checksums last; `expected` are
    those, in the order of the operators `names`."""

    symbol: str
    inputs: tuple[TestArray, ...]
    extents: tuple[int, ...]
    outputs: tuple[int, ...]
    checksums: int
    expected: tuple[float, ...]
    names: tuple[str, ...]
    workspace: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class TestWeights:
    """Where the test finds the weights: `address` of those in the object ("null" for none), or
    those of the context, which begin `skip` bytes behind context.constants, aligned to
    `alignment`.

    `words` are what must stand in a weights file, by their offsets from its start: the test's
    numbers are right for the weights of the export alone.
    """

    address: str = ""
    skip: int = 0
    alignment: int = 1
    words: tuple[tuple[int, int], ...] = ()


def words_at(start: int, data: bytes) -> tuple[tuple[int, int], ...]:
    """Bytes as little-endian words with their offsets."""
    parts = range(0, len(data), 8)
    return tuple((start + n, int.from_bytes(data[n : n + 8], "little", signed=True)) for n in parts)


def test_bits(index: int, array: int) -> int:
    """Eight pseudo-random bits for an element of an array; the object computes the same."""
    h = (index * MULTIPLIER + array * STEP + 12345) & 0xFFFFFFFF
    h = (h ^ (h >> 15)) * MIX & 0xFFFFFFFF
    return (h ^ (h >> 12)) >> 24


def test_value(bits: int, dtype: DType) -> float | int:
    """The element: -1 to 1 in steps that every float type has, or 0 and 1."""
    return bits / 128 - 1 if dtype.is_float else bits >> 7


def selftest_text(prefix: str, test: Selftest, weights: TestWeights, processor: int = 0) -> str:
    """The functions' text; `processor` is the level of x86-64 that the test needs."""
    kinds = dict.fromkeys(array.dtype for array in test.inputs)
    fills = "".join(_fill_text(prefix, dtype) for dtype in kinds)
    return fills + _names_text(prefix, test) + _run_text(prefix, test, weights, processor)


def _fill_text(prefix: str, dtype: DType) -> str:
    table, value = "", ""
    if dtype.name in ("float16", "bfloat16"):
        numbers = ", ".join(f"i16 {_half(n, dtype)}" for n in range(256))
        table = f"@{prefix}_{dtype.name}_values = internal constant [256 x i16] [{numbers}]\n"
        value = (
            f"  %slot = getelementptr [256 x i16], ptr @{prefix}_{dtype.name}_values, i32 0, "
            f"i32 %bits\n  %value = load i16, ptr %slot\n"
        )
        type = "i16"
    elif dtype.is_float:
        type = "float" if dtype.nbytes == 4 else "double"
        value = (
            f"  %number = uitofp i32 %bits to {type}\n  %scaled = fmul {type} %number, 0.0078125\n"
            f"  %value = fsub {type} %scaled, 1.0\n"
        )
    else:
        type = f"i{dtype.nbytes * 8}"
        change = {1: "trunc", 2: "trunc", 4: "", 8: "zext"}[dtype.nbytes]
        value = "  %high = lshr i32 %bits, 7\n"
        value += f"  %value = {change} i32 %high to {type}\n" if change else (
            "  %value = or i32 %high, 0\n"
        )  # fmt: skip
    return (
        table
        + f"""
define internal void @{prefix}_fill_{dtype.name}(ptr %to, i64 %count, i32 %seed) nounwind {{
entry:
  %none = icmp eq i64 %count, 0
  br i1 %none, label %done, label %next
next:
  %i = phi i64 [0, %entry], [%i.next, %next]
  %i32 = trunc i64 %i to i32
  %scaled.i = mul i32 %i32, {MULTIPLIER}
  %seeded = add i32 %scaled.i, %seed
  %a = lshr i32 %seeded, 15
  %b = xor i32 %seeded, %a
  %c = mul i32 %b, {MIX}
  %d = lshr i32 %c, 12
  %e = xor i32 %c, %d
  %bits = lshr i32 %e, 24
{value}  %place = getelementptr {type}, ptr %to, i64 %i
  store {type} %value, ptr %place
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, %count
  br i1 %more, label %next, label %done
done:
  ret void
}}
"""
    )


def _half(bits: int, dtype: DType) -> int:
    value = bits / 128 - 1
    if dtype.name == "float16":
        return int.from_bytes(struct.pack("<e", value), "little")
    return int(struct.unpack("<I", struct.pack("<f", round_bfloat16(value)))[0]) >> 16


def _names_text(prefix: str, test: Selftest) -> str:
    names = ("no operator", *test.names)
    return f"""
{string_table(f"{prefix}_operator", names)}
define ptr @{prefix}_selftest_name(i32 %code) nounwind {{
  %known = icmp ult i32 %code, {len(names)}
  %row = select i1 %known, i32 %code, i32 0
  %name = call ptr @{prefix}_operator_text(i32 %row)
  ret ptr %name
}}
"""


def _store(lines: list[str], base: str, values: Sequence[tuple[str, str]]) -> None:
    for number, (type, value) in enumerate(values):
        lines.append(f"  {base}.{number} = getelementptr i8, ptr {base}, i32 {8 * number}")
        lines.append(f"  store {type} {value}, ptr {base}.{number}, align 8")


def _weights_text(weights: TestWeights) -> str:
    """The blocks from `weights` to `processor`: the weights are there, those of the export."""
    if weights.address:
        return "weights:\n  br label %processor\n"
    lines = [
        "weights:",
        "  %no.weights = icmp eq ptr %constants, null",
        "  %weights.at = ptrtoint ptr %constants to i64",
        f"  %weights.low = and i64 %weights.at, {weights.alignment - 1}",
        "  %weights.crooked = icmp ne i64 %weights.low, 0",
        "  %weights.bad = or i1 %no.weights, %weights.crooked",
        "  br i1 %weights.bad, label %other, label %word0",
        "other:",
        "  ret i32 -2",
    ]
    for number, (offset, word) in enumerate(weights.words):
        lines += [
            f"word{number}:",
            f"  %word{number}.p = getelementptr i8, ptr %constants, i32 {offset}",
            f"  %word{number}.v = load i64, ptr %word{number}.p, align 8",
            f"  %word{number}.same = icmp eq i64 %word{number}.v, {word}",
            f"  br i1 %word{number}.same, label %word{number + 1}, label %other",
        ]
    lines += [f"word{len(weights.words)}:", "  br label %processor"]
    return "\n".join(lines) + "\n"


def _processor_text(prefix: str, level: int) -> str:
    """The block `processor`: flags say what it can do, or it is asked."""
    if level < 2:
        return "processor:\n  br label %fill\n"
    return f"""\
processor:
  %flags.p = getelementptr i8, ptr %context, i32 4
  %flags = load i32, ptr %flags.p
  %told = icmp ne i32 %flags, 0
  br i1 %told, label %judge, label %ask
ask:
  %asked = call i32 @{prefix}_isa()
  br label %judge
judge:
  %level = phi i32 [%flags, %processor], [%asked, %ask]
  %able = icmp uge i32 %level, {level}
  br i1 %able, label %fill, label %unable
unable:
  ret i32 -3
"""


def _run_text(prefix: str, test: Selftest, weights: TestWeights, processor: int) -> str:
    expected = ", ".join(f"float {_float(v)}" for v in test.expected)
    count = len(test.expected)
    context = "{i32, i32, ptr, ptr, i64, ptr, i64}"
    head = f"""
@{prefix}_checksums = internal constant [{count} x float] [{expected}]

define i32 @{prefix}_selftest(ptr %workspace, ptr %context) nounwind {{
entry:
  %ins = alloca [{len(test.inputs) + len(test.extents) + 1} x i64], align 8
  %outs = alloca [{len(test.outputs) + 1} x i64], align 8
  %passed = alloca [7 x i64], align 8
  %no.context = icmp eq ptr %context, null
  %no.workspace = icmp eq ptr %workspace, null
  %none = or i1 %no.context, %no.workspace
  br i1 %none, label %refuse, label %size
size:
  %bytes.p = getelementptr {context}, ptr %context, i32 0, i32 6
  %bytes = load i64, ptr %bytes.p
  %constants.p = getelementptr {context}, ptr %context, i32 0, i32 5
  %constants = load ptr, ptr %constants.p
  %few = icmp ult i64 %bytes, {test.nbytes}
  %address = ptrtoint ptr %workspace to i64
  %low = and i64 %address, {abi.ALIGNMENT - 1}
  %crooked = icmp ne i64 %low, 0
  %bad = or i1 %few, %crooked
  br i1 %bad, label %refuse, label %weights
refuse:
  ret i32 -1
"""
    head += _weights_text(weights) + _processor_text(prefix, processor) + "fill:\n"
    lines = []
    start = weights.address
    if not start:
        start = "%weights.start"
        lines.append(f"  {start} = getelementptr i8, ptr %constants, i64 {weights.skip}")
    ins: list[tuple[str, str]] = []
    for number, array in enumerate(test.inputs):
        lines.append(f"  %x{number} = getelementptr i8, ptr %workspace, i64 {array.offset}")
        seed = number * STEP + 12345
        lines.append(
            f"  call void @{prefix}_fill_{array.dtype.name}(ptr %x{number}, i64 {array.nelems}, "
            f"i32 {seed})"
        )
        ins.append(("ptr", f"%x{number}"))
    outs: list[tuple[str, str]] = []
    for number, offset in enumerate(test.outputs):
        lines.append(f"  %y{number} = getelementptr i8, ptr %workspace, i64 {offset}")
        outs.append(("ptr", f"%y{number}"))
    _store(lines, "%ins", [*ins, *(("i64", str(e)) for e in test.extents)])
    _store(lines, "%outs", outs)
    _store(lines, "%passed", [("i64", str(abi.CONTEXT_BYTES)), ("ptr", "null"), ("ptr", "null"),
                              ("i64", "1"), ("ptr", start), ("ptr", "null")])  # fmt: skip
    tail = f"""
  %own = getelementptr i8, ptr %workspace, i64 {test.workspace}
  %sums = getelementptr i8, ptr %workspace, i64 {test.checksums}
  %code = call i32 @{test.symbol}(ptr %ins, ptr %outs, ptr %own, ptr %passed)
  br label %check
check:
  %i = phi i32 [0, %fill], [%i.next, %good]
  %got.p = getelementptr float, ptr %sums, i32 %i
  %got = load float, ptr %got.p
  %want.p = getelementptr [{count} x float], ptr @{prefix}_checksums, i32 0, i32 %i
  %want = load float, ptr %want.p
  %gap = fsub float %got, %want
  %gap.minus = fneg float %gap
  %is.minus = fcmp olt float %gap, 0.0
  %size.gap = select i1 %is.minus, float %gap.minus, float %gap
  %relative = fmul float %want, {_float(TOLERANCE)}
  %allowed = fadd float %relative, {_float(1e-6)}
  %right = fcmp ole float %size.gap, %allowed
  %i.next = add i32 %i, 1
  br i1 %right, label %good, label %wrong
wrong:
  ret i32 %i.next
good:
  %more = icmp ult i32 %i.next, {count}
  br i1 %more, label %check, label %done
done:
  ret i32 %code
}}
"""
    return head + "\n".join(lines) + tail


def _float(value: float) -> str:
    single = struct.unpack("<f", struct.pack("<f", value))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', single))[0]:016X}"
