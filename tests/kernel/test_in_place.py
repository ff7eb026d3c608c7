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
