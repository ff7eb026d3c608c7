"""Updates in place: order, safety, copies where two values exchange places."""

from __future__ import annotations

import numpy as np

import symgraph as sg


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=s).astype(np.float32) for s in shapes]


def test_an_update_is_written_over_its_input_after_all_readers() -> None:
    x, w = sg.var("x", (2, 3)), sg.var("w", (3, 3))
    y = x @ w
    f = sg.compile([w - 1.0, y], updates={"w": w * 2.0}, target="interp", verify=2)
    a, b = arrays((2, 3), (3, 3))
    before = b.copy()
    minus, product = f(x=a, w=b)
    np.testing.assert_allclose(product, a @ before, rtol=1e-5)
    np.testing.assert_array_equal(minus, before - 1)
    np.testing.assert_array_equal(b, before * 2)
    assert not any(s.label.startswith("copy") for s in f.program.steps)


def test_an_update_that_mixes_elements_is_copied() -> None:
    w = sg.var("w", (3, 3))
    f = sg.compile([], updates={"w": w @ w}, target="interp")
    (b,) = arrays((3, 3))
    before = b.copy()
    assert f(w=b) == ()
    np.testing.assert_allclose(b, before @ before, rtol=1e-5)


def test_two_variables_can_exchange_their_values() -> None:
    a, b = sg.var("a", (4,)), sg.var("b", (4,))
    f = sg.compile([], updates={"a": b + 0.0, "b": a + 0.0}, target="interp")
    x, y = arrays((4,), (4,))
    x0, y0 = x.copy(), y.copy()
    f(a=x, b=y)
    np.testing.assert_array_equal(x, y0)
    np.testing.assert_array_equal(y, x0)


def test_an_update_that_is_a_variable_or_an_output_as_well() -> None:
    a, b = sg.var("a", (4,)), sg.var("b", (4,))
    c = a + b
    f = sg.compile([c, a], updates={"a": c, "b": a}, target="interp")
    x, y = arrays((4,), (4,))
    x0, y0 = x.copy(), y.copy()
    total, old = f(a=x, b=y)
    np.testing.assert_array_equal(total, x0 + y0)
    np.testing.assert_array_equal(old, x0)
    np.testing.assert_array_equal(x, x0 + y0)
    np.testing.assert_array_equal(y, x0)


def test_only_the_updates_that_close_a_cycle_are_copied() -> None:
    """Of variables that exchange their values in pairs one each, the later one; the others none."""
    names = ["a", "b", "c", "d", "e", "f", "g"]
    v = {name: sg.var(name, (3, 2)) for name in names}
    updates = {
        "a": v["a"] + 1.0,
        "b": v["c"] * 2.0,
        "c": v["b"] * 3.0,
        "d": v["d"] - 1.0,
        "e": v["f"] * 5.0,
        "f": v["e"] * 7.0,
        "g": v["g"] * v["g"],
    }
    f = sg.compile([], updates=updates, target="interp", verify=2)
    copied = [s.label for s in f.program.steps if s.label.startswith("copy")]
    assert copied == ["copy c", "copy f"]
    given = dict(zip(names, arrays(*[(3, 2)] * 7), strict=True))
    old = {name: array.copy() for name, array in given.items()}
    f(**given)
    expected = {
        "a": old["a"] + 1, "b": old["c"] * 2, "c": old["b"] * 3, "d": old["d"] - 1,
        "e": old["f"] * 5, "f": old["e"] * 7, "g": old["g"] * old["g"],
    }  # fmt: skip
    for name in names:
        np.testing.assert_array_equal(given[name], expected[name].astype(np.float32))
