"""Every scalar function, cast and literal on every dtype, against numpy's meaning."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from symgraph.kernel.compute import Compute, compute
from symgraph.kernel.dtypes import ALL, DType, bool_
from symgraph.kernel.functions import FUNCTIONS
from symgraph.kernel.ir import Buffer, Cast, call, const

from .support import assert_close, check, execute, interpret, kernel_of, needs_device

pytestmark = [pytest.mark.opencl, needs_device]

DOMAINS: dict[str, tuple[float, float]] = {
    "log": (0.01, 9.0),
    "log1p": (-0.9, 9.0),
    "sqrt": (0.0, 9.0),
    "asin": (-1.0, 1.0),
    "acos": (-1.0, 1.0),
    "exp": (-9.0, 9.0),
    "expm1": (-9.0, 9.0),
    "tan": (-1.5, 1.5),
}
# numpy refuses these on bool.
NOT_ON_BOOL = {"sub", "neg", "floordiv", "mod", "pow", "abs"}
# The standard allows more for these, on which numpy's own float32 differs as well.
ULPS = {"tan": 8, "pow": 24, "erf": 16, "sigmoid": 8, "atan2": 8, "expm1": 8}


def samples(function: str, dtype: DType, position: int) -> Any:
    rng = np.random.default_rng([len(function), position])
    if dtype.is_bool:
        return np.array([True, True, False, False] if position else [True, False, True, False])
    if dtype.is_integer:
        low, high = int(dtype.lowest), int(dtype.highest)
        edges = [low, high, 0, 1, high // 2, low // 2 + 3]
        small = rng.integers(0 if dtype.kind == "uint" else -9, 9, 13)
        values = [int(v) for v in (*edges, *small)]
        step = 3 if position else 1
        return np.array([values[n * step % 19] for n in range(19)], object).astype(dtype.numpy)
    low_, high_ = DOMAINS.get(function, (-5.0, 5.0))
    if function == "pow" and position == 0:
        low_ = 0.1
    plain = rng.uniform(low_, high_, 19)
    if function in (
        "min",
        "max",
        "lt",
        "le",
        "eq",
        "ne",
        "add",
        "mul",
        "floor",
        "abs",
        "neg",
        "floordiv",
        "mod",
        "round",
        "trunc",
        "ceil",
    ):
        special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 2.5, -2.5]
        plain[: len(special)] = special[::-1] if position else special
    return plain.astype(dtype.numpy)


CASES = [
    (f.name, t)
    for f, t in itertools.product(FUNCTIONS.values(), ALL)
    if not (f.domain == "float" and not t.is_float)
    and not (f.domain == "integer" and not t.is_integer)
    and not (f.name in ("and", "or", "xor", "not") and t.is_float)
    and not (t.is_bool and f.name in NOT_ON_BOOL)
]


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_functions(dtype: DType) -> None:
    """All functions of one dtype in one program, so that the compiler runs once."""
    names = [name for name, kind in CASES if kind == dtype]
    inputs: list[Buffer] = []
    arrays: list[Any] = []
    outputs: list[Compute] = []
    for name in names:
        values = [samples(name, dtype, n) for n in range(FUNCTIONS[name].arity)]
        shape = values[0].shape
        given = [Buffer(f"{name}_{n}", shape, dtype) for n in range(len(values))]
        outputs.append(compute(shape, lambda i, f=name, xs=given: call(f, *(x[i] for x in xs))))
        inputs += given
        arrays += values
    kernel = kernel_of(inputs, *outputs)
    found, expected = execute(kernel, arrays, {}), interpret(kernel, arrays, {})
    for name, a, b in zip(names, found, expected, strict=True):
        try:
            assert_close(a, b, ULPS.get(name, 4))
        except AssertionError as error:
            raise AssertionError(f"{name} on {dtype}: {error}") from None


@pytest.mark.parametrize("source", ALL, ids=str)
def test_casts(source: DType) -> None:
    if source.is_float:
        plain = np.array(
            [
                0.0,
                -0.0,
                0.4,
                -0.6,
                2.5,
                300.7,
                -300.7,
                7e4,
                -4e9,
                5e9,
                3e19,
                -3e19,
                np.nan,
                np.inf,
                -np.inf,
            ]
        )
        with np.errstate(over="ignore"):
            array = plain.astype(source.numpy)
    else:
        array = samples("cast", source, 0)
    x = Buffer("x", array.shape, source)
    targets = [t for t in ALL if t != source]
    kernel = kernel_of([x], *(compute(array.shape, lambda i, t=t: Cast(x[i], t)) for t in targets))
    check(kernel, [array], ulps=0)


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_literals(dtype: DType) -> None:
    if dtype.is_bool:
        values: list[Any] = [True, False]
    elif dtype.is_integer:
        values = [int(dtype.lowest), int(dtype.highest), 0, 1, int(dtype.lowest) + 1]
    else:
        values = [0.1, -0.0, 1.0, float("inf"), float("-inf"), float("nan"), 1e-3, 3e38, 1e10, -7.0]
    kernel = kernel_of([], *(compute((2,), lambda i, v=v: const(v, dtype)) for v in values))
    check(kernel, [], ulps=0)


def test_bool_arithmetic_keeps_to_bool() -> None:
    x = Buffer("x", (4,), bool_)
    kernel = kernel_of([x], compute((4,), lambda i: x[i] + x[i]))
    check(kernel, [np.array([True, False, True, True])])
