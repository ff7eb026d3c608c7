"""64-bit division and conversions as 32-bit processors get them, run on this machine."""

from __future__ import annotations

import ctypes
import random

import numpy as np
import pytest

from symgraph.codegen.llvm.machine import machine
from symgraph.codegen.llvm.objects import compile_object, load
from symgraph.codegen.llvm.support import FUNCTIONS, support_text

TYPES = {"i64": ctypes.c_int64, "float": ctypes.c_float, "double": ctypes.c_double}
INNER = {
    "sg_u64_to_f32": ("float", "i64"),
    "sg_i64_to_f32": ("float", "i64"),
    "sg_u64_to_f64": ("double", "i64"),
    "sg_i64_to_f64": ("double", "i64"),
    "sg_f32_to_u64": ("i64", "float"),
    "sg_f32_to_i64": ("i64", "float"),
    "sg_f64_to_u64": ("i64", "double"),
    "sg_f64_to_i64": ("i64", "double"),
}
NUMBERS = [
    0, 1, 2, 3, 255, 2**24, 2**24 + 1, 2**24 + 3, 2**31, 2**32 - 1, 2**32, 2**53 + 1,
    2**62 + 2**37, 2**63 - 1, 2**63, 2**63 + 2**39, 2**63 + 2**39 + 1, 2**64 - 1,
]  # fmt: skip


@pytest.fixture(scope="module")
def functions():
    text = support_text(FUNCTIONS)
    # The libcalls are internal; callers stand in for the code that would use them.
    names = [n for n in FUNCTIONS if not n.startswith("__aeabi")]
    callers, made = [], {}
    for name in names:
        if name.endswith("di3"):
            made[name] = ("i64", ["i64", "i64"])
    for name, (result, argument) in INNER.items():
        made[name] = (result, [argument])
    for name, (result, arguments) in made.items():
        declared = ", ".join(f"{t} %a{i}" for i, t in enumerate(arguments))
        callers.append(
            f"define {result} @test_{name}({declared}) {{\n"
            f"  %r = call {result} @{name}({declared})\n  ret {result} %r\n}}\n"
        )
    host = machine(None)
    body = compile_object(f'target triple = "{host.triple}"\n{text}{"".join(callers)}', host)
    loaded = load(body, [f"test_{name}" for name in made])
    found = {}
    for (name, (result, arguments)), address in zip(made.items(), loaded.addresses, strict=True):
        prototype = ctypes.CFUNCTYPE(TYPES[result], *[TYPES[a] for a in arguments])
        found[name] = prototype(address)
    yield found
    del loaded


def signed(value: int) -> int:
    return ctypes.c_int64(value).value


def numbers() -> list[int]:
    generator = random.Random(5)
    return NUMBERS + [generator.getrandbits(generator.randint(1, 64)) for _ in range(200)]


def test_unsigned_division(functions):
    for n in numbers():
        for d in (1, 2, 3, 7, 10, 2**31, 2**32 + 1, 2**63, 2**64 - 1, n | 1):
            assert functions["__udivdi3"](signed(n), signed(d)) == signed(n // d)
            assert functions["__umoddi3"](signed(n), signed(d)) == signed(n % d)


def test_signed_division_rounds_towards_zero(functions):
    for n in numbers():
        for d in (1, -1, 2, -3, 7, -10, 2**31, 2**62 + 1, -(2**63)):
            a = signed(n)
            if a == -(2**63) and d == -1:
                continue
            quotient = abs(a) // abs(d) * (1 if (a < 0) == (d < 0) else -1)
            assert functions["__divdi3"](a, d) == quotient
            assert functions["__moddi3"](a, d) == a - quotient * d


def test_division_by_zero_does_not_trap(functions):
    functions["__udivdi3"](5, 0)
    functions["__divdi3"](-5, 0)


@pytest.mark.parametrize(("kind", "dtype"), [("f32", np.float32), ("f64", np.float64)])
def test_integers_to_floats(kind, dtype, functions):
    for n in numbers():
        assert functions[f"sg_u64_to_{kind}"](signed(n)) == dtype(np.uint64(n))
        assert functions[f"sg_i64_to_{kind}"](signed(n)) == dtype(np.int64(signed(n)))


@pytest.mark.parametrize(("kind", "dtype"), [("f32", np.float32), ("f64", np.float64)])
def test_floats_to_integers(kind, dtype, functions):
    generator = random.Random(6)
    values = [0.0, 0.4, 0.99, 1.0, 1.5, 2.5, 1e6 + 0.5, 2**31, 2**52 + 1, 2**62]
    values += [generator.uniform(0, 1) * 2.0 ** generator.randint(0, 62) for _ in range(200)]
    for value in values:
        x = dtype(value)
        assert functions[f"sg_{kind}_to_u64"](x) == int(x)
        assert functions[f"sg_{kind}_to_i64"](x) == int(x)
        assert functions[f"sg_{kind}_to_i64"](-x) == -int(x)
    assert functions[f"sg_{kind}_to_i64"](float("nan")) == 0
    assert functions[f"sg_{kind}_to_i64"](1e30) == 2**63 - 1
    assert functions[f"sg_{kind}_to_i64"](-1e30) == -(2**63)
