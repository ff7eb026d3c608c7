"""Joins are written into and cuts are read where they lie: no copy, the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.target import find_target, target_names
from symgraph.ir.layout import InLayout, Layout
from symgraph.ir.parts import cut_offsets, join_offsets
from symgraph.ir.tensor_type import TensorType
from symgraph.kernel.dtypes import as_dtype
from symgraph.ops.join import Concat, Split
from tests.support.toys import HostDouble

TARGETS = [n for n in target_names() if find_target(n).available() is None]


def random(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def labels(f):
    return [s.label for s in f.program.steps]


def convolutions(x, *names):
    return [
        sg.conv2d(x, 16 + 16 * n, kernel_size=1, name=name, use_bias=False)
        for n, name in enumerate(names)
    ]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("level", [0, 2, 3])
def test_convolutions_write_straight_into_their_join(target: str, level: int) -> None:
    x = sg.var("x", (1, 3, 5, 7))
    a, b = convolutions(x, "a", "b")
    joined = sg.concat([a, b], axis=1, name="joined")
    (c,) = convolutions(joined, "c")
    params = sg.init(c, seed=1)
    f = sg.compile(c, params=params, target=target, level=level, verify=2)
    assert not any("joined" in label for label in labels(f))
    whole = {b.root.name for s in f.program.steps for b in s.writes if not b.is_whole}
    assert whole == {"joined"}
    data = random(1, 3, 5, 7)
    wa, wb, wc = (params[f"{n}_weight"].reshape(-1, params[f"{n}_weight"].shape[1]) for n in "abc")
    hidden = np.concatenate([wa, wb]).astype(np.float64) @ data.reshape(3, 35)
    np.testing.assert_allclose(f(data).reshape(16, 35), wc @ hidden, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", TARGETS)
def test_joins_of_joins_are_one_growing_buffer(target: str) -> None:
    h = sg.var("x", (1, 2, 5, 3))
    for n in range(4):
        new = sg.conv2d(h, 2 + n, kernel_size=1, name=f"new{n}")
        h = sg.concat([sg.tanh(h) if n == 0 else h, new], axis=1, name=f"join{n}")
    y = sg.sum(h, axis=(2, 3))
    params = sg.init(y, seed=3)
    expected = sg.compile(y, params=params, target="interp", level=0)
    f = sg.compile(y, params=params, target=target, level=2, verify=2)
    roots = {b.root for s in f.program.steps for b in s.arguments if not b.is_whole}
    assert [b.name for b in roots] == ["join3"]
    data = random(1, 2, 5, 3)
    np.testing.assert_allclose(f(data), expected(data), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("target", TARGETS)
def test_a_join_that_is_an_output_is_written_in_the_callers_array(target: str) -> None:
    x = sg.var("x", (3, 5))
    w, v = sg.var("w", (5, 7)), sg.var("v", (5, 7))
    f = sg.compile(sg.concat([x @ w, x @ v], axis=0), target=target, verify=2)
    assert f.memory.nbytes == 0
    a, b, c = random(3, 5), random(5, 7, seed=1), random(5, 7, seed=2)
    np.testing.assert_allclose(f(a, b, c), np.concatenate([a @ b, a @ c]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", TARGETS)
def test_what_a_join_cannot_have_written_for_it_is_copied(target: str) -> None:
    """An input, a value used twice, and a value that is an output too."""
    x, w = sg.var("x", (4, 6)), sg.var("w", (6, 6))
    p = sg.matmul(x, w, name="p")
    q = sg.matmul(p, w, name="q")
    y = sg.matmul(sg.concat([p, p, x, q, q @ w, w @ w], axis=0, name="joined"), w)
    f = sg.compile([y, q], target=target, level=1, verify=2)
    copies = [label for label in labels(f) if "joined" in label]
    assert copies == [f"copy joined_part{n}" for n in (1, 2, 3)]
    a, b = random(4, 6), random(6, 6, seed=1)
    p, q = a @ b, a @ b @ b
    got, second = f(a, b)
    np.testing.assert_allclose(
        got, np.concatenate([p, p, a, q, q @ b, b @ b]) @ b, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(second, q, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", TARGETS)
def test_a_host_operator_writes_into_a_join(target: str) -> None:
    x = sg.var("x", (3, 5))
    e = sg.exp(x)
    f = sg.compile(
        sg.concat([HostDouble()(x), HostDouble()(e)], axis=0) * 1.0, target=target, level=0,
        verify=2,
    )  # fmt: skip
    a = random(3, 5)
    np.testing.assert_allclose(f(a), np.concatenate([a * 2, np.exp(a) * 2]), rtol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["float32", "int32", "float64"])
def test_cuts_are_read_where_they_lie(target: str, dtype: str) -> None:
    """Parts of an input and of an intermediate, at level 1, where nothing is fused."""
    x = sg.var("x", (7, 5), dtype)
    low, middle, high = sg.split(x, (2, 3), axis=0)
    double = sg.add(x, x, name="double")
    outputs = [low + low, middle * high[:1], double[4:] * double[1:4]]
    f = sg.compile(outputs, target=target, level=1, verify=2)
    assert not any("split" in label or "slice" in label for label in labels(f))
    a = (random(7, 5) * 9).astype(dtype)
    first, second, third = f(a)
    np.testing.assert_array_equal(first, a[:2] * 2)
    np.testing.assert_array_equal(second, a[2:3] * a[3:4])
    np.testing.assert_array_equal(third, (a + a)[4:] * (a + a)[1:4])


@pytest.mark.parametrize("target", TARGETS)
def test_a_cut_may_depend_on_an_open_extent(target: str) -> None:
    x = sg.var("x", ("N", 3))
    e = sg.matmul(x, sg.var("w", (3, 3)))
    f = sg.compile([sg.sum(e[-2:], axis=0), sg.sum(e[:2])], target=target, level=1, verify=2)
    assert not any("slice" in label for label in labels(f))
    w = random(3, 3, seed=1)
    for n in (2, 5, 17):
        a = random(n, 3)
        last, first = f(a, w)
        np.testing.assert_allclose(last, (a @ w)[-2:].sum(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(first, (a @ w)[:2].sum(), rtol=1e-4, atol=1e-5)


def test_a_cut_that_is_an_output_is_copied_out() -> None:
    x = sg.var("x", (4, 3))
    f = sg.compile([x[1:3], x[:2] * 2.0], target="interp", level=1, verify=2)
    a = random(4, 3)
    got, other = f(a)
    a0 = a.copy()
    a[:] = 0
    np.testing.assert_array_equal(got, a0[1:3])
    np.testing.assert_array_equal(other, a0[:2] * 2)


def test_an_update_that_is_a_join_is_written_in_place() -> None:
    s, x, w = sg.var("s", (4, 3)), sg.var("x", (2, 3)), sg.var("w", (3, 3))
    new = sg.concat([x @ w, (x * 2.0) @ w], axis=0)
    f = sg.compile(sg.sum(s), updates={"s": new}, target="interp", level=1, verify=2)
    assert not any(label.startswith("copy") for label in labels(f))
    a, b, c = random(4, 3), random(2, 3, seed=1), random(3, 3, seed=2)
    before = a.sum(dtype=np.float64)
    np.testing.assert_allclose(f(s=a, x=b, w=c), before, rtol=1e-5)
    np.testing.assert_allclose(a, np.concatenate([b @ c, b @ c * 2]), rtol=1e-4, atol=1e-6)


def test_elementwise_parts_that_readers_can_take_in_are_not_stored() -> None:
    """A join of cheap values stays inside one kernel."""
    x = sg.var("x", (1, 8, 4))
    f = sg.compile(sg.concat([sg.relu(x), -x], axis=1) * 2.0, target="interp", verify=2)
    assert len(f.program.steps) == 1


def test_where_joined_and_cut_tensors_lie() -> None:
    def offsets(shapes, axis):
        parts = [sg.var(f"x{n}", s, "float32") for n, s in enumerate(shapes)]
        return join_offsets(sg.concat(parts, axis).node)

    assert offsets([(2, 3), (5, 3)], 0) == (0, 24)
    assert offsets([(1, 2, 3), (1, 5, 3)], 1) == (0, 24)
    assert offsets([(1, 2, 3), (1, 5, 3), (1, 1, 3)], -2) == (0, 24, 84)
    assert offsets([(2, 2, 3), (2, 5, 3)], 1) is None
    assert offsets([("N", 3), (5, 3)], 0) is None
    assert join_offsets((sg.var("a", (2,), "float32") + 1.0).node) is None

    def cuts(x, parts, axis):
        return cut_offsets(sg.split(x, parts, axis)[0].node)

    x = sg.var("x", (6, 4, 5), "float32")
    assert cuts(x, 3, 0) == (0, 160, 320)
    assert cuts(x, 2, 1) is None
    assert cuts(sg.var("x", (1, 4, 5), "float32"), (1, 3), 1) == (0, 20, 60)
    assert cut_offsets(x[2:3, 1:3].node) == (180,)
    assert cut_offsets(x[2:4, 1:3].node) is None
    assert cut_offsets(x[2:3, 1:2, 3:].node) == (192,)
    assert cut_offsets(x[::2].node) is None
    assert cut_offsets(x[1:1].node) == (0,)
    assert str(cut_offsets(sg.var("x", ("N", 4), "float32")[-2:].node)[0]) == "16*max(0, N-2)"


def test_blocks_of_channels_are_joined_and_cut_whole() -> None:
    blocked = Layout(((1, 16),))
    kind = as_dtype("float32")
    types = [TensorType((1, 2, 5, 7, 16), kind), TensorType((1, 1, 5, 7, 16), kind)]
    op = InLayout(Concat(axis=1), (blocked, blocked), (blocked,))
    assert op.joined_axis(types) == 1
    assert InLayout(Concat(axis=-1), (blocked, blocked), (blocked,)).joined_axis(types) == 3
    assert InLayout(Concat(axis=1), (blocked, None), (blocked,)).joined_axis(types) is None
    cut = InLayout(Split(parts=(16,), axis=1), (blocked,), (blocked, blocked))
    assert cut.cut_starts(types[:1]) == ((0, 0, 0, 0, 0), (0, 1, 0, 0, 0))
    odd = InLayout(Split(parts=(8,), axis=1), (blocked,), (blocked, blocked))
    assert odd.cut_starts(types[:1]) is None
