"""Functions that LLVM calls where a processor lacks an instruction, as LLVM IR text.

64-bit division and conversions on 32-bit processors: compilers usually take these from their own
library, objects that are shipped bring them along.  Each is internal, so that nothing clashes.
"""

from __future__ import annotations

from collections.abc import Iterable

# Division by shifting and subtracting, one bit a round from the highest one that matters; division
# by zero gives all ones and does not trap.
_DIVIDE = """
define internal {i64, i64} @sg_udivmod64(i64 %n, i64 %d) nounwind noinline {
entry:
  %zero = icmp eq i64 %n, 0
  br i1 %zero, label %done, label %start
start:
  %skip = call i64 @llvm.ctlz.i64(i64 %n, i1 true)
  %aligned = shl i64 %n, %skip
  %rounds = sub i64 64, %skip
  br label %round
round:
  %left = phi i64 [%rounds, %start], [%left.next, %round]
  %bits = phi i64 [%aligned, %start], [%bits.next, %round]
  %rest = phi i64 [0, %start], [%rest.next, %round]
  %quotient = phi i64 [0, %start], [%quotient.next, %round]
  %top = lshr i64 %bits, 63
  %bits.next = shl i64 %bits, 1
  %carried = icmp slt i64 %rest, 0
  %rest.shifted = shl i64 %rest, 1
  %rest.new = or i64 %rest.shifted, %top
  %enough = icmp uge i64 %rest.new, %d
  %fits = or i1 %carried, %enough
  %taken = select i1 %fits, i64 %d, i64 0
  %rest.next = sub i64 %rest.new, %taken
  %one = zext i1 %fits to i64
  %quotient.shifted = shl i64 %quotient, 1
  %quotient.next = or i64 %quotient.shifted, %one
  %left.next = sub i64 %left, 1
  %more = icmp ne i64 %left.next, 0
  br i1 %more, label %round, label %done
done:
  %q = phi i64 [0, %entry], [%quotient.next, %round]
  %r = phi i64 [0, %entry], [%rest.next, %round]
  %pair = insertvalue {i64, i64} poison, i64 %q, 0
  %both = insertvalue {i64, i64} %pair, i64 %r, 1
  ret {i64, i64} %both
}

define internal {i64, i64} @sg_divmod64(i64 %n, i64 %d) nounwind noinline {
  %n.sign = ashr i64 %n, 63
  %d.sign = ashr i64 %d, 63
  %n.flip = xor i64 %n, %n.sign
  %d.flip = xor i64 %d, %d.sign
  %n.size = sub i64 %n.flip, %n.sign
  %d.size = sub i64 %d.flip, %d.sign
  %both = call {i64, i64} @sg_udivmod64(i64 %n.size, i64 %d.size)
  %q = extractvalue {i64, i64} %both, 0
  %r = extractvalue {i64, i64} %both, 1
  %q.sign = xor i64 %n.sign, %d.sign
  %q.flip = xor i64 %q, %q.sign
  %q.signed = sub i64 %q.flip, %q.sign
  %r.flip = xor i64 %r, %n.sign
  %r.signed = sub i64 %r.flip, %n.sign
  %pair = insertvalue {i64, i64} poison, i64 %q.signed, 0
  %result = insertvalue {i64, i64} %pair, i64 %r.signed, 1
  ret {i64, i64} %result
}

declare i64 @llvm.ctlz.i64(i64, i1)
"""

