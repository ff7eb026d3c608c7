"""Small kernels for the tests of schedules, and the comparison of what they compute."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from symgraph.kernel import dims, loops
from symgraph.kernel.compute import Compute, compute, placeholder, reduce
from symgraph.kernel.dims import Dim, LoopVar
from symgraph.kernel.ir import Buffer, Expr, For, IndexValue, Kernel, call, const, where
from symgraph.kernel.rewrite import statements
from symgraph.kernel.verify import verify_kernel
from tests.support.kernels import interpret, shape_of


def lowered(name: str, inputs: list[Buffer], result: Compute) -> Kernel:
    out = Buffer("out", result.shape, result.dtype)
    return loops.lower(name, tuple(inputs), ((out, result),))


def exponential(m: Dim, n: Dim, dtype: str = "float32") -> Kernel:
    """out[i,j] = exp(x[i,j])."""
    x = placeholder("x", (m, n), dtype)
    return lowered("exponential", [x], compute((m, n), lambda i, j: call("exp", x[i, j])))


def bias(m: Dim, n: Dim, dtype: str = "float32") -> Kernel:
    """out[i,j] = x[i,j] + b[j]."""
    x, b = placeholder("x", (m, n), dtype), placeholder("b", (n,), dtype)
    return lowered("bias", [x, b], compute((m, n), lambda i, j: x[i, j] + b[j]))


def choices(m: Dim, n: Dim, dtype: str = "float32") -> Kernel:
    """out[i,j] is one of three expressions by i, the first of them one of two by j%2."""
    x = placeholder("x", (dims.ceildiv(n, 2),), dtype)

    def element(i: IndexValue, j: IndexValue) -> Expr:
        v = x[j // 2]
        first = where(call("eq", j % 2, const(0, "int64")), v, -v)
        rest = where(call("eq", i, const(1, "int64")), v + 1.0, v * 2.0)
        return where(call("eq", i, const(0, "int64")), first, rest)

    return lowered("choices", [x], compute((m, n), element))


def total(m: Dim, n: Dim, kind: str = "sum", dtype: str = "float32") -> Kernel:
    """out[i] = sum_j x[i,j]."""
    x = placeholder("x", (m, n), dtype)
    return lowered("total", [x], compute((m,), lambda i: reduce(kind, n, lambda r: x[i, r])))


def product(m: Dim, k: Dim, n: Dim, form: str = "nn", dtype: str = "float32") -> Kernel:
    """out[i,j] = sum_r a[i,r] * b[r,j], with a or b transposed for a "t" in the form."""
    a = placeholder("a", (k, m) if form[0] == "t" else (m, k), dtype)
    b = placeholder("b", (n, k) if form[1] == "t" else (k, n), dtype)

    def term(i: object, j: object, r: object) -> object:
        left = a[r, i] if form[0] == "t" else a[i, r]
        return left * (b[j, r] if form[1] == "t" else b[r, j])

    result = compute((m, n), lambda i, j: reduce("sum", k, lambda r: term(i, j, r)))
    return lowered("product", [a, b], result)


def loop_vars(kernel: Kernel) -> list[LoopVar]:
    """The loop variables, outermost first."""
    return [s.var for s in statements(kernel.body) if isinstance(s, For)]


def random_inputs(kernel: Kernel, env: Mapping[str, int], seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    found = []
    for b in kernel.inputs:
        shape = shape_of(b, env)
        if b.dtype.is_float:
            found.append(random.uniform(-1, 1, shape).astype(b.dtype.numpy))
        else:
            found.append(random.integers(-9, 9, shape).astype(b.dtype.numpy))
    return found


def assert_same(before: Kernel, after: Kernel, env: Mapping[str, int] | None = None) -> None:
    """Both kernels are valid and compute the same."""
    sizes = env or {}
    verify_kernel(after, 2)
    inputs = random_inputs(before, sizes)
    expected = interpret(before, inputs, sizes)
    moved = [a.reshape(shape_of(b, sizes)) for a, b in zip(inputs, after.inputs, strict=True)]
    found = interpret(after, moved, sizes)
    for a, b in zip(expected, found, strict=True):
        if a.dtype.kind in "iub":
            np.testing.assert_array_equal(b.reshape(a.shape), a)
        else:
            np.testing.assert_allclose(b.reshape(a.shape), a, rtol=1e-5, atol=1e-5)
