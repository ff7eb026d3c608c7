"""Constants in the order in which kernels read them."""

import numpy as np
import pytest

import symgraph as sg


def network(units=33, dtype="float32"):
    x = sg.var("x", ("N", 17), dtype=dtype)
    return sg.linear(sg.relu(sg.linear(x, units, name="fc1")), 5, name="fc2")


def rows(count, dtype="float32"):
    return np.random.default_rng(3).uniform(-1, 1, (count, 17)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [0, 1, 3, 29])
def test_open_and_fixed_batches(count, dtype):
    y = network(dtype=dtype)
    params = sg.init(y, seed=1)
    x = rows(count, dtype)
    expected = sg.compile(y, params=params, target="interp")(x)
    for shapes in ({}, {"x": (count, 17)}):
        f = sg.compile(y, params=params, target="llvm", threads=1, shapes=shapes)
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(f(x), expected, rtol=tolerance, atol=tolerance)


def test_constants_are_packed_once_and_the_old_order_dropped():
    y = network()
    params = sg.init(y, seed=1)
    program = sg.compile(y, params=params, target="llvm", threads=1, shapes={"x": (1, 17)}).program
    packed = {c.buffer.source: c for c in program.constants if c.packing is not None}
    assert "fc1_weight" in packed
    assert packed["fc1_weight"].original == (33, 17)
    again = packed["fc1_weight"].packing.apply(params["fc1_weight"])
    assert (packed["fc1_weight"].array == again).all()
    names = [c.buffer.name for c in program.constants]
    assert "fc1_weight" not in names
    assert not any("packed" in str(k.body) and "local" in str(k.body) for k in program.kernels)


def test_inputs_stay_in_their_order():
    y = network()
    params = sg.init(y, seed=1)
    f = sg.compile(y, target="llvm", threads=1)
    assert not any(k.packings for k in f.program.kernels)
    x = rows(3)
    expected = sg.compile(y, params=params, target="interp")(x)
    np.testing.assert_allclose(f(x=x, **params), expected, rtol=1e-5, atol=1e-5)


def test_packing_can_be_left_out():
    y = network()
    params = sg.init(y, seed=1)
    f = sg.compile(y, params=params, target="llvm", threads=1, disable=("pack_constants",))
    assert not any(k.packings for k in f.program.kernels)


def test_one_constant_read_in_two_ways():
    x = sg.var("x", ("N", 17))
    w = sg.var("w", (17, 17))
    y = sg.matmul(sg.matmul(x, w), w.T)
    params = {"w": np.random.default_rng(0).uniform(-1, 1, (17, 17)).astype(np.float32)}
    f = sg.compile(y, params=params, target="llvm", threads=1)
    given = rows(4)
    expected = given @ params["w"] @ params["w"].T
    np.testing.assert_allclose(f(given), expected, rtol=1e-5, atol=1e-5)
