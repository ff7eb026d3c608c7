"""The loop operator: what it computes, its types in every direction, its errors, its gradient."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import AttributeValueError, DTypeError, InputError, ShapeError
from symgraph.ir.scan import Scan

RNG = np.random.default_rng(7)


def array(*shape: int, dtype: str = "float32") -> np.ndarray:
    return RNG.normal(size=shape).astype(dtype)


def decaying(x: sg.Symbol, h: sg.Symbol) -> tuple[sg.Symbol, sg.Symbol]:
    after = h * 0.5 + x
    return after, sg.square(after)


def decayed(x: np.ndarray, h: np.ndarray, reverse: bool = False) -> tuple[np.ndarray, np.ndarray]:
    results = np.zeros_like(x)
    for t in range(len(x))[:: -1 if reverse else 1]:
        h = h * np.asarray(0.5, x.dtype) + x[t]
        results[t] = h * h
    return h, results


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("level", [0, 2])
def test_one_executable_runs_any_number_of_steps(reverse: bool, level: int) -> None:
    last, ys = sg.scan(decaying, sg.var("x", ("T", "N", 3)), sg.var("h", ("N", 3)), reverse=reverse)
    f = sg.compile(sg.group(last, ys), target="interp", level=level, verify=2)
    for steps, n in ((5, 2), (1, 4), (0, 2), (2, 0), (7, 17)):
        x, h = array(steps, n, 3), array(n, 3)
        for got, expected in zip(f(x=x, h=h), decayed(x, h, reverse), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_scalars_and_integers_are_carried() -> None:
    x = sg.var("x", ("T",), "int32")
    start = sg.var("start", (), "int32")
    (count, most), sums = sg.scan(
        lambda x, n, most: ((n + x, sg.maximum(most, x)), n), x, (start, start)
    )
    f = sg.compile(sg.group(count, most, sums), target="interp")
    values = np.array([3, 1, 4, 1, 5], np.int32)
    got = f(x=values, start=np.int32(2).reshape(()))
    assert [int(got[0]), int(got[1])] == [16, 5]
    np.testing.assert_array_equal(got[2], [2, 5, 6, 10, 11])


def test_steps_lie_along_any_axis() -> None:
    last, ys = sg.scan(decaying, sg.var("x", ("N", "T", 3)), sg.var("h", ("N", 3)), axis=1)
    f = sg.compile(sg.group(last, ys), target="interp")
    x, h = array(2, 5, 3), array(2, 3)
    expected = decayed(x.swapaxes(0, 1), h)
    got = f(x=x, h=h)
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(got[1], expected[1].swapaxes(0, 1), rtol=1e-6)


def test_without_sequences_length_tells_the_steps() -> None:
    h = sg.var("h", (2,), "float64")
    last, none = sg.scan(lambda h: (h * 2.0, None), (), h, length=5)
    assert none is None
    f = sg.compile(last, target="interp")
    np.testing.assert_array_equal(f(h=np.ones(2)), np.full(2, 32.0))
    with pytest.raises(AttributeValueError, match="without a sequence.*give length="):
        sg.scan(lambda h: (h * 2.0, None), (), h)


def test_loops_in_loops() -> None:
    x, h = sg.var("x", ("T", "S", 3)), sg.var("h", (3,))

    def outer(rows: sg.Symbol, h: sg.Symbol) -> tuple[sg.Symbol, sg.Symbol]:
        last, inner = sg.scan(decaying, rows, h)
        return last, sg.concat([inner, sg.expand_dims(last, 0)], axis=0)

    last, ys = sg.scan(outer, x, h)
    for level in (0, 2):
        f = sg.compile(sg.group(last, ys), target="interp", level=level, verify=2)
        xs, hs = array(4, 2, 3), array(3)
        state, rows = hs, []
        for block in xs:
            state, inner = decayed(block, state)
            rows.append(np.concatenate([inner, state[None]]))
        got = f(x=xs, h=hs)
        np.testing.assert_allclose(got[0], state, rtol=1e-6)
        np.testing.assert_allclose(got[1], np.stack(rows), rtol=1e-6)


def test_a_body_may_return_what_it_was_given() -> None:
    """States that do not change, results that are variables, numbers or views."""
    x, h = sg.var("x", ("T", 2, 3)), sg.var("h", (2, 3))
    last, ys = sg.scan(
        lambda x, h: (h, (x, h, sg.reshape(x, (3, 2)), sg.reshape(h * 1.0 + x, (6,)))), x, h
    )
    for level in (0, 2):
        f = sg.compile(sg.group(last, *ys), target="interp", level=level)
        xs, hs = array(4, 2, 3), array(2, 3)
        got = f(x=xs, h=hs)
        np.testing.assert_array_equal(got[0], hs)
        np.testing.assert_array_equal(got[1], xs)
        np.testing.assert_array_equal(got[2], np.broadcast_to(hs, xs.shape))
        np.testing.assert_array_equal(got[3], xs.reshape(4, 3, 2))
        np.testing.assert_array_equal(got[4], (xs + hs).reshape(4, 6))


def test_states_may_change_places() -> None:
    a, b = sg.var("a", (3,)), sg.var("b", (3,))
    (x, y), _ = sg.scan(lambda a, b: ((b, a), None), (), (a, b), length=3)
    f = sg.compile(sg.group(x, y), target="interp")
    va, vb = array(3), array(3)
    got = f(a=va, b=vb)
    np.testing.assert_array_equal(got[0], vb)
    np.testing.assert_array_equal(got[1], va)


# -- types -----------------------------------------------------------------------------------------


def test_types_flow_in_every_direction() -> None:
    w, u, b = (sg.var(n) for n in ("w", "u", "b"))

    def step(x: sg.Symbol, h: sg.Symbol) -> tuple[sg.Symbol, sg.Symbol]:
        after = sg.rnn_cell(x, h, 5, w, u, b)
        return after, after

    last, ys = sg.scan(step, sg.var("x"), sg.var("h"))
    both = sg.group(last, ys)
    shapes = both.infer_shape(x=(4, "N", 3))
    assert str(shapes["h"][0]) == "N" and shapes["w"] == (5, 3) and shapes["u"] == (5, 5)
    assert str(shapes.outputs) == "((N, 5), (4, N, 5))"
    total = ys + sg.var("other", (4, 2, 5))
    shapes = total.infer_shape(x=("T", 2, 3), other=(4, 2, 5))
    assert shapes["h"] == (2, 5)
    assert str(both.infer_type(h="float64")["x"]) == "float64"
    shapes = both.infer_shape(w=(5, 7), h=(3, 5))
    assert shapes["x"][1:] == (3, 7) and not shapes.complete


def test_weights_of_the_body_are_found_and_named() -> None:
    x = sg.var("x", ("T", "N", 3))

    def step(x: sg.Symbol, h: sg.Symbol) -> tuple[sg.Symbol, sg.Symbol]:
        after = sg.linear(x, 5, name="in") + sg.linear(h, 5, use_bias=False)
        return after, after

    _, ys = sg.scan(step, x, sg.zeros((2, 5)), name="rnn")
    assert set(ys.list_variables()) == {"x", "in_weight", "in_bias", "rnn_linear0_weight"}
    assert ys.infer_shape()["in_weight"] == (5, 3)
    assert [p.name for p in ys.parameters] == ["in_weight", "in_bias", "rnn_linear0_weight"]


def test_what_no_step_changes_is_computed_outside() -> None:
    x, h, w = sg.var("x", ("T", 3)), sg.var("h", (3,)), sg.var("w", (3,))
    last, _ = sg.scan(lambda x, h: (h * sg.exp(w) + x, None), x, h)
    op = last.node.op
    assert isinstance(op, Scan) and "exp" not in [n.op.name for n in op.body.nodes]


def test_text_and_json_show_the_body() -> None:
    last, ys = sg.scan(decaying, sg.var("x", ("T", 3)), sg.var("h", (3,)))
    both = sg.group(last, ys)
    text = str(both)
    assert "  | %h: f32[3] = variable" in text and "sequences=('x',)" in text
    again = sg.from_json(both.to_json())
    assert str(again) == text and again.to_json() == both.to_json()
    x, h = array(4, 3), array(3)
    for got, expected in zip(
        sg.compile(again, target="interp")(x=x, h=h), decayed(x, h), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


# -- errors ----------------------------------------------------------------------------------------


def test_a_state_keeps_its_type() -> None:
    x, h = sg.var("x", ("T", 3)), sg.var("h", (3,))
    with pytest.raises(ShapeError, match=r"(?s)the next h must have the shape of h.*declared at"):
        sg.scan(lambda x, h: (sg.concat([h, x], axis=0), None), x, h)
    with pytest.raises(DTypeError, match="the next h must have the dtype of h: float64 != float32"):
        sg.scan(lambda x, h: (h.astype("float64"), None), x, sg.var("h", (3,), "float32"))


def test_sequences_agree_on_the_steps() -> None:
    x, y = sg.var("x", (4, 3)), sg.var("y", (5, 3))
    with pytest.raises(ShapeError, match=r"(?s)number of steps: 5 != 4.*test_scan.py"):
        sg.scan(lambda x, y, h: (h + x + y, None), (x, y), sg.var("h", (3,)))
    with pytest.raises(
        AttributeValueError, match=r"axis 2 of sequence 0.*choose an axis in \[0, 2"
    ):
        sg.scan(decaying, x, sg.var("h", (3,)), axis=2)


def test_the_body_must_return_states_and_results() -> None:
    x, h = sg.var("x", (4, 3)), sg.var("h", (3,))
    with pytest.raises(InputError, match=r"must return \(next states, results\), got Symbol"):
        sg.scan(lambda x, h: h, x, h)
    with pytest.raises(InputError, match="2 states, 1 next values"):
        sg.scan(lambda x, a, b: ((a,), None), x, (h, h))
    with pytest.raises(InputError, match="one symbol as next state"):
        sg.scan(lambda x, h: ((h, h), None), x, h)
    with pytest.raises(InputError, match="sequences must be a symbol or several, got int"):
        sg.scan(decaying, 3, h)


def test_what_a_step_would_repeat_is_refused() -> None:
    x, h = sg.var("x", (4, 3)), sg.var("h", (3,))
    with pytest.raises(InputError, match=r"draws random numbers|keeps state between calls"):
        sg.scan(lambda x, h: (sg.dropout(h, 0.5) + x, None), x, h)


# -- gradients -------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["interp", "llvm"])
def test_the_gradient_is_that_of_the_unrolled_steps(target: str) -> None:
    steps, n, d, units = 5, 2, 3, 4
    shapes = {
        "x": (steps, n, d), "w": (4 * units, d), "u": (4 * units, units), "b": (4 * units,),
        "h": (n, units),
    }  # fmt: skip
    v = {k: sg.var(k, s, "float64") for k, s in shapes.items()}

    def step(x: sg.Symbol, h: sg.Symbol, c: sg.Symbol) -> tuple[object, sg.Symbol]:
        after = sg.lstm_cell(x, h, c, units, v["w"], v["u"], v["b"])
        return after, after[0]

    (_, c), ys = sg.scan(step, v["x"], (v["h"], v["h"]))
    h = cell = v["h"]
    rows = []
    for t in range(steps):
        h, cell = sg.lstm_cell(v["x"][t], h, cell, units, v["w"], v["u"], v["b"])
        rows.append(h)
    arrays = {k: array(*s, dtype="float64") for k, s in shapes.items()}
    results = []
    for outputs, last, where in ((ys, c, target), (sg.stack(rows, axis=0), cell, "interp")):
        loss = sg.sum(outputs * outputs) + sg.sum(sg.sin(last))
        grads = sg.gradients(loss, list(v.values()))
        f = sg.compile(sg.group(loss, *grads), target=where, verify=2)
        results.append(f(**arrays))
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-12)


def test_gradients_through_loops_in_loops() -> None:
    x, h = sg.var("x", (2, 3, 2), "float64"), sg.var("h", (2,), "float64")

    def outer(rows: sg.Symbol, h: sg.Symbol) -> tuple[sg.Symbol, sg.Symbol]:
        last, inner = sg.scan(lambda x, h: (sg.tanh(h + x),) * 2, rows, h)
        return last, sg.sum(inner * inner)

    _, ys = sg.scan(outer, x, h)
    report = sg.testing.check_gradients(
        sg.sum(ys), {"x": array(2, 3, 2, dtype="float64"), "h": array(2, dtype="float64")}
    )
    assert report.worst < 1e-6


def test_a_state_without_gradient_is_left_alone() -> None:
    x, h = sg.var("x", ("T", 3)), sg.var("h", (3,))
    n = sg.var("n", (), "int32")
    (last, count), _ = sg.scan(lambda x, h, n: ((h * x, n + 1), None), x, (h, n))
    grads = sg.gradients(sg.sum(last), [x, h])
    f = sg.compile(sg.group(*grads, count), target="interp")
    xs, hs = array(3, 3), array(3)
    dx, dh, steps = f(x=xs, h=hs, n=np.zeros((), np.int32))
    np.testing.assert_allclose(dh, xs.prod(0), rtol=1e-5)
    np.testing.assert_allclose(dx[1], hs * xs[0] * xs[2], rtol=1e-5)
    assert int(steps) == 3


def test_a_stated_length_follows_shapes_that_are_given_later() -> None:
    start, weights = sg.var("start", ("N",)), sg.var("weights", ("L",))

    def inner(h: sg.Symbol) -> tuple[sg.Symbol, None]:
        return h + 1.0, None

    def outer(h: sg.Symbol) -> tuple[sg.Symbol, sg.Symbol]:
        h = sg.scan(inner, (), h, length="L")[0]
        return h, h

    last, rows = sg.scan(outer, (), start, length="L")
    outputs = [last, rows * sg.expand_dims(weights, 1)]
    given = {"start": np.arange(2, dtype=np.float32), "weights": np.ones(3, np.float32)}
    for shapes in (None, {"weights": (3,)}):
        last_found, found = sg.compile(outputs, shapes=shapes)(**given)
        np.testing.assert_array_equal(last_found, [9.0, 10.0])
        np.testing.assert_array_equal(found, [[3.0, 4.0], [6.0, 7.0], [9.0, 10.0]])
