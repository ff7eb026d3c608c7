"""Scalar functions of the loop IR as LLVM instructions, for scalars and for vectors.

Owns: the meaning of every function on every dtype, as `kernel/functions.py` states it.  Float
functions that are more than one instruction come from vector_math.  float16 and bfloat16 are
computed in float32 and rounded after each operation.  Nothing here becomes a library call.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

from ...kernel.dtypes import DType, bool_, float32, uint8
from . import vector_math
from .builder import FunctionBuilder
from .conversion import Conversion
from .integer_power import power_function
from .machine import Machine
from .types import Value, is_rounded, literal, register_type, splat, suffix, vector

_COMPARE_FLOAT = {"lt": "olt", "le": "ole", "eq": "oeq", "ne": "une"}
_COMPARE_ORDER = {"lt": "lt", "le": "le"}
_FLOAT_OPCODES = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_INTEGER_OPCODES = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or",
                    "xor": "xor"}  # fmt: skip
_ORDERED = {"icmp eq": operator.eq, "icmp ne": operator.ne, "icmp slt": operator.lt,
            "icmp sle": operator.le}  # fmt: skip
"""Comparisons of numbers that are decided at once, so that only one branch of a choice is made."""
_MATH_NAMES = {"round": "rint", "min": "minimum", "max": "maximum"}


class Arithmetic(Conversion):
    """Appends instructions to one function."""

    def __init__(self, builder: FunctionBuilder, machine: Machine) -> None:
        super().__init__(builder, machine)

    def call(self, function: str, args: Sequence[Value], dtype: DType) -> Value:
        """function(args); scalars are broadcast when another argument is a vector."""
        lanes = max(a.lanes for a in args)
        values = [self.broadcast(a, lanes) for a in args]
        kind = values[0].dtype
        if kind.is_float:
            return self._float_call(function, values, dtype)
        if kind.is_bool:
            return self._bool_call(function, values)
        return self._integer_call(function, values)

    # -- floats --------------------------------------------------------------------------------

    def _float_call(self, function: str, values: list[Value], dtype: DType) -> Value:
        if is_rounded(values[0].dtype):
            wide = [Value(v.text, float32, v.lanes) for v in values]
            result = self._float_call(function, wide, float32 if dtype.is_float else dtype)
            return self.rounded(result, dtype) if dtype.is_float else result
        first = values[0]
        texts = [v.text for v in values]
        if function in _COMPARE_FLOAT:
            return self._compare(f"fcmp {_COMPARE_FLOAT[function]}", values)
        if function in _FLOAT_OPCODES:
            return self._op(_FLOAT_OPCODES[function], values)
        if function == "neg":
            return self._new(f"fneg {first.type} {first.text}", first)
        if function == "abs":
            return self._intrinsic("fabs", [first])
        if function in ("min", "max"):
            return self._float_extremum(function, values)
        if function in ("mod", "floordiv"):
            return self._float_division(function, values)
        name = _MATH_NAMES.get(function, function)
        text = self._memoised_math(name, texts, first)
        return Value(text, first.dtype, first.lanes)

    def _memoised_math(self, name: str, texts: list[str], like: Value) -> str:
        key = f"math {name} {like.type} {' '.join(texts)}"
        found = self.builder.find(key)
        if found is None:
            found = vector_math.emit_call(
                self.builder, name, texts, like.dtype.name, like.lanes, self.machine.math
            )
            self.builder.scopes[-1].known[key] = found
        return found

    def _float_extremum(self, function: str, values: list[Value]) -> Value:
        """numpy's, NaN included; one instruction where one argument is a literal."""
        a, b = values
        order = "ogt" if function == "max" else "olt"
        if _is_number(a.text):
            a, b = b, a
        if _is_number(b.text):
            taken = self.builder.pure(f"fcmp {order} {a.type} {b.text}, {a.text}")
            return self._select(taken, b, a)
        unordered = self.builder.pure(f"fcmp uno {a.type} {a.text}, {a.text}")
        order = "ugt" if function == "max" else "ult"
        # a, where it is NaN or further out; else b, where it is NaN or not nearer.
        further = self.builder.pure(f"fcmp {order} {a.type} {b.text}, {a.text}")
        mask = vector("i1", a.lanes)
        not_a = self.builder.pure(f"xor {mask} {unordered}, {splat('true', 'i1', a.lanes)}")
        taken = self.builder.pure(f"and {mask} {further}, {not_a}")
        return self._select(taken, b, a)

    def _float_division(self, function: str, values: list[Value]) -> Value:
        """Python's floor division and remainder, by way of the exact fmod (as numpy does it)."""
        a, b = values
        zero = self.constant(0.0, a)
        rest = Value(self._memoised_math("fmod", [a.text, b.text], a), a.dtype, a.lanes)
        is_rest = self._compare("fcmp une", [rest, zero])
        negative = self._compare("fcmp olt", [b, zero])
        rest_negative = self._compare("fcmp olt", [rest, zero])
        differs = self._op("xor", [negative, rest_negative])
        shift = self._op("and", [is_rest, differs])
        signed_zero = self._intrinsic("copysign", [zero, b])
        if function == "mod":
            moved = self._select(shift.text, self._op("fadd", [rest, b]), rest)
            by_zero = self._compare("fcmp oeq", [b, zero])
            result = self._select(is_rest.text, moved, signed_zero)
            return self._select(by_zero.text, rest, result)
        quotient = self._op("fdiv", [self._op("fsub", [a, rest]), b])
        one = self.constant(1.0, a)
        quotient = self._select(shift.text, self._op("fsub", [quotient, one]), quotient)
        floor = Value(self._memoised_math("floor", [quotient.text], a), a.dtype, a.lanes)
        gap = self._op("fsub", [quotient, floor])
        up = self._compare("fcmp ogt", [gap, self.constant(0.5, a)])
        floor = self._select(up.text, self._op("fadd", [floor, one]), floor)
        plain = self._op("fdiv", [a, b])
        is_zero = self._compare("fcmp oeq", [quotient, zero])
        result = self._select(is_zero.text, self._intrinsic("copysign", [zero, plain]), floor)
        by_zero = self._compare("fcmp oeq", [b, zero])
        return self._select(by_zero.text, plain, result)

    # -- integers and booleans -----------------------------------------------------------------

    def _bool_call(self, function: str, values: list[Value]) -> Value:
        first = values[0]
        ones = self.constant(True, first)
        match function:
            case "add" | "max" | "or":
                return self._op("or", values)
            case "mul" | "min" | "and":
                return self._op("and", values)
            case "xor" | "ne" | "sub":
                return self._op("xor", values)
            case "eq":
                return self._op("xor", [self._op("xor", values), ones])
            case "not":
                return self._op("xor", [first, ones])
            case "lt":
                return self._op("and", [self._op("xor", [first, ones]), values[1]])
            case "le":
                return self._op("or", [self._op("xor", [first, ones]), values[1]])
            case "neg" | "abs":
                return first
            case _:
                wide = [self.cast(v, uint8) for v in values]
                return self.cast(self._integer_call(function, wide), bool_)

    def _integer_call(self, function: str, values: list[Value]) -> Value:
        first = values[0]
        signed = first.dtype.kind == "int"
        if function in _INTEGER_OPCODES:
            return self._op(_INTEGER_OPCODES[function], values)
        if function in ("eq", "ne"):
            return self._compare(f"icmp {function}", values)
        if function in _COMPARE_ORDER:
            return self._compare(f"icmp {'s' if signed else 'u'}{function}", values)
        zero = self.constant(0, first)
        match function:
            case "neg":
                return self._op("sub", [zero, first])
            case "not":
                return self._op("xor", [first, self.constant(-1, first)])
            case "abs":
                negative = self._compare("icmp slt", [first, zero])
                minus = self._op("sub", [zero, first])
                return self._select(negative.text, minus, first) if signed else first
            case "min" | "max":
                order = ("s" if signed else "u") + ("lt" if function == "min" else "gt")
                taken = self._compare(f"icmp {order}", values)
                return self._select(taken.text, *values)
            case "floordiv" | "mod":
                return self._integer_division(function, values, signed)
            case "shl" | "shr":
                return self._shift(function, values, signed)
            case "pow":
                return self._integer_power(values, signed)
            case _:
                raise AssertionError(function)

    def _integer_division(self, function: str, values: list[Value], signed: bool) -> Value:
        """Rounded towards minus infinity; 0 for a zero divisor; lowest // -1 wraps around."""
        a, b = values
        zero = self.constant(0, a)
        by_zero = self._compare("icmp eq", [b, zero])
        one = self.constant(1, a)
        if not signed:
            safe = self._select(by_zero.text, one, b)
            opcode = "udiv" if function == "floordiv" else "urem"
            return self._select(by_zero.text, zero, self._op(opcode, [a, safe]))
        minus = self._compare("icmp eq", [b, self.constant(-1, a)])
        # x // -1 is -x, also for the lowest number, where the instruction would trap.
        unsafe = self._op("or", [by_zero, minus])
        safe = self._select(unsafe.text, one, b)
        quotient = self._op("sdiv", [a, safe])
        rest = self._op("sub", [a, self._op("mul", [quotient, safe])])
        is_rest = self._compare("icmp ne", [rest, zero])
        differs = self._compare("icmp slt", [self._op("xor", [rest, safe]), zero])
        shift = self._op("and", [is_rest, differs])
        if function == "mod":
            result = self._select(shift.text, self._op("add", [rest, safe]), rest)
            return self._select(unsafe.text, zero, result)
        lower = self._op("sub", [quotient, one])
        quotient = self._select(shift.text, lower, quotient)
        negated = self._select(minus.text, self._op("sub", [zero, a]), quotient)
        return self._select(by_zero.text, zero, negated)

    def _shift(self, function: str, values: list[Value], signed: bool) -> Value:
        a, b = values
        width = self.constant(a.dtype.nbytes * 8, a)
        zero = self.constant(0, a)
        inside = self._compare("icmp ult", [b, width])
        amount = self._select(inside.text, b, zero)
        opcode = "shl" if function == "shl" else "ashr" if signed else "lshr"
        return self._select(inside.text, self._op(opcode, [a, amount]), zero)

    def _integer_power(self, values: list[Value], signed: bool) -> Value:
        first = values[0]
        type = register_type(first.dtype)
        name, text = power_function(type, first.lanes, signed)
        self.builder.module.helper(name, text)
        args = ", ".join(f"{v.type} {v.text}" for v in values)
        return self._new(f"call {first.type} @{name}({args})", first)

    # -- helpers -------------------------------------------------------------------------------

    def fused_multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once where the machine can."""
        lanes = max(a.lanes, b.lanes, c.lanes)
        values = [self.broadcast(v, lanes) for v in (a, b, c)]
        return self._intrinsic("fma", values)

    def _op(self, opcode: str, values: Sequence[Value]) -> Value:
        first = values[0]
        return self._new(f"{opcode} {first.type} {', '.join(v.text for v in values)}", first)

    def _compare(self, opcode: str, values: Sequence[Value]) -> Value:
        first = values[0]
        known = _ORDERED.get(opcode)
        if known is not None and all(_is_integer(v.text) for v in values):
            a, b = (int(v.text) for v in values)
            return Value("true" if known(a, b) else "false", bool_)
        text = self.builder.pure(f"{opcode} {first.type} {', '.join(v.text for v in values)}")
        return Value(text, bool_, first.lanes)

    def _select(self, mask: str, yes: Value, no: Value) -> Value:
        type = vector("i1", yes.lanes)
        return self._new(f"select {type} {mask}, {yes.type} {yes.text}, {no.type} {no.text}", yes)

    def _intrinsic(self, name: str, values: Sequence[Value]) -> Value:
        first = values[0]
        function = f"@llvm.{name}.{suffix(register_type(first.dtype), first.lanes)}"
        self.builder.declare(
            f"declare {first.type} {function}({', '.join(v.type for v in values)})"
        )
        passed = ", ".join(f"{v.type} {v.text}" for v in values)
        return self._new(f"call {first.type} {function}({passed})", first)

    def _new(self, text: str, like: Value) -> Value:
        return Value(self.builder.pure(text), like.dtype, like.lanes)

    def constant(self, value: int | float | bool, like: Value) -> Value:
        scalar = literal(value, like.dtype)
        text = splat(scalar, register_type(like.dtype), like.lanes)
        return Value(text, like.dtype, like.lanes)


def _is_integer(text: str) -> bool:
    """The literal of an integer, not a name or a vector."""
    return text.removeprefix("-").isdigit()


def _is_number(text: str) -> bool:
    """A literal that is not NaN."""
    if "0x" not in text:
        return False
    bits = int(text[text.index("0x") + 2 :].rstrip(")"), 16)
    return bits & 0x7FFFFFFFFFFFFFFF <= 0x7FF0000000000000
