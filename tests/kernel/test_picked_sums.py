"""Scattered and running reductions visit every term once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from symgraph.codegen.interp.evaluate import Evaluator
from symgraph.kernel import dims
from symgraph.kernel.compute import Compute, call, cast, compute, placeholder, reduce, where
from symgraph.kernel.dims import DimVar
from symgraph.kernel.ir import Buffer, For, Kernel, Stmt, Update, neutral
from symgraph.kernel.loops import lower
from symgraph.kernel.picked_sums import Running, Scattered, picked_terms
from symgraph.kernel.rewrite import statements
from symgraph.kernel.verify import verify_kernel

Array = Any


def scatter(place: Any, x: Any, extent: Any, kind: str = "sum") -> Compute:
    """y[k, j] combines x[r, j] over the r with place[r] == k."""
    rest = neutral(kind, x.dtype).value

    def element(k: Any, j: Any) -> Any:
        def term(r: Any) -> Any:
            return where(call("eq", cast(place[r], "int64"), k), x[r, j], rest)

        return reduce(kind, x.shape[0], term)

    return compute((extent, x.shape[1]), element)


def running(x: Any, reverse: bool = False) -> Compute:
    """y[i, j] = the sum of x[i, r] over r <= j, or over r >= j."""

    def element(i: Any, j: Any) -> Any:
        def term(r: Any) -> Any:
            reached = call("le", j, r) if reverse else call("le", r, j)
            return where(reached, x[i, r], 0)

        return reduce("sum", x.shape[1], term)

    return compute(x.shape, element)


def run(kernel: Kernel, arrays: list[Array], env: dict[str, int] | None = None) -> list[Array]:
    verify_kernel(kernel, 2)
    values = {DimVar(k): v for k, v in (env or {}).items()}
    outputs = [
        np.full([int(dims.evaluate(d, values)) for d in b.shape], 77, b.dtype.numpy)
        for b in kernel.outputs
    ]
    pairs = zip((*kernel.inputs, *kernel.outputs), (*arrays, *outputs), strict=True)
    Evaluator(kernel, dict(pairs), env or {}).run()
    return outputs


def deepest(stmt: Stmt, depth: int = 0) -> int:
    """The most loops around a statement that combines a term."""
    found = 0
    for s in statements(stmt):
        if isinstance(s, For) and any(isinstance(u, Update) for u in statements(s)):
            found += 1
    return found


@pytest.mark.parametrize(
    ("extent", "count"), [(5, 7), (1, 3), (5, 0), (0, 3), (5, 1)], ids=lambda n: str(n)
)
@pytest.mark.parametrize(
    ("kind", "dtype"), [("sum", "float32"), ("sum", "int32"), ("max", "float64")]
)
def test_scatter(extent: int, count: int, kind: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    places = rng.integers(-2, extent + 2, count).astype(np.int32)
    values = rng.integers(-9, 9, (count, 3)).astype(dtype)
    p, x = placeholder("p", (count,), "int32"), placeholder("x", (count, 3), dtype)
    made = scatter(p, x, extent, kind)
    (got,) = run(lower("k", [p, x], [(Buffer("y", made.shape, made.dtype), made)]),
                 [places, values])  # fmt: skip
    want = np.full((extent, 3), neutral(kind, x.dtype).value, dtype)
    for place, row in zip(places, values, strict=True):
        if 0 <= place < extent:
            want[place] = want[place] + row if kind == "sum" else np.maximum(want[place], row)
    np.testing.assert_array_equal(got, want)


def test_scatter_has_no_loop_over_elements_and_terms() -> None:
    p, x = placeholder("p", (7,), "int32"), placeholder("x", (7, 3), "float32")
    made = scatter(p, x, 5)
    assert isinstance(picked_terms(made), Scattered)
    kernel = lower("k", [p, x], [(Buffer("y", made.shape, made.dtype), made)])
    assert deepest(kernel.body) == 2  # columns and terms


def test_scatter_in_half_precision_adds_up_in_float32() -> None:
    p, x = placeholder("p", (4000,), "int32"), placeholder("x", (4000, 1), "float16")
    made = scatter(p, x, 2)
    assert picked_terms(made) is None
    (got,) = run(lower("k", [p, x], [(Buffer("y", made.shape, made.dtype), made)]),
                 [np.ones(4000, np.int32), np.ones((4000, 1), np.float16)])  # fmt: skip
    np.testing.assert_array_equal(got, [[0], [4000]])


def test_scatter_whose_value_depends_on_the_element_stays_a_plain_sum() -> None:
    p, x = placeholder("p", (7,), "int32"), placeholder("x", (7, 5), "float32")

    def element(k: Any) -> Any:
        return reduce("sum", 7, lambda r: where(call("eq", cast(p[r], "int64"), k), x[r, k], 0))

    assert picked_terms(compute((5,), element)) is None


def test_scatter_and_what_is_made_of_it_in_one_kernel() -> None:
    p, x = placeholder("p", (7,), "int32"), placeholder("x", (7, 3), "float32")
    made = scatter(p, x, 5)
    twice = compute(made.shape, lambda k, j: made[k, j] * 2)
    outputs = [(Buffer("y", made.shape, made.dtype), made),
               (Buffer("z", made.shape, made.dtype), twice),
               (Buffer("copy", made.shape, made.dtype), made)]  # fmt: skip
    places = np.array([4, 0, 4, 9, 2, -1, 0], np.int32)
    values = np.arange(21, dtype=np.float32).reshape(7, 3)
    first, second, third = run(lower("k", [p, x], outputs), [places, values])
    want = np.zeros((5, 3), np.float32)
    inside = (places >= 0) & (places < 5)
    np.add.at(want, places[inside], values[inside])
    np.testing.assert_array_equal(first, want)
    np.testing.assert_array_equal(second, 2 * want)
    np.testing.assert_array_equal(third, want)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int32", "float16"])
@pytest.mark.parametrize("shape", [(3, 7), (3, 0), (0, 7), (1, 1), (2, 33)])
def test_running_sum(reverse: bool, dtype: str, shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).integers(-9, 9, shape).astype(dtype)
    x = placeholder("x", shape, dtype)
    made = running(x, reverse)
    kernel = lower("k", [x], [(Buffer("y", made.shape, made.dtype), made)])
    (got,) = run(kernel, [values])
    turned = values[:, ::-1] if reverse else values
    want = np.cumsum(turned, 1, dtype=dtype)
    np.testing.assert_array_equal(got, want[:, ::-1] if reverse else want)


def test_running_sum_of_open_extent_visits_each_term_once() -> None:
    x = placeholder("x", (2, DimVar("N")), "float32")
    made = running(x)
    assert isinstance(picked_terms(made), Running)
    kernel = lower("k", [x], [(Buffer("y", made.shape, made.dtype), made)])
    assert deepest(kernel.body) == 2
    values = np.arange(10, dtype=np.float32).reshape(2, 5)
    (got,) = run(kernel, [values], {"N": 5})
    np.testing.assert_array_equal(got, np.cumsum(values, 1))


def test_a_sum_up_to_another_extent_is_not_a_running_sum() -> None:
    x = placeholder("x", (7,), "float32")

    def element(i: Any) -> Any:
        return reduce("sum", 7, lambda r: where(call("le", r, i), x[r], 0))

    made = compute((5,), element)
    assert picked_terms(made) is None
