"""Results written into the middle of larger buffers."""

from __future__ import annotations

import numpy as np
import pytest

from symgraph.codegen.interp.evaluate import Evaluator
from symgraph.kernel.compute import all_of, compute, placeholder, reduce
from symgraph.kernel.dims import DimVar
from symgraph.kernel.ir import (
    Buffer,
    IndexValue,
    Kernel,
    Load,
    Select,
    Store,
    Update,
    const,
    where,
)
from symgraph.kernel.loops import lower, plan_stages
from symgraph.kernel.placement import find_placement
from symgraph.kernel.rewrite import StmtRewriter, expressions, statements, walk
from symgraph.kernel.verify import verify_kernel

N = DimVar("N")


def padded(t, *pairs, value=0.0, skip=()):
    """`t` inside a border; conditions whose number is in `skip` are left out."""

    def element(*i):
        conditions, index = [], []
        for axis, (before, after) in zip(i, pairs, strict=True):
            place = axis - before
            extent = t.shape[len(index)]
            if before:
                conditions.append(place >= 0)
            if after:
                conditions.append(place < IndexValue(extent))
            index.append(place)
        kept = [c for n, c in enumerate(conditions) if n not in skip]
        return where(all_of(*kept), t[tuple(index)], const(value, t.dtype))

    shape = tuple(d + sum(p) for d, p in zip(t.shape, pairs, strict=True))
    return compute(shape, element)


def run(inputs, outputs, arrays, shapes, **sizes):
    """The arrays that a lowered kernel makes, verified, and how often it wrote each element."""
    kernel = lower("k", inputs, outputs)
    verify_kernel(kernel, 2)
    results = [np.full(s, 77, b.dtype.numpy) for s, (b, _) in zip(shapes, outputs, strict=True)]
    buffers = [*inputs, *(b for b, _ in outputs)]
    Evaluator(kernel, dict(zip(buffers, [*arrays, *results], strict=True)), sizes).run()
    return kernel, results


def writes(kernel, buffer, shape, arrays, **sizes):
    """How often each element of a buffer is written: every store adds one."""

    class Count(StmtRewriter):
        def stmt(self, stmt):
            new = super().stmt(stmt)
            if isinstance(new, Store) and new.buffer is buffer:
                return Update(buffer, new.index, "add", const(1, buffer.dtype))
            return new

    counted = Kernel("k", kernel.inputs, kernel.outputs, kernel.dims, Count().stmt(kernel.body))
    count = np.zeros(shape, buffer.dtype.numpy)
    Evaluator(counted, {**arrays, buffer: count}, sizes).run()
    return count


CASES = [
    ((5,), ((1, 2),)),
    ((3, 5), ((1, 2), (0, 3))),
    ((2, 3, 5, 7), ((0, 0), (0, 0), (1, 2), (3, 0))),
    ((2, 3, 1), ((0, 0), (2, 0), (1, 1))),
    ((0, 3), ((1, 2), (0, 1))),
    ((2, 0), ((0, 0), (1, 2))),
]


@pytest.mark.parametrize(("shape", "pairs"), CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_every_element_is_written_once(shape, pairs, dtype) -> None:
    x = placeholder("x", shape, dtype)
    y = padded(compute(shape, lambda *i: x[i] * 2), *pairs, value=3)
    a = np.random.default_rng(0).integers(-9, 9, shape).astype(dtype)
    buffer = Buffer("y", y.shape, y.dtype)
    kernel, (got,) = run([x], [(buffer, y)], [a], [y.shape])
    np.testing.assert_array_equal(got, np.pad(a * 2, pairs, constant_values=3))
    assert not any(isinstance(e, Select) for top in expressions(kernel.body) for e in walk(top))
    assert (writes(kernel, buffer, y.shape, {x: a}) == 1).all()


def test_open_extents() -> None:
    x = placeholder("x", (N, 3), "float32")
    y = padded(compute((N, 3), lambda *i: x[i] + 1.0), (1, 0), (2, 1), value=-1.0)
    a = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    _, (got,) = run([x], [(Buffer("y", y.shape, y.dtype), y)], [a], [(6, 6)], N=5)
    np.testing.assert_array_equal(got, np.pad(a + 1, ((1, 0), (2, 1)), constant_values=-1))


def test_a_sum_goes_straight_into_the_middle() -> None:
    a, b = placeholder("a", (5, 7), "float32"), placeholder("b", (7, 3), "float32")
    c = compute((5, 3), lambda i, j: reduce("sum", 7, lambda r: a[i, r] * b[r, j]))
    y = padded(c, (1, 1), (0, 2))
    rng = np.random.default_rng(0)
    p, q = rng.normal(size=(5, 7)).astype("f4"), rng.normal(size=(7, 3)).astype("f4")
    outputs = [(Buffer("y", y.shape, y.dtype), y)]
    assert len(plan_stages(outputs).stages) == 1
    _, (got,) = run([a, b], outputs, [p, q], [(7, 5)])
    np.testing.assert_allclose(got, np.pad(p @ q, ((1, 1), (0, 2))), rtol=1e-5, atol=1e-6)


def test_bare_and_padded_at_once_and_a_reader_of_the_padded_one() -> None:
    x = placeholder("x", (4, 6), "float32")
    bare = compute(
        (4, 6), lambda i, j: reduce("sum", 3, lambda r: x[i, j] * (r + 1).astype("float32"))
    )
    wide = padded(bare, (0, 0), (1, 1), value=0.5)
    row = compute((4,), lambda i: reduce("sum", 8, lambda r: wide[i, r]))
    outputs = [(Buffer(n, t.shape, t.dtype), t) for n, t in (("b", bare), ("w", wide), ("r", row))]
    a = np.random.default_rng(2).normal(size=(4, 6)).astype(np.float32)
    _, results = run([x], outputs, [a], [(4, 6), (4, 8), (4,)])
    expected = np.pad(a * 6, ((0, 0), (1, 1)), constant_values=0.5)
    for got, want in zip(results, (a * 6, expected, expected.sum(axis=1)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_what_is_not_a_border() -> None:
    x = placeholder("x", (5, 7), "float32")
    assert find_placement(padded(x, (1, 1), (0, 2))) is not None
    for number in range(3):
        loose = padded(x, (1, 1), (0, 2), skip=(number,))
        assert find_placement(loose) is None, "reads outside x where the condition is missing"
    turned = compute((6, 7), lambda i, j: where(j >= 1, x[i - 1, j - 1], 0.0))
    assert find_placement(turned) is None
    other = compute((6, 7), lambda i, j: where(i >= 1, x[i - 1, j], x[0, j]))
    assert find_placement(other) is None, "the border is not one number"
    narrow = compute((4, 7), lambda i, j: where(i >= 2, x[i - 1, j], 0.0))
    assert find_placement(narrow) is None, "cuts off"
    more = compute((6, 7), lambda i, j: where((i >= 1) & (i < 3), x[i - 1, j], 0.0))
    assert find_placement(more) is None, "the condition leaves out more"
    small = compute((2, 7), lambda i, j: where(i >= 1, x[i - 1, j], 0.0))
    assert find_placement(small) is None


def test_a_border_is_filled_without_reading() -> None:
    x = placeholder("x", (3, 5), "float32")
    y = padded(compute((3, 5), lambda *i: x[i] * 2), (1, 1), (1, 1))
    kernel = lower("k", [x], [(Buffer("y", y.shape, y.dtype), y)])
    stores = [s for s in statements(kernel.body) if isinstance(s, Store)]
    reading = [s for s in stores if any(isinstance(e, Load) for e in walk(s.value))]
    assert len(stores) == 5 and len(reading) == 1
