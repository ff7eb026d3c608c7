"""Gates of recurrent cells and gated units: one kernel, all parts of a product in registers."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.executable import Executable
from symgraph.ir.program import RepeatStep
from symgraph.kernel.printer import kernel_text

RNG = np.random.default_rng(11)


def array(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def glu(units: int) -> sg.Symbol:
    z = sg.linear(sg.var("x", ("N", 7)), 2 * units, name="fc")
    return z[:, :units] * sg.sigmoid(z[:, units:])


def check(network: sg.Symbol | sg.Group, params: dict, arrays: list[dict]) -> Executable:
    """Bound and free weights, against the interpreter without optimisation; the bound one."""
    bound = sg.compile(network, params=params, target="llvm", verify=2)
    free = sg.compile(network, target="llvm", verify=2)
    truth = sg.compile(network, params=params, target="interp", level=0)
    for given in arrays:
        expected = truth(**given)
        for got in (bound(**given), free(**given, **params)):
            pairs = zip(got, expected, strict=True) if isinstance(got, tuple) else [(got, expected)]
            for a, b in pairs:
                np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
    return bound


@pytest.mark.parametrize("units", [1, 5, 16, 17, 48])
def test_gated_units(units: int) -> None:
    network = glu(units)
    params = sg.init(network, seed=0)
    f = check(network, params, [{"x": array(n, 7)} for n in (1, 5, 0, 33)])
    assert len(f.program.steps) == 1


@pytest.mark.parametrize("units", [5, 16, 40])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_step_is_one_kernel(cell: str, units: int) -> None:
    x = sg.var("x", ("N", "T", 3))
    build = {"lstm": sg.lstm, "gru": sg.gru, "rnn": sg.rnn}[cell]
    network = build(x, units)[0]
    params = sg.init(network, seed=1)
    params = {k: v + array(*v.shape) * np.float32(0.1) for k, v in params.items()}
    f = check(network, params, [{"x": array(n, 4, 3)} for n in (1, 2, 17, 0)])
    (loop,) = [s for s in f.program.steps if isinstance(s, RepeatStep)]
    assert len(loop.steps) == 1


def test_the_gates_of_a_unit_are_packed_together() -> None:
    network = sg.lstm(sg.var("x", (12, 3, 5)), 32)[0]
    f = sg.compile(network, params=sg.init(network, seed=0), target="llvm", cpu="x86-64-v4")
    (loop,) = [s for s in f.program.steps if isinstance(s, RepeatStep)]
    text = kernel_text(loop.steps[0].kernel)  # type: ignore[union-attr]
    assert "recurrent_weight_packed: f32[2,32,4,16]" in text
    packed = {c.buffer.name: c for c in f.program.constants}["lstm_l0_recurrent_weight_packed"]
    weight = sg.init(network, seed=0)["lstm_l0_recurrent_weight"]
    np.testing.assert_array_equal(packed.array[1, 7, 2], weight[2 * 32 + 16 : 2 * 32 + 32, 7])


def test_the_bits_do_not_depend_on_the_threads() -> None:
    network = sg.lstm(sg.var("x", ("N", "T", 33)), 80)[0]
    params = sg.init(network, seed=2)
    x = array(33, 3, 33)
    a, b = (sg.compile(network, params=params, threads=t)(x=x) for t in (1, 2))
    np.testing.assert_array_equal(a, b)


def test_half_precision_and_double() -> None:
    for dtype, tolerance in (("float64", 1e-12), ("float16", 1e-2)):
        z = sg.linear(sg.var("x", ("N", 7), dtype), 34, name="fc")
        network = z[:, :17] * sg.sigmoid(z[:, 17:])
        params = sg.init(network, seed=0)
        given = RNG.normal(size=(5, 7)).astype(dtype)
        got = sg.compile(network, params=params, target="llvm")(x=given)
        expected = sg.compile(network, params=params, target="interp", level=0)(x=given)
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (5, 37)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_a_gate_and_what_it_lets_through(shape: tuple[int, ...], dtype: str) -> None:
    """One division for both, either way round; narrow floats are rounded between the two."""
    x, y = (sg.var(n, shape, dtype=dtype) for n in "xy")
    gate = sg.sigmoid(x)
    network = sg.group(gate * sg.tanh(y), sg.tanh(x) * sg.sigmoid(y), gate)
    values = [5 * array(*shape).astype(dtype) for _ in range(2)]
    limit = {"float16": 2e-3, "float32": 6e-7, "float64": 1.2e-15}[dtype]
    f = sg.compile(network, target="llvm", cache=None)
    found = f(*values)
    wide = [v.astype(np.longdouble) for v in values]
    gates = [1 / (1 + np.exp(-v)) for v in wide]
    expected = gates[0] * np.tanh(wide[1]), np.tanh(wide[0]) * gates[1], gates[0]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.astype(np.longdouble), b, rtol=limit, atol=limit * 1e-3)


def test_a_gate_and_what_it_lets_through_share_a_division() -> None:
    x, y = (sg.var(n, (5, 37)) for n in "xy")
    both = sg.compile(sg.tanh(y) * sg.sigmoid(x), target="llvm", cache=None)
    apart = sg.compile(sg.tanh(y) + sg.sigmoid(x), target="llvm", cache=None)
    assert both.text.count(" fdiv ") * 2 == apart.text.count(" fdiv ") > 0