# Integer to float: the highest bits, the last one also set when any lower bit is (so that rounding
# to nearest even happens once), converted from 32 bits and scaled by powers of two.
_TO_FLOAT = """
define internal float @sg_u64_to_f32(i64 %n) nounwind noinline {
  %zero = icmp eq i64 %n, 0
  %some = select i1 %zero, i64 1, i64 %n
  %skip = call i64 @llvm.ctlz.i64(i64 %some, i1 true)
  %aligned = shl i64 %n, %skip
  %high64 = lshr i64 %aligned, 32
  %high = trunc i64 %high64 to i32
  %low = trunc i64 %aligned to i32
  %any = icmp ne i32 %low, 0
  %sticky = zext i1 %any to i32
  %mantissa = or i32 %high, %sticky
  %float = uitofp i32 %mantissa to float
  %bits = bitcast float %float to i32
  %skip32 = trunc i64 %skip to i32
  %exponent = sub i32 32, %skip32
  %scale = shl i32 %exponent, 23
  %scaled = add i32 %bits, %scale
  %chosen = select i1 %zero, i32 0, i32 %scaled
  %result = bitcast i32 %chosen to float
  ret float %result
}

define internal float @sg_i64_to_f32(i64 %n) nounwind noinline {
  %sign = ashr i64 %n, 63
  %flip = xor i64 %n, %sign
  %size = sub i64 %flip, %sign
  %float = call float @sg_u64_to_f32(i64 %size)
  %minus = fneg float %float
  %negative = icmp slt i64 %n, 0
  %result = select i1 %negative, float %minus, float %float
  ret float %result
}
"""

_TO_DOUBLE = """
define internal double @sg_u64_to_f64(i64 %n) nounwind noinline {
  %high64 = lshr i64 %n, 32
  %high = trunc i64 %high64 to i32
  %low = trunc i64 %n to i32
  %h = uitofp i32 %high to double
  %l = uitofp i32 %low to double
  %scaled = fmul double %h, 4294967296.0
  %result = fadd double %scaled, %l
  ret double %result
}

define internal double @sg_i64_to_f64(i64 %n) nounwind noinline {
  %high64 = ashr i64 %n, 32
  %high = trunc i64 %high64 to i32
  %low = trunc i64 %n to i32
  %h = sitofp i32 %high to double
  %l = uitofp i32 %low to double
  %scaled = fmul double %h, 4294967296.0
  %result = fadd double %scaled, %l
  ret double %result
}
"""

# Float to integer, from the bits; beyond the range the nearest bound, NaN gives 0.
_FROM_FLOAT = """
define internal i64 @sg_{f}_to_u64({type} %x) nounwind noinline {{
  %bits = bitcast {type} %x to {int}
  %shifted = lshr {int} %bits, {mantissa}
  %exponent = and {int} %shifted, {mask}
  %fraction = and {int} %bits, {fraction}
  %whole = or {int} %fraction, {implicit}
  %m = {extend}
  %e = {narrow}
  %power = sub i64 %e, {bias}
  %up = sub i64 %power, {mantissa}
  %down = sub i64 {mantissa}, %power
  %is_up = icmp sge i64 %up, 0
  %up.safe = and i64 %up, 63
  %down.safe = and i64 %down, 63
  %left = shl i64 %m, %up.safe
  %right = lshr i64 %m, %down.safe
  %value = select i1 %is_up, i64 %left, i64 %right
  %positive = fcmp oge {type} %x, 1.0
  %kept = select i1 %positive, i64 %value, i64 0
  %large = fcmp oge {type} %x, {limit}
  %result = select i1 %large, i64 -1, i64 %kept
  ret i64 %result
}}

define internal i64 @sg_{f}_to_i64({type} %x) nounwind noinline {{
  %minus = fneg {type} %x
  %negative = fcmp olt {type} %x, 0.0
  %size = select i1 %negative, {type} %minus, {type} %x
  %u = call i64 @sg_{f}_to_u64({type} %size)
  %large = icmp slt i64 %u, 0
  %limited = select i1 %large, i64 9223372036854775807, i64 %u
  %below = sub i64 0, %limited
  %deep = select i1 %large, i64 -9223372036854775808, i64 %below
  %result = select i1 %negative, i64 %deep, i64 %limited
  ret i64 %result
}}
"""
_FROM_F32 = _FROM_FLOAT.format(
    f="f32", type="float", int="i32", mantissa=23, mask=255, fraction=2**23 - 1, implicit=2**23,
    bias=127, limit="0x43F0000000000000", extend="zext i32 %whole to i64",
    narrow="zext i32 %exponent to i64",
)  # fmt: skip
_FROM_F64 = _FROM_FLOAT.format(
    f="f64", type="double", int="i64", mantissa=52, mask=2047, fraction=2**52 - 1, implicit=2**52,
    bias=1023, limit="0x43F0000000000000", extend="or i64 %whole, 0", narrow="or i64 %exponent, 0",
)  # fmt: skip

