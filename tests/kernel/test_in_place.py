"""Which outputs of a kernel may lie over which inputs."""

from __future__ import annotations

import pytest

from symgraph.kernel.compute import compute, placeholder, reduce
from symgraph.kernel.in_place import in_place_pairs, in_place_positions
from symgraph.kernel.ir import Buffer, call
from symgraph.kernel.loops import lower

X = placeholder("x", (5, 7), "float32")
Y = placeholder("y", (5, 7), "float32")
B = placeholder("b", (7,), "float32")


def pairs(*computes, inputs=(X, Y, B)):
    outputs = [(Buffer(f"o{n}", c.shape, c.dtype), c) for n, c in enumerate(computes)]
    kernel = lower("k", inputs, outputs)
    return {(a.name, b.name) for a, b in in_place_pairs(kernel)}, kernel


def test_elementwise_kernels_may_write_over_inputs_of_their_shape() -> None:
    found, kernel = pairs(compute((5, 7), lambda i, j: X[i, j] + B[j] * Y[i, j]))
    assert found == {("x", "o0"), ("y", "o0")}
    assert in_place_positions(kernel) == ((0, 3), (1, 3))


def test_inputs_read_elsewhere_or_again_may_not() -> None:
    shift = compute((5, 7), lambda i, j: X[i, 6 - j])
    square = placeholder("x", (5, 5), "float32")
    assert pairs(shift)[0] == {("y", "o0")}
    flipped = compute((5, 5), lambda i, j: square[j, i])
    assert pairs(flipped, inputs=(square,))[0] == set()


def test_an_input_read_after_an_output_is_written_may_not() -> None:
    one = compute((5, 7), lambda i, j: call("exp", X[i, j]), name="one")
    two = compute((5, 7), lambda i, j: one[i, j] + X[i, j])
    found, _ = pairs(one, two)
    assert ("x", "o0") not in found
    assert ("x", "o1") in found


def test_operands_of_a_sum_may_not_its_epilogue_may() -> None:
    a = placeholder("a", (5, 5), "float32")
    r = placeholder("r", (5, 5), "float32")
    c = compute((5, 5), lambda i, j: reduce("sum", 5, lambda k: a[i, k] * a[k, j]) + r[i, j])
    assert pairs(c, inputs=(a, r))[0] == {("r", "o0")}


@pytest.mark.parametrize(("dtype", "allowed"), [("int32", True), ("float64", False)])
def test_element_sizes_must_agree(dtype, allowed) -> None:
    c = compute((5, 7), lambda i, j: X[i, j].astype(dtype))
    assert (("x", "o0") in pairs(c)[0]) == allowed


def test_loops_that_run_once_make_no_difference() -> None:
    """An index of a single batch is written 0 by some and by its variable by others."""
    x, y = placeholder("x", (1, 5, 7), "float32"), placeholder("y", (5, 1, 7), "float32")
    c = compute((1, 5, 7), lambda n, i, j: x[0, i, j] + y[i, 0, j])
    assert pairs(c, inputs=(x, y))[0] == {("x", "o0"), ("y", "o0")}
    other = compute((1, 5, 7), lambda n, i, j: x[0, 4 - i, j] + y[i, 0, j])
    assert pairs(other, inputs=(x, y))[0] == {("y", "o0")}


def softmax(x, axis):
    """Of three stages: the maximum, the exponentials and their sum, the quotient."""
    rows = tuple(d for n, d in enumerate(x.shape) if n != axis)

    def at(i, r):
        return (*i[:axis], r, *i[axis:])

    def without(i):
        return tuple(v for n, v in enumerate(i) if n != axis)

    extent = x.shape[axis]
    top = compute(rows, lambda *i: reduce("max", extent, lambda r: x[at(i, r)]), name="top")
    e = compute(x.shape, lambda *i: call("exp", x[i] - top[without(i)]), name="e")
    total = compute(rows, lambda *i: reduce("sum", extent, lambda r: e[at(i, r)]), name="total")
    return compute(x.shape, lambda *i: e[i] / total[without(i)])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rows_that_are_read_before_they_are_written_may(axis) -> None:
    x = placeholder("x", (3, 5, 7), "float32")
    assert pairs(softmax(x, axis), inputs=(x,))[0] == {("x", "o0")}


def test_rows_that_others_still_read_may_not() -> None:
    x = placeholder("x", (5, 5), "float32")
    top = compute((5,), lambda i: reduce("max", 5, lambda r: x[r, i]), name="top")
    low = compute((5,), lambda i: reduce("min", 5, lambda r: x[r, i]), name="low")
    y = compute((5, 5), lambda i, j: (top[i] - low[i]) * top[i] * low[i] + x[i, j])
    assert pairs(y, inputs=(x,))[0] == set()


def test_a_row_read_beside_its_writing_may_not() -> None:
    """Nothing forces the neighbour to be read before it is written."""
    x = placeholder("x", (5, 7), "float32")
    top = compute((5,), lambda i: reduce("max", 7, lambda r: x[i, r]), name="top")
    y = compute((5, 7), lambda i, j: x[i, 6 - j] / top[i])
    assert pairs(y, inputs=(x,))[0] == set()
    z = compute((5, 7), lambda i, j: x[i, j] / top[i])
    assert pairs(z, inputs=(x,))[0] == {("x", "o0")}


def test_a_row_that_no_sum_waits_for_may_not() -> None:
    """The intermediate of each element could be made together with the element."""
    x = placeholder("x", (5, 7), "float32")
    heavy = compute(
        (5, 7), lambda i, j: call("exp", call("sin", call("exp", x[i, 6 - j]))), name="heavy"
    )
    y = compute((5, 7), lambda i, j: heavy[i, j] * heavy[i, 6 - j])
    assert pairs(y, inputs=(x,))[0] == set()
