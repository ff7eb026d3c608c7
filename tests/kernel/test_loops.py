"""From computations to loops: what is inlined, which stages stay, which loops they share."""

from __future__ import annotations

import numpy as np
import pytest

from symgraph.codegen.interp.evaluate import Evaluator
from symgraph.kernel.compute import compute, placeholder, reduce
from symgraph.kernel.dims import DimVar
from symgraph.kernel.ir import Buffer, call, where
from symgraph.kernel.loops import lower, plan_stages
from symgraph.kernel.printer import kernel_text
from symgraph.kernel.verify import verify_kernel

N = DimVar("N")


def out(c, name="out"):
    return (Buffer(name, c.shape, c.dtype), c)


def check(inputs, outputs, arrays, expected, **sizes):
    """Lower, verify at the highest level, interpret, compare."""
    kernel = lower("k", inputs, outputs)
    verify_kernel(kernel, 2)
    results = [np.empty(np.shape(e), b.dtype.numpy) for (b, _), e in
               zip(outputs, expected, strict=True)]  # fmt: skip
    buffers = [*inputs, *(b for b, _ in outputs)]
    Evaluator(kernel, dict(zip(buffers, [*arrays, *results], strict=True)), sizes).run()
    for got, want in zip(results, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    return kernel_text(kernel)


def floats(*shape, dtype="float32"):
    return np.random.default_rng(2).uniform(-1, 1, shape).astype(dtype)


def exp(t, name="e"):
    return compute(t.shape, lambda *i: call("exp", t[i]), name=name)


def row_sum(t, name="s"):
    return compute(t.shape[:-1], lambda *i: reduce("sum", t.shape[-1], lambda r: t[(*i, r)]),
                   name=name)  # fmt: skip


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (17, 33)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_chain_is_one_stage(shape, dtype) -> None:
    x = placeholder("x", shape, dtype)
    y = exp(compute(shape, lambda *i: x[i] * 2))
    a = floats(*shape, dtype=dtype)
    text = check([x], [out(y)], [a], [np.exp(2 * a)])
    assert "alloc" not in text


def test_a_costly_value_read_by_two_stages_is_kept_a_cheap_one_is_not() -> None:
    x = placeholder("x", (N, 33), "float32")
    for make, staged in ((exp, True), (lambda t: compute(t.shape, lambda *i: t[i] * 2), False)):
        v = make(x)
        total = row_sum(v)
        y = compute((N, 33), lambda i, j, v=v, total=total: v[i, j] / total[i])
        plan = plan_stages([out(y)])
        assert len(plan.stages) == (3 if staged else 2)
        assert plan.scratch_shapes == (((33,), ()) if staged else ((),))
        a = floats(7, 33)
        b = np.exp(a) if staged else 2 * a
        check([x], [out(y)], [a], [b / b.sum(1, keepdims=True)], N=7)


def test_rows_share_their_outer_loop() -> None:
    x = placeholder("x", (2, N, 5), "float32")
    e = exp(x)
    s = row_sum(e)
    y = compute(x.shape, lambda i, j, k: e[i, j, k] / s[i, j])
    plan = plan_stages([out(y)])
    assert plan.outer_extents == (2, N)
    a = np.exp(floats(2, 3, 5))
    text = check([x], [out(y)], [floats(2, 3, 5)], [a / a.sum(-1, keepdims=True)], N=3)
    assert text.count("parallel i < 2") == 1


def test_axes_of_one_element_do_not_hide_shared_loops() -> None:
    x = placeholder("x", (N, 5), "float32")
    s = compute((N, 1), lambda i, j: reduce("max", 5, lambda r: x[i, r]))
    e = compute((N, 5), lambda i, j: call("exp", x[i, j] - s[i, 0]))
    t = compute((N, 1), lambda i, j: reduce("sum", 5, lambda r: e[i, r]))
    y = compute((N, 5), lambda i, j: e[i, j] / t[i, 0])
    plan = plan_stages([out(y)])
    assert plan.outer_extents == (N,)
    a = floats(3, 5)
    b = np.exp(a - a.max(1, keepdims=True))
    check([x], [out(y)], [a], [b / b.sum(1, keepdims=True)], N=3)


def test_a_costly_value_is_not_computed_again_for_every_row_it_is_spread_over() -> None:
    v, x = placeholder("v", (5,), "float32"), placeholder("x", (N, 5), "float32")
    e = exp(v)
    y = compute((N, 5), lambda i, j: x[i, j] * e[j])
    assert len(plan_stages([out(y)]).stages) == 2
    cheap = compute((5,), lambda j: v[j] * 2)
    z = compute((N, 5), lambda i, j: x[i, j] * cheap[j])
    assert len(plan_stages([out(z)]).stages) == 1
    a, b = floats(5), floats(3, 5)
    check([v, x], [out(y)], [a, b], [b * np.exp(a)], N=3)


def test_a_costly_value_in_windows_that_do_not_overlap_is_inlined() -> None:
    x = placeholder("x", (6,), "float32")
    e = exp(x)

    def pool(size, step, count):
        return compute((count,), lambda i: reduce("max", size, lambda r: e[i * step + r]))

    assert len(plan_stages([out(pool(2, 2, 3))]).stages) == 1
    assert len(plan_stages([out(pool(3, 1, 4))]).stages) == 2
    a = floats(6)
    check([x], [out(pool(3, 1, 4))], [a],
          [np.exp([a[i : i + 3].max() for i in range(4)])])  # fmt: skip


def test_an_epilogue_stays_with_its_reduction() -> None:
    a, b = placeholder("a", (N, 7), "float32"), placeholder("b", (7, 5), "float32")
    c = compute((N, 5), lambda i, j: reduce("sum", 7, lambda r: a[i, r] * b[r, j]))
    y = compute((5, N), lambda j, i: call("tanh", c[i, j]) + 1)
    assert len(plan_stages([out(y)]).stages) == 1
    p, q = floats(3, 7), floats(7, 5)
    text = check([a, b], [out(y)], [p, q], [np.tanh(p @ q).T + 1], N=3)
    assert text.count("serial") == 1


def test_a_reduction_read_at_two_places_is_computed_once() -> None:
    x = placeholder("x", (4, 5), "float32")
    s = row_sum(x)
    y = compute((3,), lambda i: s[i] + s[i + 1])
    assert len(plan_stages([out(y)]).stages) == 2
    a = floats(4, 5).sum(1)
    check([x], [out(y)], [floats(4, 5)], [a[:3] + a[1:]])


def test_an_output_that_others_read_is_not_read_back_from_memory() -> None:
    a, b = placeholder("a", (17, 7), "float32"), placeholder("b", (7, 5), "float32")
    c = compute((17, 5), lambda i, j: reduce("sum", 7, lambda r: a[i, r] * b[r, j]), name="c")
    y = compute((17, 5), lambda i, j: where(c[i, j] > 0, c[i, j], 0.0))
    p, q = floats(17, 7), floats(7, 5)
    text = check([a, b], [out(c, "raw"), out(y)], [p, q], [p @ q, np.maximum(p @ q, 0)])
    assert "= raw[" not in text
    assert text.count("serial") == 1


def test_outputs_of_other_shapes_share_what_they_can() -> None:
    x = placeholder("x", (N, 5), "float32")
    e = exp(x)
    s = row_sum(e)
    plan = plan_stages([out(e, "e"), out(s)])
    assert plan.outer_extents == (N,)
    a = np.exp(floats(3, 5))
    check([x], [out(e, "e"), out(s)], [floats(3, 5)], [a, a.sum(1)], N=3)


def test_stages_that_shift_rows_share_no_loop() -> None:
    x = placeholder("x", (6,), "float32")
    e = exp(x)
    y = compute((5,), lambda i: e[i] - e[i + 1])
    plan = plan_stages([out(y)])
    assert plan.outer_extents == ()
    a = np.exp(floats(6))
    check([x], [out(y)], [floats(6)], [a[:-1] - a[1:]])


def test_one_output_may_be_written_to_two_buffers() -> None:
    x = placeholder("x", (3,), "float32")
    e = exp(x)
    a = floats(3)
    check([x], [out(e, "p"), out(e, "q")], [a], [np.exp(a), np.exp(a)])


def test_data_dependent_reads_go_through_inlining() -> None:
    x, k = placeholder("x", (7,), "float32"), placeholder("k", (3,), "int32")
    double = compute((7,), lambda i: x[i] * 2)
    shifted = compute((3,), lambda i: k[i] + 1)
    y = compute((3,), lambda i: double[shifted[i]])
    a = floats(7)
    check([x, k], [out(y)], [a, np.array([0, 5, 9], np.int32)], [2 * a[[1, 6, 6]]])


def test_deep_chains_need_no_recursion_and_linear_time() -> None:
    x = placeholder("x", (3,), "float32")
    t = x
    for _ in range(400):
        t = compute((3,), lambda i, t=t: t[i] + 1)
    plan = plan_stages([out(t)])
    assert len(plan.stages) == 1
    kernel = lower("k", [x], [out(t)])
    a = floats(3)
    result = np.empty(3, np.float32)
    Evaluator(kernel, {x: a, kernel.outputs[0]: result}, {}).run()
    np.testing.assert_allclose(result, a + 400, rtol=1e-5)


def test_diamonds_are_computed_once_for_each_value() -> None:
    x = placeholder("x", (3,), "float32")
    t = x
    for _ in range(60):
        t = compute((3,), lambda i, t=t: t[i] * t[i])
    kernel = lower("k", [x], [out(t)])
    verify_kernel(kernel, 2)
    assert len(kernel_text(kernel)) < 10_000
    result = np.empty(3, np.float32)
    Evaluator(kernel, {x: np.ones(3, np.float32), kernel.outputs[0]: result}, {}).run()
    assert result.tolist() == [1.0] * 3


def depth_of_sums(text: str) -> int:
    """How deep the summed loops of a kernel's text lie in each other."""
    depth, open_loops = 0, []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        open_loops = [n for n in open_loops if n < indent]
        if line.strip().startswith("serial"):
            open_loops.append(indent)
            depth = max(depth, len(open_loops))
    return depth


@pytest.mark.parametrize("shape", [(0, 1), (1, 7), (5, 17)])
def test_a_reduction_inside_another_is_done_before_it_where_it_is_the_same_for_all(shape) -> None:
    x = placeholder("x", shape, "float32")
    y = compute(
        shape[:1],
        lambda i: reduce(
            "sum", shape[1], lambda r: x[i, r] * reduce("max", shape[1], lambda s: x[i, s])
        ),
    )
    a = floats(*shape)
    text = check([x], [out(y)], [a], [(a * a.max(axis=1, keepdims=True)).sum(axis=1)])
    assert depth_of_sums(text) == 1


def test_a_reduction_that_moves_with_the_one_around_it_stays_inside() -> None:
    x = placeholder("x", (3, 5, 7), "float64")
    y = compute(
        (3,),
        lambda i: reduce(
            "sum", 5, lambda r: reduce("max", 7, lambda s: x[i, r, s]) * reduce(
                "min", 7, lambda s: x[i, 0, s])
        ),
    )  # fmt: skip
    a = floats(3, 5, 7, dtype="float64")
    text = check([x], [out(y)], [a], [a.max(axis=2).sum(axis=1) * a[:, 0].min(axis=1)])
    assert depth_of_sums(text) == 2
    before = text[: text.index("max=")]
    assert "min=" in before, "the least element is the same for all terms"


@pytest.mark.parametrize("rows", [1, 3])
def test_products_of_half_precision_are_exact_in_their_sum(rows) -> None:
    """Rounded to float16, (1+e)*(1-e) = 1-e*e would be 1."""
    x, y = placeholder("x", (rows, 2), "float16"), placeholder("y", (rows, 2), "float16")
    c = compute((rows,), lambda i: reduce("sum", 2, lambda j: x[i, j] * y[i, j]))
    e = 2.0**-6
    a = np.array([[1 + e, -1]] * rows, "float16")
    b = np.array([[1 - e, 1]] * rows, "float16")
    text = check([x, y], [out(c)], [a, b], [np.full(rows, -e * e, "float16")])
    assert "add= f32(x[i,r]) * f32(y[i,r])" in text


def test_other_values_are_rounded_before_they_are_summed() -> None:
    x = placeholder("x", (3, 5), "float16")
    c = compute((3,), lambda i: reduce("sum", 5, lambda j: call("exp", x[i, j])))
    assert "add= f32(exp(x[i,r]))" in kernel_text(lower("k", [x], [out(c)]))
    ints = placeholder("n", (3, 5), "int32")
    c = compute((3,), lambda i: reduce("sum", 5, lambda j: ints[i, j] * ints[i, j]))
    assert "f32" not in kernel_text(lower("k", [ints], [out(c)]))
