"""Loops split where an index divides their variable."""

from __future__ import annotations

import numpy as np
import pytest

from symgraph.codegen.interp.evaluate import Evaluator
from symgraph.kernel import dims
from symgraph.kernel.compute import compute, placeholder, reduce
from symgraph.kernel.dims import DimVar
from symgraph.kernel.ir import Buffer, For, Load
from symgraph.kernel.loops import lower
from symgraph.kernel.rewrite import expressions, statements, walk
from symgraph.kernel.verify import verify_kernel

N = DimVar("N")


def grouped(outputs, inputs, each, rows=5, dtype="float32"):
    """y[i,o] = sum over c of x[i, o//each*inputs + c] * w[o,c]."""
    groups = dims.floordiv(outputs, each)
    x = placeholder("x", (rows, dims.mul(groups, inputs)), dtype)
    w = placeholder("w", (outputs, inputs), dtype)

    def element(i, o):
        return reduce("sum", inputs, lambda c: x[i, o // each * inputs + c] * w[o, c])

    y = compute((rows, outputs), element)
    return [x, w], (Buffer("y", y.shape, y.dtype), y)


def atoms(kernel):
    found = []
    for top in expressions(kernel.body):
        for e in walk(top):
            if isinstance(e, Load):
                found += [a for d in e.index for a in dims.atoms(d)]
    return found


def run(inputs, output, arrays, shape):
    kernel = lower("k", inputs, [output])
    verify_kernel(kernel, 2)
    result = np.full(shape, 77, output[0].dtype.numpy)
    Evaluator(kernel, dict(zip([*inputs, output[0]], [*arrays, result], strict=True)), {}).run()
    return kernel, result


@pytest.mark.parametrize(("outputs", "inputs", "each"), [(6, 4, 3), (35, 2, 7), (6, 1, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_indices_become_affine(outputs, inputs, each, dtype) -> None:
    params, output = grouped(outputs, inputs, each, dtype=dtype)
    rng = np.random.default_rng(0)
    x = rng.integers(-5, 6, (5, outputs // each * inputs)).astype(dtype)
    w = rng.integers(-5, 6, (outputs, inputs)).astype(dtype)
    kernel, got = run(params, output, [x, w], (5, outputs))
    parts = [x[:, o // each * inputs :][:, :inputs] @ w[o] for o in range(outputs)]
    np.testing.assert_array_equal(got, np.stack(parts, axis=1))
    assert not any(isinstance(a, (dims.FloorDiv, dims.Mod)) for a in atoms(kernel))


@pytest.mark.parametrize(("outputs", "each"), [(4, 4), (0, 3)])
def test_one_group_or_none(outputs, each) -> None:
    params, output = grouped(outputs, 3, each)
    arrays = [np.ones((5, outputs // each * 3), "f4"), np.ones((outputs, 3), "f4")]
    _, got = run(params, output, arrays, (5, outputs))
    np.testing.assert_array_equal(got, np.full((5, outputs), 3))


def loops(kernel):
    return [s.extent for s in statements(kernel.body) if isinstance(s, For)]


def test_open_groups_are_split_too() -> None:
    params, output = grouped(N * 3, 4, 3)
    kernel = lower("k", params, [output])
    assert loops(kernel) == [5, N, 3, 4]


def test_what_is_left_as_it_is() -> None:
    x = placeholder("x", (5, 7), "float32")
    twice = compute((5, 14), lambda i, j: x[i, j // 2] + 1.0)
    assert loops(lower("k", [x], [(Buffer("y", (5, 14), x.dtype), twice)])) == [5, 14]
    flat = compute((35,), lambda i: reduce("sum", 2, lambda r: x[i // 7, i % 7] * x[i // 7, r]))
    assert loops(lower("k", [x], [(Buffer("y", (35,), x.dtype), flat)])) == [35, 2]
    uneven = compute((11,), lambda i: reduce("sum", 3, lambda r: x[i // 3, r] * x[i // 3, r + 1]))
    assert loops(lower("k", [x], [(Buffer("y", (11,), x.dtype), uneven)])) == [11, 3]
