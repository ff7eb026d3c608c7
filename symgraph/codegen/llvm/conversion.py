"""Conversions between dtypes, between memory and register forms, and between lanes.

Owns: rounding to float16 and bfloat16 (also on machines without instructions for it), saturating
conversion of floats to integers, broadcasts.  Nothing here becomes a library call.
"""

from __future__ import annotations

from ...kernel.dtypes import DType, bool_, float32, float64
from .builder import FunctionBuilder
from .machine import Machine
from .types import Value, is_rounded, literal, memory_type, register_type, splat, vector


class Conversion:
    """Appends instructions to one function."""

    def __init__(self, builder: FunctionBuilder, machine: Machine) -> None:
        self.builder = builder
        self.machine = machine

    def broadcast(self, value: Value, lanes: int) -> Value:
        """The value in every lane."""
        if value.lanes == lanes:
            return value
        assert value.lanes == 1, (value, lanes)
        type = register_type(value.dtype)
        if not value.text.startswith("%"):
            return Value(splat(value.text, type, lanes), value.dtype, lanes)
        whole = vector(type, lanes)
        first = self.builder.pure(f"insertelement {whole} poison, {type} {value.text}, i64 0")
        text = self.builder.pure(
            f"shufflevector {whole} {first}, {whole} poison, <{lanes} x i32> zeroinitializer"
        )
        return Value(text, value.dtype, lanes)

    def cast(self, value: Value, dtype: DType) -> Value:
        """The value as another dtype: `kernel.ir.Cast`."""
        source = value.dtype
        if source == dtype:
            return value
        if dtype.is_bool:
            return self._to_bool(value)
        if source.is_bool:
            return self._from_bool(value, dtype)
        if source.is_float:
            wide = Value(value.text, float32, value.lanes) if is_rounded(source) else value
            return self._from_float(wide, dtype)
        return self._from_integer(value, dtype)

    def rounded(self, value: Value, dtype: DType) -> Value:
        """A float32 rounded to float16 or bfloat16, still held as float."""
        return self.from_memory(self.to_memory(Value(value.text, dtype, value.lanes)), dtype,
                                value.lanes)  # fmt: skip

    # -- memory --------------------------------------------------------------------------------

    def to_memory(self, value: Value) -> str:
        """The memory form of a value."""
        dtype, lanes = value.dtype, value.lanes
        target = vector(memory_type(dtype), lanes)
        if dtype.is_bool:
            return self.builder.pure(f"zext {value.type} {value.text} to {target}")
        if dtype.name == "float16":
            return self._half_bits(value.text, lanes)
        if dtype.name == "bfloat16":
            return self._bfloat_bits(value.text, lanes)
        return value.text

    def from_memory(self, text: str, dtype: DType, lanes: int) -> Value:
        """The value of a memory form."""
        source = vector(memory_type(dtype), lanes)
        pure = self.builder.pure
        if dtype.is_bool:
            return Value(pure(f"icmp ne {source} {text}, zeroinitializer" if lanes > 1
                              else f"icmp ne i8 {text}, 0"), dtype, lanes)  # fmt: skip
        if dtype.name == "bfloat16":
            wide = pure(f"zext {source} {text} to {vector('i32', lanes)}")
            return self._bits_to_float(self._move_bits("shl", wide, 16, lanes), dtype, lanes)
        if dtype.name == "float16":
            return self._float_of_half(text, lanes, dtype)
        return Value(text, dtype, lanes)

    # -- float16 and bfloat16 ------------------------------------------------------------------

    def _half_bits(self, text: str, lanes: int) -> str:
        """Round half to even, by the instruction or by bits."""
        pure = self.builder.pure
        if self.machine.half:
            half = vector("half", lanes)
            narrow = pure(f"fptrunc {vector('float', lanes)} {text} to {half}")
            return pure(f"bitcast {half} {narrow} to {vector('i16', lanes)}")
        i32, float_ = vector("i32", lanes), vector("float", lanes)
        bits = pure(f"bitcast {float_} {text} to {i32}")
        size = self._int_op("and", bits, 0x7FFFFFFF, lanes)
        sign = self._move_bits("lshr", self._int_op("xor", bits, None, lanes, size), 16, lanes)
        # Numbers below 2**-14: adding 1/2 leaves the rounded mantissa in the lowest bits.
        magic = splat(literal(0.5, float32), "float", lanes)
        positive = pure(f"bitcast {i32} {size} to {float_}")
        total = pure(f"fadd {float_} {positive}, {magic}")
        small = self._int_op("sub", pure(f"bitcast {float_} {total} to {i32}"), 0x3F000000, lanes)
        odd = self._int_op("and", self._move_bits("lshr", size, 13, lanes), 1, lanes)
        moved = self._int_op("add", size, 0xFFF - (112 << 23), lanes)
        normal = self._move_bits("lshr", self._int_op("add", moved, None, lanes, odd), 13, lanes)
        result = self._choose("ult", size, 113 << 23, small, normal, lanes)
        infinite = splat(str(0x7C00), "i32", lanes)
        result = self._choose("ult", size, 0x477FF000, result, infinite, lanes)
        payload = self._int_op("and", self._move_bits("lshr", size, 13, lanes), 0x1FF, lanes)
        nan = self._int_op("or", payload, 0x7E00, lanes)
        result = self._choose("ugt", size, 0x7F800000, nan, result, lanes)
        result = self._int_op("or", result, None, lanes, sign)
        return pure(f"trunc {i32} {result} to {vector('i16', lanes)}")

    def _float_of_half(self, text: str, lanes: int, dtype: DType) -> Value:
        pure = self.builder.pure
        if self.machine.half:
            half = vector("half", lanes)
            value = pure(f"bitcast {vector('i16', lanes)} {text} to {half}")
            return Value(pure(f"fpext {half} {value} to {vector('float', lanes)}"), dtype, lanes)
        i32, float_ = vector("i32", lanes), vector("float", lanes)
        bits = pure(f"zext {vector('i16', lanes)} {text} to {i32}")
        size = self._move_bits("shl", self._int_op("and", bits, 0x7FFF, lanes), 13, lanes)
        sign = self._move_bits("shl", self._int_op("and", bits, 0x8000, lanes), 16, lanes)
        # Multiplying by 2**112 moves the exponent and makes denormals normal, exactly.
        scale = splat(literal(2.0**112, float32), "float", lanes)
        scaled = pure(f"fmul {float_} {pure(f'bitcast {i32} {size} to {float_}')}, {scale}")
        moved = pure(f"bitcast {float_} {scaled} to {i32}")
        special = self._int_op("or", size, 0x7F800000, lanes)
        result = self._choose("ult", size, 0x7C00 << 13, moved, special, lanes)
        return self._bits_to_float(self._int_op("or", result, None, lanes, sign), dtype, lanes)

    def _bfloat_bits(self, text: str, lanes: int) -> str:
        pure = self.builder.pure
        i32, float_ = vector("i32", lanes), vector("float", lanes)
        bits = pure(f"bitcast {float_} {text} to {i32}")
        odd = self._int_op("and", self._move_bits("lshr", bits, 16, lanes), 1, lanes)
        moved = self._int_op("add", self._int_op("add", bits, 0x7FFF, lanes), None, lanes, odd)
        quiet = self._int_op("or", bits, 0x400000, lanes)
        nan = pure(f"fcmp uno {float_} {text}, {text}")
        mask = vector("i1", lanes)
        chosen = pure(f"select {mask} {nan}, {i32} {quiet}, {i32} {moved}")
        high = self._move_bits("lshr", chosen, 16, lanes)
        return pure(f"trunc {i32} {high} to {vector('i16', lanes)}")

    def _bits_to_float(self, bits: str, dtype: DType, lanes: int) -> Value:
        text = self.builder.pure(
            f"bitcast {vector('i32', lanes)} {bits} to {vector('float', lanes)}"
        )
        return Value(text, dtype, lanes)

    def _int_op(self, opcode: str, a: str, number: int | None, lanes: int, b: str = "") -> str:
        other = b if number is None else splat(str(number), "i32", lanes)
        return self.builder.pure(f"{opcode} {vector('i32', lanes)} {a}, {other}")

    def _move_bits(self, opcode: str, a: str, amount: int, lanes: int) -> str:
        return self._int_op(opcode, a, amount, lanes)

    def _choose(self, order: str, a: str, limit: int, yes: str, no: str, lanes: int) -> str:
        i32, mask = vector("i32", lanes), vector("i1", lanes)
        taken = self.builder.pure(f"icmp {order} {i32} {a}, {splat(str(limit), 'i32', lanes)}")
        return self.builder.pure(f"select {mask} {taken}, {i32} {yes}, {i32} {no}")

    # -- casts ---------------------------------------------------------------------------------

    def _to_bool(self, value: Value) -> Value:
        zero = splat(literal(0, value.dtype), register_type(value.dtype), value.lanes)
        opcode = "fcmp une" if value.dtype.is_float else "icmp ne"
        text = self.builder.pure(f"{opcode} {value.type} {value.text}, {zero}")
        return Value(text, bool_, value.lanes)

    def _from_bool(self, value: Value, dtype: DType) -> Value:
        target = vector(register_type(dtype), value.lanes)
        opcode = "uitofp" if dtype.is_float else "zext"
        text = self.builder.pure(f"{opcode} {value.type} {value.text} to {target}")
        return Value(text, dtype, value.lanes)

    def _from_integer(self, value: Value, dtype: DType) -> Value:
        signed = value.dtype.kind == "int"
        target = vector(register_type(dtype), value.lanes)
        if dtype.is_float:
            opcode = "sitofp" if signed else "uitofp"
            text = self.builder.pure(f"{opcode} {value.type} {value.text} to {target}")
            result = Value(text, dtype, value.lanes)
            return self.rounded(result, dtype) if is_rounded(dtype) else result
        if dtype.nbytes == value.dtype.nbytes:
            return Value(value.text, dtype, value.lanes)
        opcode = "trunc" if dtype.nbytes < value.dtype.nbytes else "sext" if signed else "zext"
        text = self.builder.pure(f"{opcode} {value.type} {value.text} to {target}")
        return Value(text, dtype, value.lanes)

    def _from_float(self, value: Value, dtype: DType) -> Value:
        if dtype.is_integer:
            return self._saturated(value, dtype)
        if value.dtype == float64 and dtype != float64:
            if dtype.name == "float16":
                return self.rounded(self._round_to_odd(value), dtype)
            text = self.builder.pure(
                f"fptrunc {value.type} {value.text} to {vector('float', value.lanes)}"
            )
            result = Value(text, dtype, value.lanes)
            return self.rounded(result, dtype) if is_rounded(dtype) else result
        if dtype == float64:
            text = self.builder.pure(
                f"fpext {value.type} {value.text} to {vector('double', value.lanes)}"
            )
            return Value(text, dtype, value.lanes)
        if is_rounded(dtype):
            return self.rounded(value, dtype)
        return Value(value.text, dtype, value.lanes)

    def _round_to_odd(self, value: Value) -> Value:
        """float64 to float32 so that a second rounding gives what one rounding would.

        Boldo and Melquiond, Emulation of FMA and correctly rounded sums, 2008.
        """
        lanes, pure = value.lanes, self.builder.pure
        float_, i32, mask = vector("float", lanes), vector("i32", lanes), vector("i1", lanes)
        near = pure(f"fptrunc {value.type} {value.text} to {float_}")
        back = pure(f"fpext {float_} {near} to {value.type}")
        bits = pure(f"bitcast {float_} {near} to {i32}")
        inexact = pure(f"fcmp one {value.type} {back}, {value.text}")
        even = pure(f"icmp eq {i32} {self._int_op('and', bits, 1, lanes)}, "
                    f"{splat('0', 'i32', lanes)}")  # fmt: skip
        move = pure(f"and {mask} {inexact}, {even}")
        whole = value.type
        i64 = vector("i64", lanes)
        size = splat(str((1 << 63) - 1), "i64", lanes)
        near_bits = pure(f"bitcast {whole} {back} to {i64}")
        true_bits = pure(f"bitcast {whole} {value.text} to {i64}")
        near_size = pure(f"and {i64} {near_bits}, {size}")
        true_size = pure(f"and {i64} {true_bits}, {size}")
        beyond = pure(f"icmp ugt {i64} {near_size}, {true_size}")
        down, up = self._int_op("sub", bits, 1, lanes), self._int_op("add", bits, 1, lanes)
        step = pure(f"select {mask} {beyond}, {i32} {down}, {i32} {up}")
        odd = pure(f"select {mask} {move}, {i32} {step}, {i32} {bits}")
        return self._bits_to_float(odd, float32, lanes)

    def _saturated(self, value: Value, dtype: DType) -> Value:
        """Truncated, the ends for what lies beyond them, 0 for NaN."""
        lanes, pure, mask = value.lanes, self.builder.pure, vector("i1", value.lanes)
        # Through a type that holds every value of a narrow one: no poison, one instruction.
        narrow = dtype.nbytes < 4
        work = "i32" if narrow else register_type(dtype)
        signed = dtype.kind == "int" or narrow
        source = register_type(value.dtype)
        low, high = int(dtype.lowest), int(dtype.highest)

        def number(n: float) -> str:
            return splat(literal(n, value.dtype), source, lanes)

        # 2**k is exact in every format, 2**k - 1 is not.
        below_end = pure(f"fcmp olt {value.type} {value.text}, {number(float(high + 1))}")
        above = "oge" if low else "ogt"
        start = float(low) if low else -1.0
        if low and value.dtype == float64 and dtype.nbytes <= 4:
            above, start = "ogt", float(low) - 1.0
        from_start = pure(f"fcmp {above} {value.type} {value.text}, {number(start)}")
        inside = pure(f"and {mask} {below_end}, {from_start}")
        safe = pure(f"select {mask} {inside}, {value.type} {value.text}, "
                    f"{value.type} {number(0.0)}")  # fmt: skip
        whole = vector(work, lanes)
        opcode = "fptosi" if signed else "fptoui"
        result = pure(f"{opcode} {value.type} {safe} to {whole}")
        is_high = pure(f"fcmp oge {value.type} {value.text}, {number(float(high + 1))}")
        result = pure(f"select {mask} {is_high}, {whole} {splat(str(high), work, lanes)}, "
                      f"{whole} {result}")  # fmt: skip
        if low:
            is_low = pure(f"fcmp ole {value.type} {value.text}, {number(float(low))}")
            result = pure(f"select {mask} {is_low}, {whole} {splat(str(low), work, lanes)}, "
                          f"{whole} {result}")  # fmt: skip
        if narrow:
            result = pure(f"trunc {whole} {result} to {vector(register_type(dtype), lanes)}")
        return Value(result, dtype, lanes)
