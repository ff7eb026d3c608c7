"""The tiny language the vector math is written in: typed values that append LLVM IR text.

Owns: the builder protocol, the target facts (`MathFeatures`), and `Value` arithmetic over one
float type and one number of lanes. Knows no mathematical function. Every operation is one
instruction that any LLVM back end selects without a library call; no fast-math flags are ever set,
so the same text gives the same bits on every target with the same features. There is one kind of
branch, `rarely`, around what few lanes ever need: a lane's bits do not depend on its neighbours.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Kind: TypeAlias = Literal["float", "int", "bool"]
Number: TypeAlias = "int | float"


class Builder(Protocol):
    """What the vector math needs from whoever collects the text of a function."""

    def fresh(self) -> str:
        """A new SSA name, such as `%t12`."""

    def line(self, text: str) -> None:
        """Appends one instruction to the current block."""

    def declare(self, text: str) -> None:
        """Adds a module-level `declare` line, once."""

    def helper(self, name: str, text: str) -> None:
        """Adds a module-level definition, once by its name."""

    def rarely(
        self, condition: str, common: Sequence[tuple[str, str]], make: Callable[[], Sequence[str]]
    ) -> list[str]:
        """The values `common` (type and name of each), or where the i1 `condition` holds those that
        `make` appends to a block of its own."""


@dataclass(frozen=True, slots=True)
class MathFeatures:
    """What the target can do, and how constants may be spelled.

    fma               fused multiply-add is an instruction (llvm.fma is a library call where not)
    native_round      floor, ceil, trunc and round-half-even are instructions
    native_scale      x * 2**n is an instruction for vectors (AVX-512 vscalef)
    splat_constants   the parser knows `splat (float 1.0)` (LLVM 18 or newer)
    full_range_trigonometry   sin, cos and tan reduce arguments of any size exactly; without it
                      they are shorter and hold for |x| <= 2**25 only
    """

    fma: bool = False
    native_round: bool = False
    native_scale: bool = False
    splat_constants: bool = True
    full_range_trigonometry: bool = True


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """The numbers that describe one IEEE format."""

    dtype: str
    llvm: str
    suffix: str
    bits: int
    mantissa_bits: int
    bias: int

    @property
    def rounding_magic(self) -> float:
        """Adding it to a small x leaves round-half-even(x) in the low bits: 1.5 * 2**mantissa."""
        return 1.5 * 2.0**self.mantissa_bits

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)

    @property
    def sign_mask(self) -> int:
        return 1 << (self.bits - 1)


FORMATS = {
    "float32": FloatFormat("float32", "float", "f32", 32, 23, 127),
    "float64": FloatFormat("float64", "double", "f64", 64, 52, 1023),
}


@dataclass(frozen=True, slots=True)
class Code:
    """Where instructions go, and the one float type and lane count they work on."""

    builder: Builder
    format: FloatFormat
    lanes: int
    features: MathFeatures

    @property
    def is_double(self) -> bool:
        return self.format.bits == 64

    def type_of(self, kind: Kind) -> str:
        """The LLVM type of a value of this kind."""
        scalar = {"float": self.format.llvm, "int": f"i{self.format.bits}", "bool": "i1"}[kind]
        return scalar if self.lanes == 1 else f"<{self.lanes} x {scalar}>"

    def constant(self, number: Number, kind: Kind = "float") -> Value:
        """The same number in every lane."""
        scalar = Code(self.builder, self.format, 1, self.features).type_of(kind)
        spelled = float_literal(number, self.format) if kind == "float" else str(int(number))
        if self.lanes == 1:
            return Value(self, spelled, kind)
        if self.features.splat_constants:
            return Value(self, f"splat ({scalar} {spelled})", kind)
        return Value(self, f"<{', '.join([f'{scalar} {spelled}'] * self.lanes)}>", kind)

    def integer(self, number: int) -> Value:
        """The same integer in every lane, as wide as the float type, wrapped to its width."""
        half = 1 << (self.format.bits - 1)
        return self.constant((number + half) % (2 * half) - half, "int")

    def argument(self, text: str, kind: Kind = "float") -> Value:
        """A value that exists already."""
        return Value(self, text, kind)

    def instruction(self, text: str, kind: Kind) -> Value:
        """Appends `%fresh = text`."""
        name = self.builder.fresh()
        self.builder.line(f"{name} = {text}")
        return Value(self, name, kind)

    def intrinsic(self, name: str, *arguments: Value) -> Value:
        """Calls `llvm.name` over floats; integer arguments give the second type suffix."""
        suffixes = [self._suffix("float")]
        if any(argument.kind == "int" for argument in arguments):
            suffixes.append(self._suffix("int"))
        function = f"@llvm.{name}.{'.'.join(suffixes)}"
        types = [argument.type for argument in arguments]
        result = self.type_of("float")
        self.builder.declare(f"declare {result} {function}({', '.join(types)})")
        passed = ", ".join(f"{argument.type} {argument.text}" for argument in arguments)
        return self.instruction(f"call {result} {function}({passed})", "float")

    def any(self, condition: Value) -> str:
        """An i1: the condition holds in some lane."""
        if self.lanes == 1:
            return condition.text
        function = f"@llvm.vector.reduce.or.v{self.lanes}i1"
        self.builder.declare(f"declare i1 {function}({condition.type})")
        name = self.builder.fresh()
        self.builder.line(f"{name} = call i1 {function}({condition.type} {condition.text})")
        return name

    def _suffix(self, kind: Kind) -> str:
        scalar = self.format.suffix if kind == "float" else f"i{self.format.bits}"
        return scalar if self.lanes == 1 else f"v{self.lanes}{scalar}"

    def polynomial(self, x: Value, coefficients: Sequence[float]) -> Value:
        """sum(coefficients[k] * x**k) by Horner's rule."""
        total = self.constant(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            total = fma(total, x, coefficient)
        return total


@dataclass(frozen=True, slots=True)
class Value:
    """One SSA value. Operators append the instruction; numbers become constants of its kind."""

    code: Code
    text: str
    kind: Kind

    @property
    def type(self) -> str:
        return self.code.type_of(self.kind)

    def _binary(self, opcodes: tuple[str, str], other: Value | Number, swap: bool = False) -> Value:
        left, right = self, self._same_kind(other)
        if swap:
            left, right = right, left
        opcode = opcodes[0] if self.kind == "float" else opcodes[1]
        return self.code.instruction(f"{opcode} {self.type} {left.text}, {right.text}", self.kind)

    def _same_kind(self, other: Value | Number) -> Value:
        if isinstance(other, Value):
            return other
        if self.kind == "int":
            return self.code.integer(int(other))
        return self.code.constant(other, self.kind)

    def __add__(self, other: Value | Number) -> Value:
        return self._binary(("fadd", "add"), other)

    def __radd__(self, other: Number) -> Value:
        return self._binary(("fadd", "add"), other, swap=True)

    def __sub__(self, other: Value | Number) -> Value:
        return self._binary(("fsub", "sub"), other)

    def __rsub__(self, other: Number) -> Value:
        return self._binary(("fsub", "sub"), other, swap=True)

    def __mul__(self, other: Value | Number) -> Value:
        return self._binary(("fmul", "mul"), other)

    def __rmul__(self, other: Number) -> Value:
        return self._binary(("fmul", "mul"), other, swap=True)

    def __truediv__(self, other: Value | Number) -> Value:
        return self._binary(("fdiv", "sdiv"), other)

    def __rtruediv__(self, other: Number) -> Value:
        return self._binary(("fdiv", "sdiv"), other, swap=True)

    def __and__(self, other: Value | Number) -> Value:
        return self._binary(("and", "and"), other)

    def __or__(self, other: Value | Number) -> Value:
        return self._binary(("or", "or"), other)

    def __xor__(self, other: Value | Number) -> Value:
        return self._binary(("xor", "xor"), other)

    def __lshift__(self, other: Value | Number) -> Value:
        return self._binary(("shl", "shl"), other)

    def __rshift__(self, other: Value | Number) -> Value:
        """Logical: vectors of 64-bit integers have no arithmetic shift before AVX-512."""
        return self._binary(("lshr", "lshr"), other)

    def __neg__(self) -> Value:
        if self.kind == "int":
            return self.code.integer(0) - self
        return self.code.instruction(f"fneg {self.type} {self.text}", self.kind)

    def __invert__(self) -> Value:
        return self ^ (1 if self.kind == "bool" else -1)

    def __lt__(self, other: Value | Number) -> Value:
        return self.compare("lt", other)

    def __le__(self, other: Value | Number) -> Value:
        return self.compare("le", other)

    def __gt__(self, other: Value | Number) -> Value:
        return self.compare("gt", other)

    def __ge__(self, other: Value | Number) -> Value:
        return self.compare("ge", other)

    def equals(self, other: Value | Number) -> Value:
        return self.compare("eq", other)

    def is_nan(self) -> Value:
        return self.code.instruction(f"fcmp uno {self.type} {self.text}, {self.text}", "bool")

    def compare(self, relation: str, other: Value | Number) -> Value:
        """Ordered for floats (false on NaN), signed for integers."""
        right = self._same_kind(other)
        if self.kind == "float":
            opcode = f"fcmp o{relation}"
        else:
            opcode = f"icmp {relation if relation == 'eq' else 's' + relation}"
        return self.code.instruction(f"{opcode} {self.type} {self.text}, {right.text}", "bool")

    def as_int(self) -> Value:
        """The bits of a float as an integer."""
        return self._cast("bitcast", "int")

    def as_float(self) -> Value:
        """The float that has these bits."""
        return self._cast("bitcast", "float")

    def _cast(self, opcode: str, kind: Kind) -> Value:
        return self.code.instruction(
            f"{opcode} {self.type} {self.text} to {self.code.type_of(kind)}", kind
        )

    def convert(self, dtype: str) -> Value:
        """The same kind at the width of the other format: a float rounds once, an int wraps."""
        target = Code(self.code.builder, FORMATS[dtype], self.code.lanes, self.code.features)
        is_wider = target.format.bits > self.code.format.bits
        if self.kind == "float":
            opcode = "fpext" if is_wider else "fptrunc"
        else:
            opcode = "sext" if is_wider else "trunc"
        text = f"{opcode} {self.type} {self.text} to {target.type_of(self.kind)}"
        return target.instruction(text, self.kind)


def float_literal(number: Number, format: FloatFormat) -> str:
    """LLVM spells both formats by the bits of the float64 that holds the value."""
    value = float(number)
    if format.bits == 32 and abs(value) < float("inf"):
        value = struct.unpack("<f", struct.pack("<f", value))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def select(condition: Value, yes: Value | Number, no: Value | Number) -> Value:
    """`yes` where the condition holds, else `no`; at least one of them is a Value."""
    if isinstance(yes, Value):
        first, second = yes, yes._same_kind(no)
    else:
        assert isinstance(no, Value)
        first, second = no._same_kind(yes), no
    return first.code.instruction(
        f"select {condition.type} {condition.text}, {first.type} {first.text}, "
        f"{second.type} {second.text}",
        first.kind,
    )


def fma(a: Value, b: Value | Number, c: Value | Number) -> Value:
    """a * b + c: rounded once where the target has the instruction, twice where not."""
    if not a.code.features.fma:
        return a * b + c
    return a.code.intrinsic("fma", a, a._same_kind(b), a._same_kind(c))


def replaced(
    condition: Value, common: Sequence[Value], other: Callable[[], Sequence[Value]]
) -> list[Value]:
    """`common`, with the values of `other` in the lanes where the condition holds; those are worked
    out only where some lane needs them."""

    def make() -> list[str]:
        pairs = zip(other(), common, strict=True)
        return [select(condition, rare, usual).text for rare, usual in pairs]

    code = condition.code
    texts = code.builder.rarely(code.any(condition), [(v.type, v.text) for v in common], make)
    return [Value(v.code, text, v.kind) for v, text in zip(common, texts, strict=True)]


def outlined(name: str, x: Value, make: Callable[[Value], Sequence[Value]]) -> list[Value]:
    """The values that `make` gives of x, by a call of a function of the module that is rarely
    called."""
    code = x.code
    symbol = f"sg_{name}_{code.format.dtype}_{code.lanes}"
    collector = Collector()
    inside = Code(collector, code.format, code.lanes, code.features)
    values = make(inside.argument("%x"))
    result = f"{{{', '.join(v.type for v in values)}}}"
    lines, filled = list(collector.lines), "poison"
    for number, value in enumerate(values):
        lines.append(
            f"%r{number} = insertvalue {result} {filled}, {value.type} {value.text}, {number}"
        )
        filled = f"%r{number}"
    head = f"define internal {result} @{symbol}({x.type} %x) nounwind cold noinline"
    body = "\n".join(f"  {line}" for line in [*lines, f"ret {result} {filled}"])
    code.builder.helper(symbol, f"{head} {{\n{body}\n}}\n")
    for declaration in collector.declarations:
        code.builder.declare(declaration)
    call = code.builder.fresh()
    code.builder.line(f"{call} = call {result} @{symbol}({x.type} {x.text})")
    taken = []
    for number, value in enumerate(values):
        name = code.builder.fresh()
        code.builder.line(f"{name} = extractvalue {result} {call}, {number}")
        taken.append(Value(Code(code.builder, value.code.format, code.lanes, code.features),
                           name, value.kind))  # fmt: skip
    return taken


class Collector:
    """A builder that keeps the lines of one function."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.declarations: dict[str, None] = {}
        self.helpers: dict[str, str] = {}
        self._count = 0
        self._block = "entry"

    def fresh(self) -> str:
        self._count += 1
        return f"%t{self._count}"

    def line(self, text: str) -> None:
        self.lines.append(text)

    def declare(self, text: str) -> None:
        self.declarations[text] = None

    def helper(self, name: str, text: str) -> None:
        self.helpers.setdefault(name, text)

    def rarely(
        self, condition: str, common: Sequence[tuple[str, str]], make: Callable[[], Sequence[str]]
    ) -> list[str]:
        before = self._block
        number = self.fresh().lstrip("%")
        rare, after = f"rare_{number}", f"after_{number}"
        self.lines += [f"br i1 {condition}, label %{rare}, label %{after}", f"{rare}:"]
        self._block = rare
        others = make()
        self.lines += [f"br label %{after}", f"{after}:"]
        last, self._block = self._block, after
        found = []
        for (type, usual), other in zip(common, others, strict=True):
            name = self.fresh()
            self.lines.append(f"{name} = phi {type} [{usual}, %{before}], [{other}, %{last}]")
            found.append(name)
        return found


def absolute(x: Value) -> Value:
    return x.code.intrinsic("fabs", x)


def copy_sign(magnitude: Value, sign: Value) -> Value:
    """The magnitude of one value with the sign of another, by bits."""
    mask = magnitude.code.format.sign_mask
    return ((magnitude.as_int() & ~mask) | (sign.as_int() & mask)).as_float()


def sign_bit(x: Value) -> Value:
    """True for negative numbers and for -0."""
    return x.as_int() < 0


def round_to_int(x: Value) -> tuple[Value, Value]:
    """Round-half-even of |x| < 2**(mantissa bits - 1), as a float and as an integer.

    Adding 1.5 * 2**mantissa leaves the rounded value in the low bits of the sum; that costs the
    same as the native instructions and is there everywhere.
    """
    magic = x.code.format.rounding_magic
    shifted = x + magic
    bits = struct.unpack("<Q", struct.pack("<d", magic))[0]
    if not x.code.is_double:
        bits = struct.unpack("<I", struct.pack("<f", magic))[0]
    return shifted - magic, shifted.as_int() - bits


def int_to_float(n: Value) -> Value:
    """A small integer as a float: int64 conversions are library calls on 32-bit machines."""
    code = n.code
    magic = code.format.rounding_magic
    bits = code.constant(magic).as_int()
    return (n + bits).as_float() - magic


def power_of_two(n: Value) -> Value:
    """2**n for exponents of normal numbers: 1 - bias <= n <= bias."""
    return ((n + n.code.format.bias) << n.code.format.mantissa_bits).as_float()


def scale(x: Value, n: Value) -> Value:
    """x * 2**n with one rounding, for 1/4 <= |x| <= 4 (or x NaN) and |n| <= 1.9 * bias.

    The two factors are halves of the exponent: the first product is exact, the second rounds once,
    to a denormal or to infinity where it has to.
    """
    code = x.code
    if code.features.native_scale and code.lanes > 1:
        return code.intrinsic("ldexp", x, n)
    # The offset keeps the logical shift right for negative exponents.
    offset = 4 * (code.format.bias + 1)
    half = ((n + offset) >> 1) - offset // 2
    return x * power_of_two(half) * power_of_two(n - half)


def two_sum(a: Value, b: Value) -> tuple[Value, Value]:
    """a + b exactly, as the rounded sum and its error, whichever is larger."""
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


def fast_two_sum(a: Value, b: Value) -> tuple[Value, Value]:
    """a + b exactly, as the rounded sum and its error, for |a| >= |b| or a == 0."""
    total = a + b
    return total, b - (total - a)


def two_product(a: Value, b: Value) -> tuple[Value, Value]:
    """a * b exactly, as the rounded product and its error (Dekker's split without an FMA)."""
    product = a * b
    if a.code.features.fma:
        return product, fma(a, b, -product)
    a_high, a_low = split(a)
    b_high, b_low = split(b)
    error = ((a_high * b_high - product) + a_high * b_low) + a_low * b_high
    return product, error + a_low * b_low


def split(a: Value) -> tuple[Value, Value]:
    """a as two halves whose products are exact (Veltkamp); overflows within 2**28 of the end."""
    bits = (a.code.format.mantissa_bits + 2) // 2
    scaled = a * (2.0**bits + 1)
    high = scaled - (scaled - a)
    return high, a - high
