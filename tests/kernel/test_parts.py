"""Sums that are read in equal parts get an axis of parts."""

from __future__ import annotations

import numpy as np

from symgraph.codegen.interp.evaluate import Evaluator
from symgraph.kernel import loops
from symgraph.kernel.compute import Compute, compute, placeholder, reduce
from symgraph.kernel.ir import Buffer, call
from symgraph.kernel.parts import split_parts

X, W = placeholder("x", (3, 7), "float32"), placeholder("w", (10, 7), "float32")


def product() -> Compute:
    return compute((3, 10), lambda i, j: reduce("sum", 7, lambda r: X[i, r] * W[j, r]), name="z")


def evaluated(result: Compute) -> np.ndarray:
    out = Buffer("y", result.shape, result.dtype)
    kernel = loops.lower("k", (X, W), ((out, result),))
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=s).astype(np.float32) for s in ((3, 7), (10, 7)))
    y = np.zeros(tuple(int(d) for d in result.shape), np.float32)  # type: ignore[call-overload]
    Evaluator(kernel, {X: x, W: w, out: y}, {}).run()
    return y


def gated() -> Compute:
    z = product()
    return compute((3, 5), lambda i, j: z[i, j] * call("sigmoid", z[i, j + 5]), name="y")


def test_parts_become_an_axis() -> None:
    (result,) = split_parts([gated()])
    shapes = {load.tensor.shape for load in _loads(result)}
    assert shapes == {(3, 2, 5)}
    plan = loops.plan_stages([(Buffer("y", (3, 5), result.dtype), gated())])
    assert plan.outer_extents == (3, 5) and plan.scratch_shapes == ((2,),)


def test_the_numbers_stay() -> None:
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=s).astype(np.float32) for s in ((3, 7), (10, 7)))
    z = x @ w.T
    expected = z[:, :5] / (1 + np.exp(-z[:, 5:]))
    np.testing.assert_allclose(evaluated(gated()), expected, rtol=1e-5)


def test_other_ways_of_reading_are_left_alone() -> None:
    z = product()
    uneven = compute((3, 5), lambda i, j: z[i, j] * z[i, j + 4], name="y")
    (same,) = split_parts([uneven])
    assert same is uneven
    half = compute((3, 5), lambda i, j: z[i, j] * 2.0, name="y")
    assert split_parts([half]) == (half,)
    plain = compute((3, 10), lambda i, j: X[i, 0] * W[j, 0], name="p")
    no_sum = compute((3, 5), lambda i, j: plain[i, j] * plain[i, j + 5], name="y")
    assert split_parts([no_sum]) == (no_sum,)


def _loads(result: Compute):  # type: ignore[no-untyped-def]
    from symgraph.kernel.rewrite import loads

    return loads(result.body)