_PARTS = {
    "divide": _DIVIDE,
    "to_float": _TO_FLOAT,
    "to_double": _TO_DOUBLE,
    "from_f32": _FROM_F32,
    "from_f64": _FROM_F64,
}


def _part_of_pair(name: str, function: str, index: int) -> str:
    return f"""
define internal i64 @{name}(i64 %n, i64 %d) nounwind noinline {{
  %both = call {{i64, i64}} @{function}(i64 %n, i64 %d)
  %part = extractvalue {{i64, i64}} %both, {index}
  ret i64 %part
}}
"""


def _pair(name: str, function: str) -> str:
    """The ARM interface: quotient in r0 and r1, remainder in r2 and r3, as a struct returns."""
    return f"""
define internal {{i64, i64}} @{name}(i64 %n, i64 %d) nounwind noinline {{
  %both = call {{i64, i64}} @{function}(i64 %n, i64 %d)
  ret {{i64, i64}} %both
}}
"""


def _convert(name: str, result: str, function: str, argument: str) -> str:
    return f"""
define internal {result} @{name}({argument} %x) nounwind noinline {{
  %y = call {result} @{function}({argument} %x)
  ret {result} %y
}}
"""


_CONVERSIONS = {
    ("__aeabi_ul2f", "__floatundisf"): ("to_float", "float", "sg_u64_to_f32", "i64"),
    ("__aeabi_l2f", "__floatdisf"): ("to_float", "float", "sg_i64_to_f32", "i64"),
    ("__aeabi_ul2d", "__floatundidf"): ("to_double", "double", "sg_u64_to_f64", "i64"),
    ("__aeabi_l2d", "__floatdidf"): ("to_double", "double", "sg_i64_to_f64", "i64"),
    ("__aeabi_f2ulz", "__fixunssfdi"): ("from_f32", "i64", "sg_f32_to_u64", "float"),
    ("__aeabi_f2lz", "__fixsfdi"): ("from_f32", "i64", "sg_f32_to_i64", "float"),
    ("__aeabi_d2ulz", "__fixunsdfdi"): ("from_f64", "i64", "sg_f64_to_u64", "double"),
    ("__aeabi_d2lz", "__fixdfdi"): ("from_f64", "i64", "sg_f64_to_i64", "double"),
}

FUNCTIONS: dict[str, tuple[str, str]] = {
    "__udivdi3": ("divide", _part_of_pair("__udivdi3", "sg_udivmod64", 0)),
    "__umoddi3": ("divide", _part_of_pair("__umoddi3", "sg_udivmod64", 1)),
    "__divdi3": ("divide", _part_of_pair("__divdi3", "sg_divmod64", 0)),
    "__moddi3": ("divide", _part_of_pair("__moddi3", "sg_divmod64", 1)),
    "__aeabi_uldivmod": ("divide", _pair("__aeabi_uldivmod", "sg_udivmod64")),
    "__aeabi_ldivmod": ("divide", _pair("__aeabi_ldivmod", "sg_divmod64")),
    **{
        name: (part, _convert(name, result, function, argument))
        for names, (part, result, function, argument) in _CONVERSIONS.items()
        for name in names
    },
}
"""The part each function is built on, and its text."""


def support_text(names: Iterable[str]) -> str:
    """The definitions of these functions and of what they use; all of them kept."""
    wanted = sorted(set(names))
    parts = dict.fromkeys(FUNCTIONS[name][0] for name in wanted)
    text = [_PARTS[part] for part in parts]
    if "to_float" in parts and "divide" not in parts:
        text.append("declare i64 @llvm.ctlz.i64(i64, i1)\n")
    text += [FUNCTIONS[name][1] for name in wanted]
    return "".join(text)
